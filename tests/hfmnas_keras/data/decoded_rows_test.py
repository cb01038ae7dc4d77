import keras
import numpy as np
import pytest
import tensorflow as tf

from hfmnas_keras.data import modality
from hfmnas_keras.data.decoded_rows import DecodedRows
from hfmnas_keras.data.modalities import MODALITIES
from hfmnas_keras.pretraining.batched_outputs import BatchedOutputs

PICTURES = np.random.default_rng(0).integers(0, 256, size=(7, 4, 6, 3)).astype("uint8")
ENCODED = np.array([tf.io.encode_png(picture).numpy() for picture in PICTURES], dtype=object)


def test_rows_are_what_the_array_of_all_rows_would_be():
    rows = DecodedRows(ENCODED, MODALITIES["image"].decode)
    assert (rows.shape, rows.dtype, rows.ndim, len(rows)) == (PICTURES.shape, PICTURES.dtype, 4, 7)
    assert rows.nbytes == PICTURES.nbytes
    for chosen in (np.array([6, 0, 0]), slice(2, 5), slice(None), np.array([], "int64")):
        np.testing.assert_array_equal(rows[chosen], PICTURES[chosen])


def test_large_splits_stay_encoded(monkeypatch):
    assert isinstance(MODALITIES["image"].rows(ENCODED), np.ndarray)
    monkeypatch.setattr(modality, "LARGEST_DECODED_BYTES", PICTURES.nbytes - 1)
    assert isinstance(MODALITIES["image"].rows(ENCODED), DecodedRows)


def test_clips_stay_encoded_and_are_decoded_row_by_row(monkeypatch):
    clips = PICTURES.reshape(-1)[: 3 * 2 * 72].reshape(3, 2, 4, 6, 3)
    encoded = np.empty((3, 2), object)
    for place in np.ndindex(3, 2):
        encoded[place] = tf.io.encode_png(clips[place]).numpy()
    monkeypatch.setattr(modality, "LARGEST_DECODED_BYTES", clips.nbytes - 1)
    rows = MODALITIES["video"].rows(encoded)
    assert isinstance(rows, DecodedRows) and rows.shape == clips.shape
    np.testing.assert_array_equal(rows[np.array([2, 0])], clips[[2, 0]])
    # What a network reads at once is bounded too, whatever the batch: 8 frames of 224 x 224 are 4.8 MB.
    model = keras.Sequential([keras.Input((8, 224, 224, 3)), keras.layers.Flatten()])
    assert BatchedOutputs(model).batch_size == 13


def test_rows_of_other_shapes_and_no_rows_are_refused():
    larger = tf.io.encode_png(np.zeros((5, 6, 3), "uint8")).numpy()
    rows = DecodedRows(np.array([*ENCODED, larger], dtype=object), MODALITIES["image"].decode)
    with pytest.raises(tf.errors.InvalidArgumentError):
        rows[np.array([7])]
    with pytest.raises(ValueError, match="at least one row"):
        DecodedRows(ENCODED[:0], MODALITIES["image"].decode)
