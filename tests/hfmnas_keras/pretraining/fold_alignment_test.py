import keras
import numpy as np
import pytest
from sklearn.linear_model import Ridge

from hfmnas_keras.pretraining.fold_alignment import align_features, aligned_backbone, explained_variance


def test_finds_an_affine_map():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 6))
    matrix, offset = rng.normal(size=(6, 6)), rng.normal(size=6)
    found_matrix, found_offset = align_features(features, features @ matrix + offset, ridge=0.0)
    np.testing.assert_allclose(found_matrix, matrix, atol=1e-5)
    np.testing.assert_allclose(found_offset, offset, atol=1e-5)


def test_equals_scikit_learns_ridge_around_the_identity():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(20, 2, 2, 5))
    reference = features + rng.normal(size=features.shape)
    matrix, offset = align_features(features, reference, ridge=0.3)
    rows, target = features.reshape(-1, 5), reference.reshape(-1, 5)
    centred = rows - rows.mean(0)
    strength = 0.3 * np.square(centred).sum() / 5
    model = Ridge(alpha=strength).fit(rows, target - rows)
    np.testing.assert_allclose(matrix, np.eye(5) + model.coef_.T, atol=1e-6)
    np.testing.assert_allclose(offset, model.intercept_, atol=1e-6)


def test_dead_taps_and_few_rows_are_left_alone():
    features = np.zeros((3, 4))
    matrix, offset = align_features(features, features)
    np.testing.assert_allclose(matrix, np.eye(4), atol=1e-6)
    rng = np.random.default_rng(2)
    wide = rng.normal(size=(2, 50))
    assert np.isfinite(align_features(wide, rng.normal(size=(2, 50)))[0]).all()
    assert align_features(wide[:0], wide[:0])[0].shape == (50, 50)
    with pytest.raises(ValueError, match="one shape"):
        align_features(wide, wide[:1])


def test_explained_variance_by_hand():
    reference = np.array([[0.0], [2.0]])
    assert explained_variance(reference, reference) == 1.0
    assert explained_variance(np.ones((2, 1)), reference) == 0.0
    assert explained_variance(np.array([[0.0], [1.0]]), reference) == 0.5


def test_the_aligned_backbone_maps_its_taps_and_keeps_its_logits(tmp_path):
    image = keras.Input((2, 2, 3))
    backbone = keras.Model(image, {"low": image, "high": image * 2, "logits": keras.layers.Flatten()(image)})
    rng = np.random.default_rng(3)
    matrix, offset = rng.normal(size=(3, 3)), rng.normal(size=3)
    aligned_backbone(backbone, {"low": (matrix, offset)}).save(tmp_path / "aligned.keras")
    rows = rng.normal(size=(4, 2, 2, 3)).astype("float32")
    outputs = keras.saving.load_model(tmp_path / "aligned.keras")(rows)
    np.testing.assert_allclose(outputs["low"], rows @ matrix + offset, atol=1e-5)
    np.testing.assert_allclose(outputs["high"], rows * 2, atol=1e-6)
    np.testing.assert_allclose(outputs["logits"], rows.reshape(4, -1), atol=1e-6)
