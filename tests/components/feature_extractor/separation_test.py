import numpy as np

from components.feature_extractor.separation import separations


def features(rows, seed, shift=0.0):
    generator = np.random.default_rng(seed)
    return {
        "text_low": generator.normal(size=(rows, 4)),
        "text_high": generator.normal(shift, 1.0, size=(rows, 3)),
        "image_low": generator.normal(size=(rows, 2, 2, 5)),
        "image_high": generator.normal(size=(rows, 2, 2, 2)) + shift,
    }


def test_is_chance_for_rows_of_one_kind_and_high_for_shifted_ones():
    train = features(200, 0)
    same = separations(train, features(200, 1), ["text", "image"])
    assert set(same) == {"text", "image"} and all(0.35 < area < 0.65 for area in same.values())
    assert separations(train, features(100, 1, shift=2.0), ["image"])["image"] > 0.95


def test_rows_too_few_to_tell_have_no_area():
    assert separations(features(30, 0), features(4, 1), ["text"]) == {"text": None}
    assert separations(features(30, 0), features(30, 1), []) == {}
