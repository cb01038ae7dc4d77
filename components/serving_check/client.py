"""Calls every signature of a SavedModel with plain TensorFlow; run as a script in a process of its own.

    python -I client.py REQUEST.json RESULT.json

It stands in for TensorFlow Serving where none can be started: it proves names, types, shapes, the vocabulary's asset
and that no Python of ours is needed; not the operation set of the C++ server. This file imports nothing of the project
and refuses to let anything else import it.
"""

import base64
import importlib
import importlib.abc
import json
import math
import sys
import time

# Whoever serves the model has none of these. An editable installation would otherwise let them in by the back door.
BLOCKED_PACKAGES = (
    "hfmnas_keras",
    "components",
    "pipeline",
    "schemas",
    "tfx",
    "tfx_bsl",
    "tensorflow_transform",
    "tensorflow_model_analysis",
    "tensorflow_data_validation",
    "apache_beam",
)
# Bodies, joints and coordinates.
SKELETON_FRAME = (2, 25, 3)
# Two graphs of the same layers may add in another order.
AGREEMENT_TOLERANCE = 1e-4
# The decisions may flip where a number lies on the bound, and the numbers themselves are compared.
NOT_NUMBERS = {"class_names", "abstain", "label", "labels", "error", "missing"}
# Of a modality, `text_labels`.
NOT_NUMBERS_ENDING = "_labels"


class Blocker(importlib.abc.MetaPathFinder):
    """Makes the blocked packages unimportable, wherever they are installed."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] in BLOCKED_PACKAGES:
            raise ModuleNotFoundError(f"{fullname} is blocked: a server does not have it.", name=fullname)
        return None


def main(request_path, result_path):
    """Reads the request, checks the model, writes the result; see `check_model` for both."""
    _block_packages()
    with open(request_path, encoding="utf-8") as file:
        request = json.load(file)
    result = check_model(request)
    loaded = sorted(name for name in BLOCKED_PACKAGES if name in sys.modules)
    if loaded:
        result["reasons"].append(f"Packages that a server does not have were loaded: {loaded}.")
    with open(result_path, "w", encoding="utf-8") as file:
        json.dump(result, file)


def check_model(request):
    """Calls all signatures and looks at what they answer.

    Args:
        request: dict of `model` (folder), `class_names` (list of str), `multi_label` (bool), `modalities` (names of
            raw features, from `MODALITIES`) and `examples` (list of base64 of serialized raw `tf.Example`s, with every
            raw feature).

    Returns:
        Dict of `reasons` (list of str: what is wrong, empty when nothing is), `calls` (list of what was called and
        came back) and `versions`.
    """
    import tensorflow as tf

    reasons, calls = [], []
    result = {"reasons": reasons, "calls": calls, "versions": {"tensorflow": tf.__version__, "python": sys.version}}
    try:
        model = tf.saved_model.load(request["model"])
    except (OSError, ValueError, KeyError, AttributeError, tf.errors.OpError) as error:
        reasons.append(f"The model cannot be loaded: {_in_short(error)}")
        return result
    signatures = dict(model.signatures)
    signature_inputs = {
        "serving_default": {"examples"},
        "serve_json": {MODALITIES[name].argument for name in request["modalities"]},
        "transform_features": {"examples"},
    }
    for name, inputs in signature_inputs.items():
        if name not in signatures:
            reasons.append(f"Signature `{name}` is missing. The model has {sorted(signatures)}.")
        elif set(signatures[name].structured_input_signature[1]) != inputs:
            received = sorted(signatures[name].structured_input_signature[1])
            reasons.append(f"Signature `{name}` must take {sorted(inputs)}. It takes {received}.")
    if reasons:
        return result

    def call(name, note, **inputs):
        start = time.monotonic()
        try:
            outputs = signatures[name](**inputs)
        except (ValueError, TypeError, tf.errors.OpError) as error:
            reasons.append(f"Signature `{name}` fails on {note}: {_in_short(error)}")
            return None
        calls.append(
            {
                "signature": name,
                "request": note,
                "seconds": round(time.monotonic() - start, 3),
                "inputs": {key: _describe(value) for key, value in inputs.items()},
                "outputs": {key: _describe(value) for key, value in outputs.items()},
            }
        )
        return {key: value.numpy() for key, value in outputs.items()}

    _check_signatures(tf, request, call, reasons)
    return result


def _check_signatures(tf, request, call, reasons):
    raw_records = [base64.b64decode(record) for record in request["examples"]]
    raw_examples = [tf.train.Example.FromString(record) for record in raw_records]
    names = request["modalities"]
    batch = len(raw_examples)
    requests = [_serving_example(tf, example, names) for example in raw_examples]
    # Columns of a REST body.
    columns = {
        MODALITIES[name].argument: MODALITIES[name].column([example.features.feature[name] for example in raw_examples])
        for name in names
    }

    def checked(note, expected_batch, outputs):
        if outputs is not None:
            reasons.extend(_problems(outputs, note, expected_batch, request["class_names"], request["multi_label"]))
        return outputs

    everything = checked(
        "serving_default, a batch",
        batch,
        call("serving_default", f"{batch} tf.Examples of {' and '.join(names)}", examples=tf.constant(requests)),
    )
    from_json = checked(
        "serve_json, a batch",
        batch,
        call("serve_json", f'a REST body of "inputs", {batch} rows', **_arguments_of_rest(tf, {"inputs": columns})),
    )
    rows = [{name: column[row] for name, column in columns.items()} for row in range(batch)]
    from_rows = call(
        "serve_json", f'a REST body of "instances", {batch} rows', **_arguments_of_rest(tf, {"instances": rows})
    )
    _compare(everything, from_json, "serving_default and serve_json", reasons)
    _compare(from_json, from_rows, 'the REST bodies "inputs" and "instances"', reasons)

    for row in range(batch):
        alone = call("serving_default", f"example {row} alone", examples=tf.constant(requests[row : row + 1]))
        if everything is not None:
            in_batch = {name: value[row : row + 1] for name, value in everything.items()}
            _compare(in_batch, alone, f"example {row} in the batch and alone", reasons)

    for name in names:
        for note, value in MODALITIES[name].variants(tf, raw_examples[0].features.feature[name]):
            body = {"instances": [{**rows[0], MODALITIES[name].argument: value}]}
            checked(note, 1, call("serve_json", note, **_arguments_of_rest(tf, body)))

    if "image" in names:
        rows.append({**rows[0], MODALITIES["image"].argument: _base64(b"no picture")})
        note = f"{batch} rows and one without a picture"
        reasons.extend(
            _row_problems(from_json, call("serve_json", note, **_arguments_of_rest(tf, {"instances": rows})))
        )

    transformed = call("transform_features", f"{batch} raw tf.Examples", examples=tf.constant(raw_records))
    if transformed is not None:
        reasons.extend(_label_problems(transformed, raw_examples, request["class_names"], request["multi_label"]))


def _block_packages():
    sys.meta_path.insert(0, Blocker())
    for name in BLOCKED_PACKAGES:
        for module in [module for module in sys.modules if module.partition(".")[0] == name]:
            del sys.modules[module]
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        raise RuntimeError(f"Package {name} can still be imported, so this check would prove nothing.")


def _serving_example(tf, example, names):
    features = {name: example.features.feature[name] for name in names}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def _arguments_of_rest(tf, body):
    """Reads a REST body as TensorFlow Serving does: columns or rows, and base64 behind the key `b64`."""
    parsed = json.loads(json.dumps(body))
    columns = parsed.get("inputs")
    if columns is None:
        rows = parsed["instances"]
        columns = {name: [row[name] for row in rows] for name in rows[0]}

    def decoded(value):
        if isinstance(value, list):
            return [decoded(entry) for entry in value]
        if isinstance(value, dict):
            return base64.b64decode(value["b64"])
        return value.encode("utf-8") if isinstance(value, str) else float(value)

    return {name: tf.constant(decoded(values)) for name, values in columns.items()}


class _Text:
    """How a client sends texts."""

    argument = "text"

    def column(self, features):
        return [_only_value(feature, "text").decode("utf-8") for feature in features]

    def variants(self, tf, feature):
        return [("an empty text", ""), ("a text of unknown words", "größe \u2603 qxzv")]


class _Image:
    """How a client sends pictures."""

    argument = "image_bytes"

    def column(self, features):
        return [_base64(_only_value(feature, "image")) for feature in features]

    def variants(self, tf, feature):
        image = tf.io.decode_image(_only_value(feature, "image"), channels=3, expand_animations=False)
        return [
            ("a JPEG picture", _base64(tf.io.encode_jpeg(image).numpy())),
            ("a PNG picture", _base64(tf.io.encode_png(image).numpy())),
        ]


class _Skeleton:
    """How a client sends skeletons: frames of two bodies, 25 joints and three coordinates."""

    argument = "skeleton"

    def column(self, features):
        clips = [self._frames(feature) for feature in features]
        # A tensor is a box: frames of zeros fill up what is shorter.
        return [clip + [_zeros()] * (max(map(len, clips)) - len(clip)) for clip in clips]

    def variants(self, tf, feature):
        frames = self._frames(feature)
        return [("a skeleton of one frame", frames[:1]), ("a skeleton of many frames", frames * 3)]

    def _frames(self, feature):
        import numpy as np

        return np.reshape(feature.float_list.value, (-1, *SKELETON_FRAME)).tolist()


class _Clip:
    """How a client sends clips: the frames in the order of time."""

    def __init__(self, argument):
        self.argument = argument

    def column(self, features):
        clips = [[_base64(frame) for frame in feature.bytes_list.value] for feature in features]
        # A tensor is a box: empty strings fill up what is shorter.
        return [clip + [_base64(b"")] * (max(map(len, clips)) - len(clip)) for clip in clips]

    def variants(self, tf, feature):
        frames = list(feature.bytes_list.value)
        frame = tf.io.decode_image(frames[0], expand_animations=False)
        clip = f"a {self.argument} clip"
        return [
            (f"{clip} of one frame", [_base64(frames[0])]),
            (f"{clip} of many frames", [_base64(frame) for frame in frames * 3]),
            (f"{clip} of a JPEG frame", [_base64(tf.io.encode_jpeg(frame).numpy())]),
            (f"{clip} of a PNG frame", [_base64(tf.io.encode_png(frame).numpy())]),
        ]


def _zeros():
    import numpy as np

    return np.zeros(SKELETON_FRAME).tolist()


# The keys are names of raw features.
MODALITIES = {
    "text": _Text(),
    "image": _Image(),
    "skeleton": _Skeleton(),
    "depth": _Clip("depth"),
    "video": _Clip("video"),
}


def _only_value(feature, name):
    values = feature.bytes_list.value
    if len(values) != 1:
        raise RuntimeError(f"Raw examples must have one `{name}` each. Received: {len(values)}.")
    return values[0]


def _base64(value):
    return {"b64": base64.b64encode(value).decode("ascii")}


def _problems(outputs, note, batch, class_names, multi_label):
    import numpy as np

    for name in ("class_names", "probabilities", "abstain", "error"):
        if name not in outputs:
            return [f"Output `{name}` is missing ({note}). There are {sorted(outputs)}."]
    problems = []
    if outputs["error"].shape != (batch,) or any(outputs["error"]):
        problems.append(
            f"Output `error` must be empty in each of {batch} good rows ({note}). It is {outputs['error']}."
        )
    shape = (batch, len(class_names))
    for name in ("class_names", "probabilities"):
        if outputs[name].shape != shape:
            problems.append(f"Output `{name}` must have the shape {shape} ({note}). It has {outputs[name].shape}.")
    shape = shape if multi_label else shape[:1]
    if outputs["abstain"].dtype != np.bool_ or outputs["abstain"].shape != shape:
        received = f"{outputs['abstain'].dtype} of {outputs['abstain'].shape}"
        problems.append(f"Output `abstain` must be bool of the shape {shape} ({note}). It is {received}.")
    for name, value in outputs.items():
        if not _is_number(name):
            continue
        if value.dtype != np.float32:
            problems.append(f"Output `{name}` must be float32 ({note}). It is {value.dtype}.")
        elif value.shape[:1] != (batch,):
            problems.append(f"Output `{name}` must have {batch} rows ({note}). Its shape is {value.shape}.")
        elif not np.isfinite(value).all():
            problems.append(f"Output `{name}` is not finite ({note}).")
        elif value.min() < -AGREEMENT_TOLERANCE or value.max() > 1 + AGREEMENT_TOLERANCE:
            problems.append(f"Output `{name}` must be in [0, 1] ({note}). It spans {value.min()} to {value.max()}.")
    if problems:
        return problems
    expected_names = np.tile(np.asarray([name.encode("utf-8") for name in class_names], object), (batch, 1))
    if not np.array_equal(outputs["class_names"], expected_names):
        problems.append(f"Output `class_names` must be {class_names} ({note}). It is {outputs['class_names'][0]}.")
    sums = outputs["probabilities"].sum(axis=1)
    if not multi_label and not np.allclose(sums, 1.0, atol=1e-3):
        problems.append(f"`probabilities` must sum to one ({note}). They sum to {sums.tolist()}.")
    return problems


def _row_problems(good, mixed):
    """What is wrong where the last of the rows has no picture and the others are good."""
    reasons = []
    if good is None or mixed is None or "error" not in mixed:
        return reasons
    errors = [bool(error) for error in mixed["error"]]
    if errors != [False] * (len(errors) - 1) + [True]:
        reasons.append(f"`error` must be told of the last row, which has no picture, alone. It is {mixed['error']}.")
    _compare(good, {name: value[:-1] for name, value in mixed.items()}, "rows with and without a bad one", reasons)
    return reasons


def _compare(first, second, note, reasons):
    import numpy as np

    if first is None or second is None:
        return
    for name in sorted(filter(_is_number, set(first) & set(second))):
        difference = float(np.max(np.abs(first[name] - second[name]))) if first[name].size else 0.0
        # Not `difference > tolerance`, which a NaN would pass.
        if not difference <= AGREEMENT_TOLERANCE:
            what = "both are not numbers" if math.isnan(difference) else f"they differ by {difference:.2g}"
            reasons.append(f"Output `{name}` must agree between {note}: {what}.")


def _is_number(name):
    return name not in NOT_NUMBERS and not name.endswith(NOT_NUMBERS_ENDING)


def _label_problems(transformed, raw_examples, class_names, multi_label):
    if "label" not in transformed:
        return [f"`transform_features` must return `label`. It returns {sorted(transformed)}."]
    labels = transformed["label"]
    expected_shape = (len(raw_examples), len(class_names) if multi_label else 1)
    if labels.shape != expected_shape:
        return [f"`label` must have the shape {expected_shape}. It has {labels.shape}."]
    problems = []
    for example, label in zip(raw_examples, labels, strict=True):
        expected = {value.decode("utf-8") for value in example.features.feature["labels"].bytes_list.value}
        if multi_label:
            received = {name for name, is_true in zip(class_names, label, strict=True) if is_true > 0.5}
        else:
            received = {class_names[label[0]]} if 0 <= label[0] < len(class_names) else {f"number {label[0]}"}
        if expected != received:
            problems.append(f"`transform_features` gives {sorted(received)} for an example of {sorted(expected)}.")
    return problems


def _describe(tensor):
    return {"dtype": tensor.dtype.name, "shape": [int(size) for size in tensor.shape]}


def _in_short(error):
    return " ".join(str(error).split())[:500]


if __name__ == "__main__":
    main(*sys.argv[1:])
