"""An exported model, called in this process by plain TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from hfmnas_keras.data.stored_files import is_file

#: Names of outputs by modality.
MODALITY_BELIEF, MODALITY_UNCERTAINTY = "{}_belief", "{}_uncertainty"
#: Rows of a call; within it the network runs over fewer at a time.
ROWS_A_CALL = 64
# Of a row, beside label and probabilities.
_ALSO_TOLD = ("conflict", "uncertainty", "abstain")


class ServedModel:
    """A SavedModel that `export_saved_model` wrote, of texts and pictures.

    Args:
        path: its folder, a path or an address.

    Raises:
        ValueError: when it is none, or of other modalities.
    """

    def __init__(self, path: str | os.PathLike):
        folder = os.fspath(path)
        if not is_file(os.path.join(folder, "saved_model.pb")):
            raise ValueError(f"There is no exported model in {folder!r}: it has no saved_model.pb.")
        self._model = tf.saved_model.load(folder)
        signature = self._model.signatures.get("serve_json")
        arguments = {} if signature is None else signature.structured_input_signature[1]
        if signature is None or not arguments or not set(arguments) <= {"text", "image_bytes"}:
            raise ValueError(
                f"The model in {folder!r} must have a signature `serve_json` of `text` and `image_bytes`. "
                f"Received: {sorted(arguments) or sorted(self._model.signatures)}."
            )
        self._call = signature
        #: Modalities that it reads.
        self.modalities = tuple(
            modality for modality, name in (("text", "text"), ("image", "image_bytes")) if name in arguments
        )

    def answers(
        self,
        num_rows: int,
        text: Callable[[int], str] | None = None,
        image: Callable[[int], bytes] | None = None,
    ) -> dict[str, np.ndarray]:
        """All that the model says of rows.

        Args:
            num_rows: int, at least 1.
            text, image: functions from the number of a row to its text, or its encoded picture. Those of modalities
                that the model does not read are not called.

        Returns:
            dict of arrays `(rows, ...)`, as of the signature `serve_json`; strings are `str`.
        """
        makers: dict[str, Callable[[int], str | bytes] | None] = {"text": text, "image": image}
        missing = [modality for modality in self.modalities if makers[modality] is None]
        if missing:
            raise ValueError(f"The model reads {' and '.join(self.modalities)}. There is no {missing[0]}.")
        parts: list[dict[str, np.ndarray]] = []
        for start in range(0, num_rows, ROWS_A_CALL):
            rows = range(start, min(start + ROWS_A_CALL, num_rows))
            values = {
                modality: [make(row) for row in rows]
                for modality, make in makers.items()
                if modality in self.modalities and make is not None
            }
            parts.append(self.answers_to(values))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def answers_to(self, values: Mapping[str, Sequence[str | bytes]]) -> dict[str, np.ndarray]:
        """What the model says of the rows of one call: sequences of texts and pictures by modality."""
        arguments = {
            "image_bytes" if modality == "image" else modality: tf.constant(list(rows), tf.string, [len(rows)])
            for modality, rows in values.items()
        }
        outputs = self._call(**arguments)
        return {name: _as_array(value.numpy()) for name, value in outputs.items()}


def answers_by_row(answers: Mapping[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    """What a `ServedModel` says of each row, as JSON has it.

    Args:
        answers: dict of arrays, as of `ServedModel.answers`.

    Yields:
        dict of `label` and `score`, or `labels`; `probabilities` by class; `conflict`, `uncertainty` and `abstain`, of
        which a model of one modality lacks some; `missing`, the modality that the row lacks; and `error`. The last two
        are `""` where there is nothing to say.
    """
    names = [str(name) for name in answers["class_names"][0]]
    for row in range(len(answers["error"])):
        told: dict[str, Any] = {}
        if "label" in answers:
            told.update(label=answers["label"][row], score=_number(answers["score"][row]))
        else:
            told["labels"] = [name for name in answers["labels"][row] if name]
        told["probabilities"] = dict(zip(names, map(_number, answers["probabilities"][row]), strict=True))
        told.update({name: answers[name][row].tolist() for name in _ALSO_TOLD if name in answers})
        # Models of earlier versions do not say it.
        told.update({name: answers[name][row] for name in ("missing",) if name in answers})
        yield {**told, "error": answers["error"][row]}


def _number(value: Any) -> float:
    return round(float(value), 6)


def _as_array(values: np.ndarray) -> np.ndarray:
    if values.dtype != object:
        return values
    return np.array([value.decode("utf-8") for value in values.ravel()], object).reshape(values.shape)
