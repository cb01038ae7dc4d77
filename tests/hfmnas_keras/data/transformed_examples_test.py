import numpy as np
import pytest
import tensorflow as tf

from hfmnas_keras.data.encoded_rows import EncodedRows
from hfmnas_keras.data.transformed_examples import read_transformed_examples


def example(identifier, image, tokens, label):
    feature = {
        "id": tf.train.Feature(bytes_list=tf.train.BytesList(value=[identifier.encode()])),
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[tf.io.encode_png(image).numpy()])),
        "tokens": tf.train.Feature(int64_list=tf.train.Int64List(value=tokens)),
    }
    if np.ndim(label):
        feature["labels"] = tf.train.Feature(float_list=tf.train.FloatList(value=label))
    else:
        feature["label"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def write(path, examples):
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for serialized in examples:
            writer.write(serialized)


@pytest.mark.parametrize("multi_label", [False, True])
def test_reads_rows_in_a_stable_order(tmp_path, multi_label):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, size=(5, 4, 6, 3)).astype("uint8")
    tokens = generator.integers(0, 9, size=(5, 3))
    labels = (generator.random((5, 2)) < 0.5).astype("float32") if multi_label else generator.integers(0, 4, 5)
    rows = [example(f"row_{i}", images[i], tokens[i], labels[i]) for i in range(5)]
    # written in the other order of names
    write(tmp_path / "part-00001-of-00002.gz", rows[3:])
    write(tmp_path / "part-00000-of-00002.gz", rows[:3])
    for patterns in (str(tmp_path / "*"), [str(tmp_path / "*1-of*"), str(tmp_path / "*0-of*")]):
        examples = read_transformed_examples(patterns)
        assert examples.ids.tolist() == [f"row_{i}" for i in range(5)]
        np.testing.assert_array_equal(examples.inputs()["image"], images)
        np.testing.assert_array_equal(examples.inputs()["text"], tokens)
        np.testing.assert_array_equal(examples.labels, labels)
        assert examples.labels.dtype == ("float32" if multi_label else "int64")
        assert list(examples.columns) == ["text", "image"]
        assert examples.multi_label is multi_label
    both = examples.joined(examples)
    assert both.num_rows == 10
    np.testing.assert_array_equal(both.inputs()["image"][5:], images)


def test_rows_that_lack_a_modality_are_known(tmp_path):
    pictures = np.arange(3 * 12, dtype="uint8").reshape(3, 2, 2, 3)
    rows = [tf.train.Example.FromString(example(str(n), pictures[n], [[4, 5], [0, 0], [6, 0]][n], 0)) for n in range(3)]
    rows[0].features.feature["image"].bytes_list.value[:] = [b""]
    write(tmp_path / "part.gz", [row.SerializeToString() for row in rows])
    examples = read_transformed_examples(str(tmp_path / "*"))
    lacking = examples.lacking()
    assert lacking["text"].tolist() == [False, True, False] and lacking["image"].tolist() == [True, False, False]
    np.testing.assert_array_equal(examples.inputs()["image"][1:], pictures[1:])
    with pytest.raises(ValueError, match="1 rows have no image, and backbones that are trained along need both"):
        EncodedRows(examples, ["image"])
    assert EncodedRows(examples.joined(examples), []).num_rows == 6


def test_sub_words_stand_after_the_words_and_are_no_tokens(tmp_path):
    image = np.zeros((2, 2, 3), "uint8")
    rows = []
    for number in range(3):
        row = tf.train.Example.FromString(example(f"{number}", image, [number, 7], 0))
        row.features.feature["subwords"].int64_list.value.extend([5, number, 0])
        rows.append(row.SerializeToString())
    write(tmp_path / "part.gz", rows)
    examples = read_transformed_examples(str(tmp_path / "*"))
    for read, repeats in ((examples, 1), (examples.joined(examples), 2)):
        np.testing.assert_array_equal(read.tokens, [[0, 7], [1, 7], [2, 7]] * repeats)
        np.testing.assert_array_equal(
            read.inputs()["text"], [[0, 7, 5, 0, 0], [1, 7, 5, 1, 0], [2, 7, 5, 2, 0]] * repeats
        )


def test_reads_clips(tmp_path):
    generator = np.random.default_rng(0)
    skeletons = generator.normal(size=(3, 16, 2, 25, 3)).astype("float32")
    videos = generator.integers(0, 256, size=(3, 4, 5, 6, 3)).astype("uint8")
    depths = generator.integers(0, 256, size=(3, 2, 5, 6, 1)).astype("uint8")
    rows = []
    for skeleton, depth, video in zip(skeletons, depths, videos, strict=True):
        frames, pictures = ([tf.io.encode_png(frame).numpy() for frame in clip] for clip in (video, depth))
        feature = {
            "id": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"a"])),
            "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[1])),
            "skeleton": tf.train.Feature(float_list=tf.train.FloatList(value=skeleton.ravel())),
            "depth": tf.train.Feature(bytes_list=tf.train.BytesList(value=pictures)),
            "video": tf.train.Feature(bytes_list=tf.train.BytesList(value=frames)),
        }
        rows.append(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    write(tmp_path / "part.gz", rows)
    examples = read_transformed_examples(str(tmp_path / "*"))
    assert list(examples.columns) == ["skeleton", "depth", "video"] and examples.tokens is None
    np.testing.assert_array_equal(examples.inputs()["skeleton"], skeletons)
    np.testing.assert_array_equal(examples.inputs()["depth"], depths)
    np.testing.assert_array_equal(examples.inputs()["video"], videos)


def test_no_file_and_no_row(tmp_path):
    with pytest.raises(ValueError, match="No file"):
        read_transformed_examples(str(tmp_path / "*"))
    write(tmp_path / "empty.gz", [])
    with pytest.raises(ValueError, match="no example"):
        read_transformed_examples(str(tmp_path / "*"))


def test_other_examples_are_named(tmp_path):
    serialized = tf.train.Example().SerializeToString()
    write(tmp_path / "other.gz", [serialized])
    with pytest.raises(ValueError, match="not transformed examples"):
        read_transformed_examples(str(tmp_path / "*"))


def test_truncated_file(tmp_path):
    path = tmp_path / "part.gz"
    image = np.random.default_rng(0).integers(0, 256, size=(16, 16, 3)).astype("uint8")
    write(path, [example(f"{i}", image, [1, 2], 0) for i in range(20)])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(RuntimeError, match="Cannot read"):
        read_transformed_examples(str(path))
