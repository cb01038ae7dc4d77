"""Numbers of pictures, clips and skeletons that can be seen by eye."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.linear_references.raw_rows import make_raw_rows, read_raw_rows
from components.linear_references.row_features import (
    ROW_FEATURES,
    numbers_of_clip,
    numbers_of_picture,
    numbers_of_skeleton,
)
from hfmnas_keras.data.modalities import MODALITIES


def encoded(pixels, format="PNG"):
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, "uint8")).save(file, format)
    return file.getvalue()


def test_every_modality_has_numbers():
    assert set(ROW_FEATURES) == set(MODALITIES)


def test_no_picture_has_nothing():
    numbers = numbers_of_picture(b"")
    assert numbers.shape == numbers_of_picture(encoded(np.zeros((8, 8, 3)))).shape and not numbers.any()


def test_a_picture_of_one_colour_has_no_gradient_and_one_colour():
    numbers = numbers_of_picture(encoded(np.full((10, 30, 3), (255, 0, 70))))
    gradients, colours, thumbnail = np.split(numbers, [576, 640])
    assert numbers.dtype == np.float32 and numbers.shape == (832,)
    assert not gradients.any()
    # Red in the highest of four levels, green in the lowest, blue in the second.
    assert np.flatnonzero(colours).tolist() == [(3 * 4 + 0) * 4 + 1] and colours.sum() == 1.0
    assert np.linalg.norm(thumbnail) == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(
        thumbnail.reshape(64, 3)[0] / thumbnail[0], [1.0, -1.0, (70 / 255 - 0.5) / 0.5], atol=1e-5
    )


def test_an_edge_falls_into_its_cells_and_orientation():
    pixels = np.zeros((64, 64, 3))
    pixels[:, 20:] = 255
    gradients = numbers_of_picture(encoded(pixels))[:576].reshape(8, 8, 9)
    # The brightness rises to the right: orientation 0, in the third column of cells.
    assert {tuple(place) for place in np.argwhere(gradients)[:, 1:]} == {(2, 0)}
    np.testing.assert_allclose(gradients[:, 2, 0], 1 / np.sqrt(8), atol=1e-6)


def test_a_clip_is_seen_at_eight_times_with_what_changes():
    # Brightness 0, 10, ..., 150 in sixteen frames: the middle of each of eight parts is every second frame.
    frames = [encoded(np.full((9, 12), 10 * frame)) for frame in range(16)]
    numbers = numbers_of_clip(frames)
    places, changes = numbers[:512].reshape(8, 64), numbers[512:].reshape(7, 64)
    np.testing.assert_allclose(places[:, 0] * 255, [10, 30, 50, 70, 90, 110, 130, 150], atol=1e-4)
    np.testing.assert_allclose(changes * 255, 20, atol=1e-4)
    assert numbers_of_clip(frames[:1]).shape == numbers.shape
    assert numbers_of_clip([encoded(np.full((99, 120, 3), 200), "JPEG")]).shape == numbers.shape


def test_a_skeleton_does_not_depend_on_where_it_stands():
    generator = np.random.default_rng(0)
    joints = generator.random((12, 2, 25, 3)).astype("float32")
    joints[:, 1] = 0.0
    moved = joints.copy()
    moved[:, 0] += (3.0, -1.0, 2.0)
    numbers = numbers_of_skeleton(joints)
    assert numbers.shape == (9 * 150,)
    np.testing.assert_allclose(numbers_of_skeleton(moved.ravel()), numbers, atol=1e-5)
    places = numbers[:1200].reshape(8, 2, 25, 3)
    np.testing.assert_allclose(places[0, 0], joints[0, 0] - joints[0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(places[7, 0], joints[11, 0] - joints[0, 0, 1], atol=1e-6)
    # An absent body stays away.
    assert not places[:, 1].any()
    # Frames without a body are left out.
    gap = np.concatenate([np.zeros((3, 2, 25, 3), "float32"), joints])
    np.testing.assert_allclose(numbers_of_skeleton(gap), numbers, atol=1e-6)
    assert not numbers_of_skeleton(np.zeros((2, 2, 25, 3))).any()


def test_rows_are_read_from_raw_examples(tmp_path):
    def example(labels, text, frames, joints):
        feature = {
            "labels": tf.train.Feature(bytes_list=tf.train.BytesList(value=[name.encode() for name in labels])),
            "text": tf.train.Feature(bytes_list=tf.train.BytesList(value=[text])),
            "depth": tf.train.Feature(bytes_list=tf.train.BytesList(value=frames)),
            "skeleton": tf.train.Feature(float_list=tf.train.FloatList(value=joints)),
        }
        return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()

    frames = [encoded(np.full((8, 8), 50 * frame)) for frame in range(3)]
    joints = np.random.default_rng(0).random((2, 2, 25, 3)).astype("float32")
    with tf.io.TFRecordWriter(str(tmp_path / "rows.gz"), options="GZIP") as writer:
        writer.write(example(["b", "größe"], b"ein Baum", frames, joints.ravel()))
        writer.write(example(["größe"], b"\xff bad", frames[:1], joints.ravel()))
    modalities, classes = ("text", "depth", "skeleton"), ("a", "b", "größe")
    rows = read_raw_rows([str(tmp_path)], modalities, classes, multi_label=True)
    assert rows.columns["text"] == ["ein Baum", "\ufffd bad"]
    np.testing.assert_array_equal(rows.columns["depth"][0], numbers_of_clip(frames))
    np.testing.assert_array_equal(rows.columns["skeleton"][1], numbers_of_skeleton(joints))
    assert rows.labels.tolist() == [[0, 1, 1], [0, 0, 1]]
    single = read_raw_rows([str(tmp_path)], ("text",), classes, multi_label=False, largest=1)
    assert single.labels.tolist() == [1] and list(single.columns) == ["text"]
    with pytest.raises(ValueError, match=r"classes \['größe'\], which are not among"):
        read_raw_rows([str(tmp_path)], modalities, ("a", "b"), multi_label=True)
    with pytest.raises(ValueError, match="no row"):
        make_raw_rows([], modalities, classes, True)
