import os
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

pytest.importorskip("tensorflow_transform", reason="needs the extra `pipeline`")

from hfmnas_keras.data.modalities import MAX_TEXT_BYTES
from hfmnas_keras.export.serving import ROWS_AT_ONCE, export_saved_model
from tests import served_model
from tests.components import picture_encodings

CLASS_NAMES = served_model.CLASS_NAMES


@pytest.fixture(scope="module", params=[False, True], ids=["single_label", "multi_label"])
def multi_label(request):
    return request.param


@pytest.fixture(scope="module")
def signatures(multi_label, tmp_path_factory):
    """The model, moved after export: nothing in it may point to where it was made."""
    moved = str(tmp_path_factory.mktemp("moved") / "elsewhere")
    shutil.copytree(served_model.exported_model(multi_label), moved)
    return tf.saved_model.load(moved).signatures


def _columns(rows):
    return {
        "image_bytes": tf.constant([row["image"] for row in rows]),
        "text": tf.constant([row["text"] for row in rows]),
    }


def test_outputs_equal_the_classifier_on_separately_prepared_inputs(signatures, multi_label):
    rows = served_model.raw_rows(multi_label)
    outputs = signatures["serve_json"](**_columns(rows))

    vocabulary = served_model.transform_output(multi_label).vocabulary_by_name("text_vocabulary")
    ids = {word.decode(): index + 1 for index, word in enumerate(vocabulary)}
    tokens = np.zeros((len(rows), served_model.MAX_TOKENS), np.int64)
    for row, text in enumerate(served_model.TEXTS):
        words = text.split()[: served_model.MAX_TOKENS]
        tokens[row, : len(words)] = [ids[word] for word in words]
    images = np.stack([served_model.resized(row["image"]) for row in rows]).astype(np.float32)
    expected = served_model.tiny_classifier(multi_label)({"image": images, "tokens": tokens}, training=False)

    decision = {"labels", "image_labels", "text_labels"} if multi_label else {"label", "score"}
    assert set(outputs) == {*expected, *decision, "class_names", "abstain", "missing", "error"}
    for name, value in expected.items():
        np.testing.assert_allclose(outputs[name], value, atol=1e-5, err_msg=name)
        assert outputs[name].dtype == tf.float32
    names = np.array(outputs["class_names"])
    assert names.shape == (len(rows), len(CLASS_NAMES))
    assert [name.decode() for name in names[3]] == CLASS_NAMES


def test_examples_need_only_image_and_text_and_agree_with_json(signatures, multi_label):
    rows = served_model.raw_rows(multi_label)
    examples = tf.constant([served_model.serialize(row, names=("image", "text")) for row in rows])
    from_examples = signatures["serving_default"](examples=examples)
    from_json = signatures["serve_json"](**_columns(rows))
    assert set(from_examples) == set(from_json)
    for name in from_json:
        np.testing.assert_array_equal(from_examples[name], from_json[name], err_msg=name)
    # Examples that hold the label, as the Evaluator's do, change nothing.
    with_labels = signatures["serving_default"](examples=tf.constant([served_model.serialize(row) for row in rows]))
    np.testing.assert_array_equal(with_labels["probabilities"], from_json["probabilities"])


def test_abstains_above_the_bound_and_never_without_one(signatures, multi_label):
    columns = _columns(served_model.raw_rows(multi_label))
    outputs = signatures["serve_json"](**columns)
    conflict = outputs["conflict"].numpy()
    assert outputs["abstain"].dtype == tf.bool
    np.testing.assert_array_equal(outputs["abstain"], np.zeros(conflict.shape, bool))

    bound = float(np.median(conflict))
    bounded = tf.saved_model.load(served_model.exported_model(multi_label, max_conflict=bound)).signatures
    examples = tf.constant([served_model.serialize(row) for row in served_model.raw_rows(multi_label)])
    for answer in (bounded["serve_json"](**columns), bounded["serving_default"](examples=examples)):
        abstain = answer["abstain"].numpy()
        assert 0 < abstain.sum() < abstain.size
        np.testing.assert_array_equal(abstain, conflict > np.float32(bound))


def test_the_decision_needs_no_argmax_of_the_client(signatures, multi_label):
    columns = _columns(served_model.raw_rows(multi_label))
    outputs = {name: value.numpy() for name, value in signatures["serve_json"](**columns).items()}
    probabilities = outputs["probabilities"]
    if not multi_label:
        assert [name.decode() for name in outputs["label"]] == [CLASS_NAMES[row.argmax()] for row in probabilities]
        np.testing.assert_array_equal(outputs["score"], probabilities.max(axis=1))
        return
    # Between the rows of each label, so that each is given to some and not to others.
    thresholds = np.quantile(probabilities.astype("float64"), [0.3, 0.5, 0.7], axis=0).diagonal()
    path = served_model.exported_model(True, thresholds=tuple(thresholds))
    for bounds, model in (np.full(3, 0.5), signatures), (thresholds, tf.saved_model.load(path).signatures):
        examples = tf.constant([served_model.serialize(row) for row in served_model.raw_rows(True)])
        for answer in (model["serve_json"](**columns), model["serving_default"](examples=examples)):
            for row, names in zip(probabilities, answer["labels"].numpy(), strict=True):
                given = sorted(np.flatnonzero(row > bounds.astype("float32")), key=lambda k: -row[k])
                expected = [CLASS_NAMES[k] for k in given] + [""] * (3 - len(given))
                assert [name.decode() for name in names] == expected
    assert len({len([name for name in names if name]) for names in answer["labels"].numpy()}) > 1


def test_heads_name_their_labels_by_thresholds_of_their_own():
    """Thresholds are of the sigmoid of a head's logits, which its opinion gives back: belief is softplus / total."""
    columns = _columns(served_model.raw_rows(True))
    outputs = tf.saved_model.load(served_model.exported_model(True)).signatures["serve_json"](**columns)
    logits = {}
    for modality in ("image", "text"):
        belief, uncertainty = (np.array(outputs[f"{modality}_{name}"], "float64") for name in ("belief", "uncertainty"))
        logits[modality] = np.log(np.expm1(belief * 2 / uncertainty))
    # Between the rows of each label, so that each is given to some and not to others.
    bounds = {modality: np.quantile(values, [0.3, 0.5, 0.7], axis=0).diagonal() for modality, values in logits.items()}
    thresholds = tuple((modality, tuple(1 / (1 + np.exp(-values)))) for modality, values in bounds.items())
    moved = tf.saved_model.load(served_model.exported_model(True, head_thresholds=thresholds)).signatures["serve_json"]
    for answer, at in (outputs, dict.fromkeys(bounds, np.zeros(3))), (moved(**columns), bounds):
        for modality, values in logits.items():
            given = values > at[modality]
            for row, names in enumerate(answer[f"{modality}_labels"].numpy()):
                expected = [CLASS_NAMES[k] for k in sorted(np.flatnonzero(given[row]), key=lambda k: -values[row, k])]
                assert [name.decode() for name in names] == expected + [""] * (3 - len(expected))
    assert given.any() and not given.all()


def test_batch_of_one_equals_batch_of_many(signatures, multi_label):
    rows = served_model.raw_rows(multi_label)
    together = signatures["serve_json"](**_columns(rows))
    for index, row in enumerate(rows):
        alone = signatures["serve_json"](**_columns([row]))
        for name in ("probabilities", "image_belief", "text_belief", "conflict"):
            np.testing.assert_allclose(alone[name][0], together[name][index], atol=1e-6, err_msg=name)


def test_unknown_words_and_empty_text(signatures):
    row = served_model.raw_rows(False)[0]
    outputs = signatures["serve_json"](**_columns([{**row, "text": b""}, {**row, "text": "qxzv ☃".encode()}]))
    assert np.isfinite(outputs["probabilities"]).all()


def test_transform_features_gives_the_label(signatures, multi_label):
    rows = served_model.raw_rows(multi_label)
    outputs = signatures["transform_features"](examples=tf.constant([served_model.serialize(row) for row in rows]))
    assert set(outputs) == {"label"}
    if multi_label:
        expected = [[float(name.encode() in row["labels"]) for name in CLASS_NAMES] for row in rows]
    else:
        expected = [[CLASS_NAMES.index(row["labels"][0].decode())] for row in rows]
    np.testing.assert_array_equal(outputs["label"], expected)
    assert outputs["label"].dtype == (tf.float32 if multi_label else tf.int64)


def test_a_bad_row_fails_alone(signatures, multi_label):
    rows = served_model.raw_rows(multi_label)
    encodings = picture_encodings.encodings()
    bad = {
        2: (b"no picture", "image: The picture is none of PNG, JPEG and BMP"),
        4: (rows[4]["image"][:-20], "image: The picture is broken."),
        5: (encodings["gif"], "image: The picture is none of PNG"),
        7: (encodings["png animated"], "image: The picture is an animation."),
    }
    mixed = [{**row, "image": bad[index][0]} if index in bad else row for index, row in enumerate(rows)]
    whole = signatures["serve_json"](**_columns(rows))
    assert not any(whole["error"].numpy())
    examples = tf.constant([served_model.serialize(row, names=("image", "text")) for row in mixed])
    for outputs in (signatures["serve_json"](**_columns(mixed)), signatures["serving_default"](examples=examples)):
        for index in range(len(rows)):
            told = outputs["error"][index].numpy().decode()
            assert told.startswith(bad[index][1]) if index in bad else told == ""
            assert outputs["abstain"][index].numpy().all() == (index in bad)
            for name in set(outputs) - {"error", "abstain", "class_names"}:
                value, good = outputs[name][index].numpy(), whole[name][index].numpy()
                if index in bad:
                    assert not any(np.ravel(np.asarray(value, object))), name
                elif outputs[name].dtype == tf.string:
                    assert np.array_equal(value, good), name
                else:
                    np.testing.assert_allclose(value, good, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("missing", ["image", "text"])
def test_the_other_modality_answers_where_one_is_missing(signatures, multi_label, missing):
    there = {"image": "text", "text": "image"}[missing]
    rows = served_model.raw_rows(multi_label)[:4]
    lacking = [rows[0], *({**row, missing: b" \n" if missing == "text" else b""} for row in rows[1:3]), rows[3]]
    whole = {name: value.numpy() for name, value in signatures["serve_json"](**_columns(rows)).items()}
    # Left out of an example it is as empty in a request.
    examples = [served_model.serialize(row) for row in (rows[0], rows[3])]
    examples[1:1] = [served_model.serialize(row, names=(there, "labels")) for row in rows[1:3]]
    for answer in (signatures["serve_json"](**_columns(lacking)), signatures["serving_default"](examples=examples)):
        outputs = {name: value.numpy() for name, value in answer.items()}
        assert outputs["missing"].tolist() == [b"", missing.encode(), missing.encode(), b""]
        assert not any(outputs["error"]) and not outputs["abstain"].any()
        for name in whole.keys() - {"missing"}:
            np.testing.assert_array_equal(outputs[name][[0, 3]], whole[name][[0, 3]], err_msg=name)
        belief, uncertainty = whole[f"{there}_belief"][1:3], whole[f"{there}_uncertainty"][1:3]
        lost = slice(1, 3)
        np.testing.assert_allclose(outputs[f"{there}_belief"][lost], belief, atol=1e-6)
        np.testing.assert_allclose(outputs["uncertainty"][lost], uncertainty, atol=1e-6)
        assert (outputs["uncertainty"][lost] > whole["uncertainty"][lost]).all()
        assert not outputs["conflict"][lost].any() and not outputs[f"{missing}_belief"][lost].any()
        assert (outputs[f"{missing}_uncertainty"][lost] == 1).all()
        if multi_label:
            # The mean of a Beta distribution of evidence + 1.
            np.testing.assert_allclose(outputs["probabilities"][lost], belief + uncertainty / 2, atol=1e-6)
            np.testing.assert_array_equal(outputs["labels"][lost], whole[f"{there}_labels"][lost])
            assert not any(outputs[f"{missing}_labels"][lost].ravel())
        else:
            expected = belief + uncertainty[:, None] / 3
            np.testing.assert_allclose(outputs["probabilities"][lost], expected, atol=1e-6)
            np.testing.assert_allclose(outputs["probabilities"].sum(axis=1), 1, atol=1e-5)
            assert [name.decode() for name in outputs["label"][lost]] == [CLASS_NAMES[k] for k in belief.argmax(1)]
            np.testing.assert_allclose(outputs["score"][lost], expected.max(axis=1), atol=1e-6)


def test_a_row_without_both_is_an_error(signatures):
    row = served_model.raw_rows(False)[0]
    nothing = {"image": b"", "text": b""}
    answers = signatures["serve_json"](**_columns([row, nothing, {**row, "text": b""}]))
    assert answers["error"].numpy().tolist() == [b"", b"image: The picture is empty.", b""]
    assert answers["missing"].numpy().tolist() == [b"", b"", b"text"]
    assert not answers["probabilities"][1].numpy().any()


def _other_type(name):
    row = served_model.raw_rows(False)[0]
    example = tf.train.Example.FromString(served_model.serialize(row, names=("image", "text")))
    example.features.feature[name].float_list.value.append(1.0)
    return example.SerializeToString()


GOOD_EXAMPLE = served_model.serialize(served_model.raw_rows(False)[0], names=("image", "text"))


@pytest.mark.parametrize(
    "example",
    [b"garbage", GOOD_EXAMPLE[:-5], GOOD_EXAMPLE[5:], b"\xff" * 100, _other_type("image"), _other_type("text")],
    ids=["text", "cut", "without its begin", "ones", "numbers as picture", "numbers as text"],
)
def test_an_example_that_cannot_be_parsed_fails_alone(signatures, example):
    """In a server's batch it stands among those of strangers."""
    examples = [GOOD_EXAMPLE, example, GOOD_EXAMPLE]
    outputs = signatures["serving_default"](examples=tf.constant(examples))
    told = "The row is no serialized tf.train.Example with `text` (string), `image` (string)."
    assert outputs["error"].numpy().tolist() == [b"", told.encode(), b""]
    alone = signatures["serving_default"](examples=tf.constant([GOOD_EXAMPLE]))
    for row in (0, 2):
        np.testing.assert_allclose(outputs["probabilities"][row], alone["probabilities"][0], atol=1e-6)
    assert not outputs["probabilities"][1].numpy().any() and outputs["abstain"][1].numpy().all()


@pytest.mark.parametrize("letter", ["a ", "a", "好", "!", " "])
def test_a_text_of_any_length_is_read_up_to_the_bound_and_refused_above(signatures, letter):
    row = served_model.raw_rows(False)[0]
    number = MAX_TEXT_BYTES // len(letter.encode("utf-8"))
    texts = [letter * number, letter * (number + 2), row["text"]]
    outputs = signatures["serve_json"](image_bytes=tf.constant([row["image"]] * 3), text=tf.constant(texts))
    assert outputs["error"].numpy().tolist() == [b"", b"text: The text has more than 1048576 bytes.", b""]


def test_a_request_without_rows_gets_an_answer_without_rows(signatures, multi_label):
    empty = tf.zeros([0], tf.string)
    for outputs in (
        signatures["serve_json"](image_bytes=empty, text=empty),
        signatures["serving_default"](examples=empty),
    ):
        assert outputs["probabilities"].shape == outputs["class_names"].shape == (0, len(CLASS_NAMES))
        assert outputs["error"].shape == (0,) and outputs["abstain"].shape[0] == 0


def test_unequal_numbers_of_rows_are_told(signatures):
    columns = _columns(served_model.raw_rows(False))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"(?s)same number of rows.*text.*100000.*image_bytes.*8"):
        signatures["serve_json"](image_bytes=columns["image_bytes"], text=tf.repeat(columns["text"][:1], 100_000))


class _RowsSeen(keras.layers.Layer):
    """How many rows there are, for each of them."""

    def call(self, inputs):
        return keras.ops.zeros_like(inputs[:, 0]) + keras.ops.cast(keras.ops.shape(inputs)[0], "float32")

    def compute_output_shape(self, input_shape):
        return input_shape[:1]


def test_the_network_sees_some_rows_at_a_time(tmp_path):
    inputs = {
        "image": keras.Input((*served_model.IMAGE_SIZE, 3), name="image"),
        "tokens": keras.Input((served_model.MAX_TOKENS,), name="tokens"),
    }
    flat = keras.layers.Flatten()(inputs["image"]) / 255
    outputs = {"probabilities": flat[:, :3] + 0 * inputs["tokens"][:, :3]}
    outputs["conflict"] = outputs["uncertainty"] = _RowsSeen()(flat)
    _export(tmp_path / "model", classifier=keras.Model(inputs, outputs))
    signature = tf.saved_model.load(str(tmp_path / "model")).signatures["serve_json"]
    rows = served_model.raw_rows(False)
    columns = {name: tf.tile(values, [5]) for name, values in _columns(rows).items()}
    answer = signature(**columns)
    assert answer["conflict"].numpy().tolist() == [ROWS_AT_ONCE] * 32 + [8] * 8
    # Whose row is whose.
    first = np.stack([served_model.resized(row["image"]).reshape(-1)[:3] / 255 for row in rows])
    np.testing.assert_allclose(answer["probabilities"], np.tile(first, (5, 1)), atol=1e-6)


def _export(path, classifier=None, class_names=CLASS_NAMES, raw_feature_spec=None, transform_layer=None):
    output = served_model.transform_output(False)
    export_saved_model(
        classifier or served_model.tiny_classifier(False),
        transform_layer or output.transform_features_layer(),
        raw_feature_spec or output.raw_feature_spec(),
        class_names,
        False,
        str(path),
    )


def test_a_failed_export_leaves_nothing_behind(tmp_path):
    class Untraceable(tf.Module):
        def __call__(self, features):
            raise RuntimeError("no transform today")

    with pytest.raises(RuntimeError, match="no transform today"):
        _export(tmp_path / "model", transform_layer=Untraceable())

    class WithUntrackedTable(tf.Module):
        """Has a table where TensorFlow does not look for one, which shows only while the files are written."""

        table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a"], tf.constant([1], tf.int64)), 0)

        def __call__(self, features):
            tokens = tf.repeat(self.table.lookup(features["text"])[:, tf.newaxis], 4, axis=1)
            return {"image": features["image"], "tokens": tf.ensure_shape(tokens, [None, 4]), "label": tokens}

    with pytest.raises(AssertionError, match="untracked"):
        _export(tmp_path / "model", transform_layer=WithUntrackedTable())
    assert os.listdir(tmp_path) == []


def test_an_empty_folder_is_taken_and_a_full_one_refused(tmp_path):
    (tmp_path / "model").mkdir()
    _export(tmp_path / "model")
    assert sorted(os.listdir(tmp_path)) == ["model"]
    before = (tmp_path / "model" / "saved_model.pb").read_bytes()
    with pytest.raises(ValueError, match="must be a new or an empty folder"):
        _export(tmp_path / "model")
    assert (tmp_path / "model" / "saved_model.pb").read_bytes() == before


def test_recurrent_layers_are_traced_without_cudnn_at_any_depth(tmp_path):
    """Beside a GPU, Keras would else write operations that no server without one can run."""
    lstm = keras.layers.LSTM(3, use_cudnn="auto")
    tokens = keras.Input((served_model.MAX_TOKENS,), name="tokens", dtype="int64")
    sequence = keras.layers.Embedding(9, 2)(tokens)
    encoder = keras.Model(tokens, keras.layers.Bidirectional(lstm, name="bidirectional")(sequence))
    inputs = {
        "image": keras.Input((*served_model.IMAGE_SIZE, 3), name="image"),
        "tokens": keras.Input((4,), name="tokens"),
    }
    joined = keras.layers.concatenate([encoder(inputs["tokens"]), keras.layers.Flatten()(inputs["image"])])
    outputs = {"probabilities": keras.layers.Dense(3, activation="softmax")(joined)}
    outputs["conflict"] = outputs["uncertainty"] = outputs["probabilities"][:, 0]
    wrapper = encoder.get_layer("bidirectional")
    seen = []

    class Layer(tf.Module):
        def __call__(self, features):
            seen.append((wrapper.forward_layer.use_cudnn, wrapper.backward_layer.use_cudnn))
            tokens = tf.zeros([tf.shape(features["text"])[0], 4], tf.int64)
            return {"image": features["image"], "tokens": tokens, "label": tokens}

    _export(tmp_path / "model", classifier=keras.Model(inputs, outputs), transform_layer=Layer())
    assert seen and set(seen) == {(False, False)}
    assert (wrapper.forward_layer.use_cudnn, wrapper.backward_layer.use_cudnn) == ("auto", "auto")


def test_refuses_a_classifier_or_features_that_do_not_fit(tmp_path):
    with pytest.raises(ValueError, match="must name the 3 outputs"):
        _export(tmp_path / "model", class_names=["a", "b"])
    image = keras.Input((6, 5, 3), name="image")
    sound = keras.Input((6, 5, 3), name="sound")
    other = keras.Model({"image": image, "sound": sound}, {"probabilities": keras.layers.Flatten()(image + sound)})
    with pytest.raises(ValueError, match=r"dictionary of the inputs of modalities.* Received: \['image', 'sound'\]"):
        _export(tmp_path / "model", classifier=other)
    classifier = served_model.tiny_classifier(False)
    for name in ("conflict", "uncertainty"):
        outputs = {key: value for key, value in classifier.output.items() if key != name}
        with pytest.raises(ValueError, match="must return a dictionary with .*conflict.*uncertainty"):
            _export(tmp_path / "model", classifier=keras.Model(classifier.input, outputs))
    abstaining = keras.Model(classifier.input, {**classifier.output, "abstain": classifier.output["conflict"]})
    with pytest.raises(ValueError, match="must not have an output `abstain`"):
        _export(tmp_path / "model", classifier=abstaining)
    with pytest.raises(ValueError, match="must have a string feature `text`"):
        _export(tmp_path / "model", raw_feature_spec={"image": tf.io.FixedLenFeature([], tf.string)})
    assert os.listdir(tmp_path) == []


def test_a_model_of_pictures_alone_is_asked_without_a_text(tmp_path):
    pictures = keras.Input((*served_model.IMAGE_SIZE, 3), name="image")
    probabilities = keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(pictures))
    scalar = probabilities[:, 0]
    classifier = keras.Model(
        {"image": pictures}, {"probabilities": probabilities, "conflict": scalar, "uncertainty": scalar}
    )
    _export(tmp_path / "model", classifier=classifier)
    signatures = tf.saved_model.load(str(tmp_path / "model")).signatures
    rows = served_model.raw_rows(False)
    from_json = signatures["serve_json"](image_bytes=tf.constant([row["image"] for row in rows]))
    images = np.stack([served_model.resized(row["image"]) for row in rows]).astype(np.float32)
    np.testing.assert_allclose(from_json["probabilities"], classifier({"image": images})["probabilities"], atol=1e-5)
    examples = tf.constant([served_model.serialize(row, names=("image",)) for row in rows])
    np.testing.assert_array_equal(
        signatures["serving_default"](examples=examples)["probabilities"], from_json["probabilities"]
    )


def test_the_weights_are_written_once(tmp_path):
    pictures = keras.Input((*served_model.IMAGE_SIZE, 3), name="image")
    hidden = keras.layers.Dense(20_000, activation="relu")(keras.layers.Flatten()(pictures))
    probabilities = keras.layers.Dense(3, activation="softmax")(hidden)
    scalar = probabilities[:, 0]
    classifier = keras.Model(
        {"image": pictures}, {"probabilities": probabilities, "conflict": scalar, "uncertainty": scalar}
    )
    _export(tmp_path / "model", classifier=classifier)
    size = sum(path.stat().st_size for path in (tmp_path / "model").rglob("*") if path.is_file())
    weights = sum(weight.nbytes for weight in classifier.get_weights())
    assert weights > 7_000_000 and size <= 1.1 * weights


def test_raw_features_keep_the_form_that_the_schema_gives_them(tmp_path):
    class Layer(tf.Module):
        def __call__(self, features):
            assert isinstance(features["text"], tf.SparseTensor)
            text = tf.sparse.to_dense(features["text"])
            lengths = tf.cast(tf.strings.length(tf.ensure_shape(text, [None, None])[:, 0]), tf.int64)
            tokens = tf.repeat(lengths[:, tf.newaxis], 4, axis=1)
            batch = tf.shape(tf.ensure_shape(features["image"], [None, 1]))[0]
            images = tf.repeat(tf.io.encode_png(tf.zeros([6, 5, 3], tf.uint8))[tf.newaxis], batch)
            return {"image": images, "tokens": tf.ensure_shape(tokens, [None, 4]), "label": features["flags"]}

    spec = {
        "image": tf.io.FixedLenFeature([1], tf.string),
        "text": tf.io.VarLenFeature(tf.string),
        "flags": tf.io.FixedLenFeature([2], tf.int64),
    }
    _export(tmp_path / "model", raw_feature_spec=spec, transform_layer=Layer())
    signatures = tf.saved_model.load(str(tmp_path / "model")).signatures
    outputs = signatures["serve_json"](image_bytes=tf.constant(["x", "y", "z"]), text=tf.constant(["a", "bb", "ccc"]))
    expected = served_model.tiny_classifier(False)(
        {"image": np.zeros((3, 6, 5, 3)), "tokens": np.repeat([[1], [2], [3]], 4, axis=1)}
    )
    np.testing.assert_allclose(outputs["text_belief"], expected["text_belief"], atol=1e-6)
