"""Served models of clips, with skeletons and with depth: every signature, from clips of any length."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

pytest.importorskip("tensorflow_transform", reason="needs the extra `pipeline`")

from components.transform.preprocessing import preprocessing_fn
from hfmnas_keras.data.modalities import MODALITIES
from tests import served_clips

SOURCES = tuple(served_clips.MODALITIES)


@pytest.fixture(scope="module")
def signatures(tmp_path_factory):
    """Those of the models, by source; moved after export: nothing in them may point to where they were made."""
    folder = tmp_path_factory.mktemp("moved")
    for source in SOURCES:
        shutil.copytree(served_clips.exported_model(source), folder / source)
    return {source: tf.saved_model.load(str(folder / source)).signatures for source in SOURCES}


def request(source, rows):
    """Arguments of `serve_json`: shorter clips are filled up."""
    arguments = {}
    for name in served_clips.MODALITIES[source]:
        frames = max(len(row[name]) for row in rows)
        if name == "skeleton":
            arguments[name] = np.zeros((len(rows), frames, 2, 25, 3), np.float32)
            for number, row in enumerate(rows):
                arguments[name][number, : len(row[name])] = row[name]
        else:
            arguments[name] = [row[name] + [b""] * (frames - len(row[name])) for row in rows]
    return {name: tf.constant(argument) for name, argument in arguments.items()}


@pytest.mark.parametrize("source", SOURCES)
def test_outputs_equal_the_classifier_on_separately_prepared_inputs(signatures, source):
    rows = served_clips.raw_rows(source)
    outputs = signatures[source]["serve_json"](**request(source, rows))
    names = served_clips.MODALITIES[source]
    inputs = {name: [] for name in names}
    for row in rows:
        # One by one and dense, so that no filling is there to be left out.
        prepared = preprocessing_fn(
            {
                "id": tf.constant([[b""]]),
                "labels": tf.constant([[b""]]),
                **{name: tf.constant(np.reshape(row[name], (1, -1))) for name in names},
            },
            served_clips.settings(source),
        )
        for name in names:
            clip = prepared[name][0].numpy()
            decode = {"video": tf.io.decode_jpeg, "depth": tf.io.decode_png}.get(name)
            inputs[name].append([decode(frame).numpy() for frame in clip] if decode else clip)
    inputs = {name: np.array(clips, np.float32) for name, clips in inputs.items()}
    expected = served_clips.tiny_classifier(source)(inputs, training=False)
    assert set(outputs) == {*expected, "label", "score", "class_names", "abstain", "missing", "error"}
    beliefs = {f"{name}_belief" for name in names}
    assert beliefs | {"conflict"} <= set(outputs)
    for name, value in expected.items():
        np.testing.assert_allclose(outputs[name], value, atol=1e-5, err_msg=name)
    # Clips that differ get answers that differ.
    for name in beliefs:
        assert np.ptp(outputs[name], axis=0).max() > 1e-4, name


@pytest.mark.parametrize("source", SOURCES)
def test_examples_and_json_get_the_same_answer(signatures, source):
    rows = served_clips.raw_rows(source)
    from_json = signatures[source]["serve_json"](**request(source, rows))
    for names in (served_clips.MODALITIES[source], None):
        examples = tf.constant([served_clips.serialize(row, names) for row in rows])
        from_examples = signatures[source]["serving_default"](examples=examples)
        for name in from_json:
            np.testing.assert_array_equal(from_examples[name], from_json[name], err_msg=name)


@pytest.mark.parametrize("source", SOURCES)
def test_a_clip_alone_equals_the_clip_in_a_batch(signatures, source):
    rows = served_clips.raw_rows(source)
    together = signatures[source]["serve_json"](**request(source, rows))
    for number, row in enumerate(rows):
        alone = signatures[source]["serve_json"](**request(source, [row]))
        for name in ("probabilities", *(f"{name}_belief" for name in served_clips.MODALITIES[source]), "conflict"):
            np.testing.assert_allclose(alone[name][0], together[name][number], atol=1e-6, err_msg=name)


@pytest.mark.parametrize("source", SOURCES)
def test_transform_features_gives_the_label(signatures, source):
    examples = [served_clips.serialize(row) for row in served_clips.raw_rows(source)]
    outputs = signatures[source]["transform_features"](examples=tf.constant(examples))
    assert outputs["label"].numpy().tolist() == [[0], [1], [2], [0]]


@pytest.mark.parametrize(
    ("source", "missing", "told"),
    [
        ("ntu", "video", "video: No frame of the clip can be read."),
        ("ntu", "skeleton", "skeleton: A skeleton needs 150 numbers a frame"),
        ("egogesture", "depth", "depth: No frame of the clip can be read."),
    ],
)
def test_an_example_without_a_modality_is_an_error_of_its_row(signatures, source, missing, told):
    rows = served_clips.raw_rows(source)
    names = [name for name in served_clips.MODALITIES[source] if name != missing]
    examples = [served_clips.serialize(row, names if number == 1 else None) for number, row in enumerate(rows)]
    check_one_lost(
        source, signatures[source], signatures[source]["serving_default"](examples=tf.constant(examples)), told
    )


@pytest.mark.parametrize(
    ("source", "name", "frame", "told"),
    [
        ("ntu", "video", b"broken", "video: Frame 3 of the 4 that are read"),
        ("ntu", "video", b"\x89PNG\r\n\x1a\n", "video: Frame 3 of the 4 that are read"),
        ("egogesture", "depth", b"\xff\xd8\xff\xe0", "depth: Frame 3 of the 4 that are read"),
        ("ntu", "skeleton", np.nan, "skeleton: A skeleton needs 150 numbers a frame, all finite"),
    ],
)
def test_a_broken_frame_is_an_error_of_its_row(signatures, source, name, frame, told):
    rows = served_clips.raw_rows(source)
    clip = rows[1][name].copy()
    # Of seven frames numbers 0, 2, 4 and 6 are read.
    clip[4] = frame
    rows[1] = {**rows[1], name: clip}
    check_one_lost(source, signatures[source], signatures[source]["serve_json"](**request(source, rows)), told)


def check_one_lost(source, signatures, outputs, told):
    """Row 1 is an error alone, the others are as without it."""
    whole = signatures["serve_json"](**request(source, served_clips.raw_rows(source)))
    errors = [error.decode() for error in outputs["error"].numpy()]
    assert errors[1].startswith(told) and errors[:1] + errors[2:] == [""] * 3
    assert outputs["abstain"].numpy().tolist() == [False, True, False, False]
    for name in ("probabilities", "conflict"):
        assert not outputs[name][1].numpy().any()
        np.testing.assert_allclose(np.delete(outputs[name], 1, 0), np.delete(whole[name], 1, 0), atol=1e-6)


@pytest.mark.parametrize(("source", "name"), [("ntu", "skeleton"), ("ntu", "video"), ("egogesture", "depth")])
def test_a_schema_may_fix_the_number_of_values(source, name):
    modality = MODALITIES[name]
    row = served_clips.raw_rows(source)[1]
    parsed = tf.io.parse_example([served_clips.serialize(row)] * 2, {name: modality.example_feature})[name]
    spec = tf.io.FixedLenFeature([int(parsed.dense_shape[1])], parsed.dtype)
    dense = modality.as_raw(parsed, spec)
    np.testing.assert_array_equal(dense[1], np.ravel(row[name]))
    assert modality.as_raw(parsed, tf.io.VarLenFeature(parsed.dtype)) is parsed
