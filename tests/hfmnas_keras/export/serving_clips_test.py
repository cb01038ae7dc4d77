"""A served model of clips: every signature, from clips of any length."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

pytest.importorskip("tensorflow_transform", reason="needs the extra `pipeline`")

from components.transform.preprocessing import preprocessing_fn
from hfmnas_keras.data.modalities import MODALITIES
from tests import served_clips


@pytest.fixture(scope="module")
def signatures(tmp_path_factory):
    """The model, moved after export: nothing in it may point to where it was made."""
    moved = str(tmp_path_factory.mktemp("moved") / "elsewhere")
    shutil.copytree(served_clips.exported_model(), moved)
    return tf.saved_model.load(moved).signatures


def request(rows):
    """Arguments of `serve_json`: shorter clips are filled up."""
    frames, places = (max(len(row[name]) for row in rows) for name in ("video", "skeleton"))
    skeletons = np.zeros((len(rows), places, 2, 25, 3), np.float32)
    for number, row in enumerate(rows):
        skeletons[number, : len(row["skeleton"])] = row["skeleton"]
    videos = [row["video"] + [b""] * (frames - len(row["video"])) for row in rows]
    return {"video": tf.constant(videos), "skeleton": tf.constant(skeletons)}


def test_outputs_equal_the_classifier_on_separately_prepared_inputs(signatures):
    rows = served_clips.raw_rows()
    outputs = signatures["serve_json"](**request(rows))
    videos, skeletons = [], []
    for row in rows:
        # One by one and dense, so that no filling is there to be left out.
        prepared = preprocessing_fn(
            {
                "id": tf.constant([[b""]]),
                "labels": tf.constant([[b""]]),
                "video": tf.constant([row["video"]]),
                "skeleton": tf.constant(row["skeleton"].reshape(1, -1)),
            },
            served_clips.SETTINGS,
        )
        videos.append([tf.io.decode_jpeg(frame).numpy() for frame in prepared["video"][0].numpy()])
        skeletons.append(prepared["skeleton"][0].numpy())
    expected = served_clips.tiny_classifier()(
        {"video": np.array(videos, np.float32), "skeleton": np.array(skeletons)}, training=False
    )
    assert set(outputs) == {*expected, "class_names", "abstain"}
    assert {"video_belief", "skeleton_belief", "conflict"} <= set(outputs)
    for name, value in expected.items():
        np.testing.assert_allclose(outputs[name], value, atol=1e-5, err_msg=name)
    # Clips that differ get answers that differ.
    assert np.ptp(outputs["video_belief"], axis=0).max() > 1e-4
    assert np.ptp(outputs["skeleton_belief"], axis=0).max() > 1e-4


def test_examples_and_json_get_the_same_answer(signatures):
    rows = served_clips.raw_rows()
    from_json = signatures["serve_json"](**request(rows))
    for names in (("video", "skeleton"), ("id", "labels", "video", "skeleton")):
        examples = tf.constant([served_clips.serialize(row, names) for row in rows])
        from_examples = signatures["serving_default"](examples=examples)
        for name in from_json:
            np.testing.assert_array_equal(from_examples[name], from_json[name], err_msg=name)


def test_a_clip_alone_equals_the_clip_in_a_batch(signatures):
    rows = served_clips.raw_rows()
    together = signatures["serve_json"](**request(rows))
    for number, row in enumerate(rows):
        alone = signatures["serve_json"](**request([row]))
        for name in ("probabilities", "video_belief", "skeleton_belief", "conflict"):
            np.testing.assert_allclose(alone[name][0], together[name][number], atol=1e-6, err_msg=name)


def test_transform_features_gives_the_label(signatures):
    rows = served_clips.raw_rows()
    outputs = signatures["transform_features"](examples=tf.constant([served_clips.serialize(row) for row in rows]))
    assert outputs["label"].numpy().tolist() == [[0], [1], [2], [0]]


@pytest.mark.parametrize(("missing", "told"), [("video", "A clip has no frame"), ("skeleton", "150 numbers a frame")])
def test_an_example_without_a_modality_is_refused(signatures, missing, told):
    names = [name for name in ("video", "skeleton") if name != missing]
    example = served_clips.serialize(served_clips.raw_rows()[0], names)
    with pytest.raises(tf.errors.InvalidArgumentError, match=told):
        signatures["serving_default"](examples=tf.constant([example]))


def test_a_broken_frame_is_refused(signatures):
    row = served_clips.raw_rows()[0]
    with pytest.raises(tf.errors.InvalidArgumentError, match="neither PNG nor JPEG"):
        signatures["serve_json"](**request([{**row, "video": [b"broken"]}]))


@pytest.mark.parametrize("name", ["skeleton", "video"])
def test_a_schema_may_fix_the_number_of_values(name):
    modality = MODALITIES[name]
    row = served_clips.raw_rows()[1]
    parsed = tf.io.parse_example([served_clips.serialize(row)] * 2, {name: modality.example_feature})[name]
    spec = tf.io.FixedLenFeature([int(parsed.dense_shape[1])], parsed.dtype)
    dense = modality.as_raw(parsed, spec)
    np.testing.assert_array_equal(dense[1], np.ravel(row[name]))
    assert modality.as_raw(parsed, tf.io.VarLenFeature(parsed.dtype)) is parsed
