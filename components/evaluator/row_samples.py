"""Rows of the evaluated split one by one, for a person to look at: what the model says and what they are."""

from __future__ import annotations

import base64
import io
import json
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image
from tfx.dsl.io import fileio

from hfmnas_keras.evidence.audit import audit, opinion_probabilities

SAMPLES_FILE = "samples.json"
#: So many rows are looked at, the first ones; the ingest has mixed them.
MOST_ROWS = 2000
#: So many are shown of each kind.
SHOWN = 8
_ROWS_A_CALL = 64
_SIDE, _LONGEST_TEXT = 112, 400
_BINS = 10
_BELIEF, _UNCERTAINTY = "_belief", "_uncertainty"
_PICTURES = ("image", "video", "depth")


def write_samples(
    folder: str, model_path: str, example_folders: Iterable[str], class_names: Sequence[str], multi_label: bool
) -> None:
    """Asks the model for the first `MOST_ROWS` rows and writes some of them, and its calibration, beside an evaluation.

    `samples.json` has `rows`, how many were looked at; `calibration`, see `calibration_of`; and lists of rows:

    - `wrong`: the errors that the model is surest of; `right`: the first right ones;
    - `doubtful`: rows whose label or pairing is doubtful by what each modality alone says, of two modalities
      (`hfmnas_keras.evidence.audit`).

    A row has `id`, `labels`, `given`, `score`, `conflict`, `alone` (the class that each modality alone says), `text`
    and `picture` (base64 of a small JPEG), both as far as it has them, and, if doubtful, `suggested`, `label_doubt` and
    `mismatch`. Of a model whose outputs are not finite nothing is written.

    Args:
        folder: str. The `uri` of a `ModelEvaluation`.
        model_path: str. Folder of the SavedModel.
        example_folders: folders of the raw examples.
        class_names: sequence of str, in the order of the outputs.
        multi_label: bool.
    """
    files = sorted(file for path in example_folders for file in tf.io.gfile.glob(f"{path}/*"))
    outputs, truth, ids = _outputs(model_path, files, class_names, multi_label)
    if outputs is None:
        return
    probabilities = outputs["probabilities"]
    given = outputs["given"]
    is_right = (given == truth).all(axis=1)
    # The probability of what was given; of several labels, how far the worst of them is off.
    sureness = np.abs(probabilities - truth).max(axis=1) if multi_label else probabilities.max(axis=1)
    wrong = np.flatnonzero(~is_right)
    chosen: dict[str, list[int]] = {
        "wrong": wrong[np.argsort(-sureness[wrong], kind="stable")][:SHOWN].tolist(),
        "right": np.flatnonzero(is_right)[:SHOWN].tolist(),
        "doubtful": [],
    }
    told: dict[int, dict[str, Any]] = {}
    modalities = [name.removesuffix(_BELIEF) for name in outputs if name.endswith(_BELIEF)]
    if len(modalities) == 2:
        chosen["doubtful"], told = _doubtful(outputs, truth, modalities, class_names, multi_label)
    seen = _shown(files, {row for rows in chosen.values() for row in rows})

    def row_of(row: int) -> dict[str, Any]:
        return {
            "id": ids[row],
            "labels": [class_names[number] for number in np.flatnonzero(truth[row])],
            "given": [class_names[number] for number in np.flatnonzero(given[row])],
            "score": float(probabilities[row].max()),
            "conflict": None if multi_label or len(modalities) < 2 else float(np.ravel(outputs["conflict"][row])[0]),
            "alone": {}
            if multi_label
            else {name: class_names[int(outputs[f"{name}{_BELIEF}"][row].argmax())] for name in modalities},
            **seen[row],
        }

    record = {
        "rows": len(ids),
        "calibration": calibration_of(probabilities, truth),
        **{kind: [row_of(row) for row in rows] for kind, rows in chosen.items() if kind != "doubtful"},
        "doubtful": [{**row_of(row), **told[row]} for row in chosen["doubtful"]],
    }
    with fileio.open(os.path.join(folder, SAMPLES_FILE), "w") as file:
        file.write(json.dumps(record, indent=1, allow_nan=False) + "\n")


def read_samples(folder: str) -> dict[str, Any] | None:
    """Returns what `write_samples` wrote; `None` of an evaluation without samples."""
    path = os.path.join(folder, SAMPLES_FILE)
    if not fileio.exists(path):
        return None
    with fileio.open(path, "r") as file:
        return json.loads(file.read())


def calibration_of(probabilities: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """How often what the model calls so probable is true, in ten bins of equal width.

    Args:
        probabilities: array `(rows, classes)`. Where each row sums to 1 and has one class, only that of the class that
            is given is counted; else each label's is.
        truth: array `(rows, classes)`, 0 or 1.

    Returns:
        dict: `bins`, a list of `{"count", "said", "true"}`, the empty ones left out, and `error`, the mean distance of
        the last two, each bin by its count (expected calibration error).
    """
    if (truth.sum(axis=1) == 1).all() and np.allclose(probabilities.sum(axis=1), 1, atol=1e-3):
        best = probabilities.argmax(axis=1)[:, np.newaxis]
        said, true = (np.take_along_axis(array, best, axis=1)[:, 0] for array in (probabilities, truth))
    else:
        said, true = probabilities.ravel(), truth.ravel()
    place = np.minimum((said * _BINS).astype(int), _BINS - 1)
    bins = [
        {"count": int(of_bin.sum()), "said": float(said[of_bin].mean()), "true": float(true[of_bin].mean())}
        for of_bin in (place == number for number in range(_BINS))
        if of_bin.any()
    ]
    return {"bins": bins, "error": sum(one["count"] * abs(one["said"] - one["true"]) for one in bins) / len(said)}


def _outputs(
    model_path: str, files: Sequence[str], class_names: Sequence[str], multi_label: bool
) -> tuple[dict[str, np.ndarray] | None, np.ndarray, list[str]]:
    """What the model says of each row, `given` as 0 and 1; the true labels likewise; the ids."""
    signature = tf.saved_model.load(model_path).signatures["serving_default"]
    parts: list[dict[str, np.ndarray]] = []
    labels, ids = [], []
    for batch in tf.data.TFRecordDataset(files, compression_type="GZIP").take(MOST_ROWS).batch(_ROWS_A_CALL):
        answer = {name: value.numpy() for name, value in signature(examples=batch).items()}
        if not multi_label:
            answer["given"] = np.eye(len(class_names), dtype=bool)[answer["probabilities"].argmax(axis=1)]
        elif "labels" in answer:
            names = answer["class_names"]
            answer["given"] = (names[:, :, np.newaxis] == answer["labels"][:, np.newaxis, :]).any(axis=2)
        else:
            answer["given"] = answer["probabilities"] > 0.5
        parts.append({name: value for name, value in answer.items() if value.dtype != object})
        for serialized in batch.numpy():
            features = tf.train.Example.FromString(serialized).features.feature
            ids.append(b"".join(features["id"].bytes_list.value).decode("utf-8"))
            labels.append([name.decode("utf-8") for name in features["labels"].bytes_list.value])
    outputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    truth = np.array([[name in row for name in class_names] for row in labels])
    is_finite = all(np.isfinite(value).all() for value in outputs.values())
    return (outputs if is_finite else None), truth, ids


def _doubtful(
    outputs: Mapping[str, np.ndarray],
    truth: np.ndarray,
    modalities: Sequence[str],
    class_names: Sequence[str],
    multi_label: bool,
) -> tuple[list[int], dict[int, dict[str, Any]]]:
    uncertainties = {name: outputs[f"{name}{_UNCERTAINTY}"] for name in modalities}
    if not multi_label:
        uncertainties = {name: values.ravel() for name, values in uncertainties.items()}
    found = audit(
        {name: opinion_probabilities(outputs[f"{name}{_BELIEF}"], uncertainties[name]) for name in modalities},
        truth if multi_label else truth.argmax(axis=1),
    )

    def suggested(row: int) -> str:
        name = class_names[int(found.suggested[row])]
        return name if not multi_label else f"not {name}" if truth[row, found.suggested[row]] else f"also {name}"

    # Of a modality that is not there nothing is believed, and one alone contradicts nothing.
    whole = np.flatnonzero(np.min([outputs[f"{name}{_BELIEF}"].sum(axis=1) for name in modalities], axis=0) > 0)
    ranks = [np.argsort(np.argsort(-scores[whole], kind="stable")) for scores in (found.label_doubt, found.mismatch)]
    order = whole[np.lexsort((ranks[0], np.minimum(*ranks)))][:SHOWN].tolist()
    told = {
        row: {
            "suggested": suggested(row),
            "label_doubt": float(found.label_doubt[row]),
            "mismatch": float(found.mismatch[row]),
        }
        for row in order
    }
    return order, told


def _shown(files: Sequence[str], numbers: set[int]) -> dict[int, dict[str, str]]:
    """Text and small picture of some rows, read again: all pictures would not fit into memory."""
    shown = {}
    records: Iterator[bytes] = tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator()
    for number, record in enumerate(records):
        if number > max(numbers, default=-1):
            break
        if number not in numbers:
            continue
        features = tf.train.Example.FromString(record).features.feature
        row = {}
        if "text" in features and (text := b"".join(features["text"].bytes_list.value).decode("utf-8", "replace")):
            row["text"] = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} ..."
        frames = next((list(features[name].bytes_list.value) for name in _PICTURES if name in features), [])
        if frames and frames[len(frames) // 2]:
            row["picture"] = _small(frames[len(frames) // 2])
        shown[number] = row
    return shown


def _small(encoded: bytes) -> str:
    with warnings.catch_warnings():
        # The ingest has looked at the size already.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        opened = Image.open(io.BytesIO(encoded), formats=("PNG", "JPEG"))
        opened.draft("RGB", (_SIDE, _SIDE))
        image = opened.convert("RGB")
        image.thumbnail((_SIDE, _SIDE))
        file = io.BytesIO()
        image.save(file, "JPEG", quality=80)
    return base64.b64encode(file.getvalue()).decode()
