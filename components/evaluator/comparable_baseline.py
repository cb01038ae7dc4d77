"""Whether the last blessed model can be compared with a new one at all."""

from __future__ import annotations

import json
import os

import tensorflow as tf
from tensorflow_model_analysis.proto import config_pb2
from tfx.dsl.io import fileio

from components.evaluator.eval_config import GATED_OUTPUT

BASELINE_FILE = "baseline.json"
_MOST_NAMES = 5


def why_not_comparable(model_path: str, eval_config: config_pb2.EvalConfig, example: bytes) -> str | None:
    """Says why a model is no baseline of an evaluation.

    Args:
        model_path: str. Folder of its SavedModel.
        eval_config: `EvalConfig` from `make_eval_config`.
        example: bytes. A serialized example that is evaluated.

    Returns:
        str or None: a part of a sentence, such as "it has other classes"; `None` when the two can be compared.
    """
    outputs = {name for spec in eval_config.metrics_specs for name in spec.output_names}
    (settings,) = (
        json.loads(spec.metrics[0].config) for spec in eval_config.metrics_specs if GATED_OUTPUT in spec.output_names
    )
    try:
        signatures = tf.saved_model.load(model_path).signatures
        if missing := outputs - set(signatures["serving_default"].structured_outputs):
            return f"it has no outputs {sorted(missing)}"
        answer = signatures["serving_default"](examples=tf.constant([example]))
        signatures["transform_features"](examples=tf.constant([example]))
    except (OSError, ValueError, KeyError, TypeError, tf.errors.OpError) as error:
        return f"it does not answer, from {model_path} ({str(error).strip().splitlines()[0]})"
    if "class_names" not in answer:
        return "it does not name its classes"
    names = [name.decode("utf-8") for name in answer["class_names"].numpy()[0]]
    own = settings["class_names"]
    if names != own:
        parts = [
            f"{what} {_list(differing)}"
            for what, differing in (
                ("without", [name for name in own if name not in names]),
                ("with", [name for name in names if name not in own]),
            )
            if differing
        ]
        return f"it has other classes, {' and '.join(parts)}" if parts else "it has its classes in another order"
    if ("label" if settings["multi_label"] else "labels") in answer:
        return f"it gives {'one label' if settings['multi_label'] else 'several labels'} a row"
    return None


def write_left_out(folder: str, reason: str) -> None:
    """Notes beside an evaluation that the last blessed model was no baseline.

    Args:
        folder: str. The `uri` of a `ModelEvaluation`.
        reason: str. As of `why_not_comparable`.
    """
    with fileio.open(os.path.join(folder, BASELINE_FILE), "w") as file:
        file.write(json.dumps({"left_out": reason}) + "\n")


def read_left_out(folder: str) -> str | None:
    """Returns what `write_left_out` wrote; `None` where nothing was left out."""
    path = os.path.join(folder, BASELINE_FILE)
    if not fileio.exists(path):
        return None
    with fileio.open(path, "r") as file:
        return json.loads(file.read())["left_out"]


def _list(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:_MOST_NAMES]))
    return shown if len(names) <= _MOST_NAMES else f"{shown} and {len(names) - _MOST_NAMES} more"
