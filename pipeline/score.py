"""Batch scoring: a served model's answers to all rows of a manifest, by Beam."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions

from components.multimodal_example_gen.record import inside
from components.multimodal_example_gen.row import SkipRowError
from components.multimodal_example_gen.sources.manifest_source import ManifestSource
from hfmnas_keras.data.picture_headers import MAX_BYTES

_SIGNATURE = "serve_json"
_INPUTS = {"text", "image_bytes"}


def score_manifest(
    model: str,
    manifest: str,
    output: str,
    data_root: str | None = None,
    batch_size: int = 32,
    beam_args: Sequence[str] = ("--direct_running_mode=in_memory", "--direct_num_workers=1"),
) -> None:
    """Writes what a model says of each row of a manifest, as one file of JSON lines in any order.

    A line has the row's `id`; `label` and `score`, or `labels`; `probabilities` by class; `conflict`, `uncertainty`,
    `abstain`; and `error`: why a row has no answer, such as a missing picture, else `""`.

    Args:
        model: str. Folder of a pushed version, path or address.
        manifest: str. JSONL or CSV with `id`, `text` and `image`, path or address; other columns are not read.
        output: str. File to write, path or address.
        data_root: str or None. Folder of the pictures. `None` (default): the manifest's.
        batch_size: int. Most rows that the model gets at once. Defaults to `32`.
        beam_args: sequence of str. Options of Beam, for example of Dataflow. One process by default.

    Raises:
        ValueError: when the model does not take texts and pictures, or the manifest cannot be read.
        FileNotFoundError: when there is no manifest.
    """
    rows = list(ManifestSource(manifest, data_root).unlabelled_rows())
    root = ManifestSource(manifest, data_root).data_root
    with beam.Pipeline(options=PipelineOptions(list(beam_args))) as pipeline:
        _ = (
            pipeline
            | "Rows" >> beam.Create(rows)
            | "Batches" >> beam.BatchElements(min_batch_size=1, max_batch_size=batch_size)
            | "Score" >> beam.ParDo(_Score(model, root))
            | "AsJson" >> beam.Map(lambda answer: json.dumps(answer, ensure_ascii=False))
            | "Write" >> beam.io.WriteToText(output, num_shards=1, shard_name_template="")
        )


class _Score(beam.DoFn):
    """Calls the model, which each worker loads once."""

    def __init__(self, model: str, root: str):
        self._model_folder = model
        self._root = root

    def setup(self) -> None:
        loaded = tf.saved_model.load(self._model_folder)
        self._serve: Any = loaded.signatures.get(_SIGNATURE)
        inputs = set(self._serve.structured_input_signature[1]) if self._serve else set()
        if inputs != _INPUTS:
            raise ValueError(
                f"The model in {self._model_folder!r} must take {sorted(_INPUTS)} by its signature {_SIGNATURE!r}. "
                f"Received: {sorted(inputs)}."
            )
        # The signature keeps what it needs only as long as the model is there.
        self._model = loaded

    def process(self, batch: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        rows, pictures = [], []
        for row in batch:
            picture, error = _picture(self._root, row)
            if error:
                yield {"id": row["id"], "error": error}
            else:
                rows.append(row)
                pictures.append(picture)
        if rows:
            answer = self._serve(text=tf.constant([row["text"] for row in rows]), image_bytes=tf.constant(pictures))
            values = {name: value.numpy() for name, value in answer.items()}
            for place, row in enumerate(rows):
                yield {"id": row["id"], **_of_row(values, place)}


def _picture(root: str, row: dict[str, Any]) -> tuple[bytes, str]:
    try:
        with tf.io.gfile.GFile(inside(root, row["image"], "image"), "rb") as file:
            # One more than a request may have: the model tells it is too large.
            return file.read(MAX_BYTES + 1), ""
    except SkipRowError as error:
        return b"", error.detail
    except tf.errors.OpError as error:
        return b"", f"the picture {row['image']!r} cannot be read: {type(error).__name__}"


def _of_row(values: dict[str, np.ndarray], place: int) -> dict[str, Any]:
    names = [name.decode() for name in values["class_names"][place]]
    answer: dict[str, Any] = {}
    if "labels" in values:
        answer["labels"] = [name.decode() for name in values["labels"][place] if name]
    else:
        answer["label"], answer["score"] = values["label"][place].decode(), float(values["score"][place])
    answer["probabilities"] = dict(zip(names, map(float, values["probabilities"][place]), strict=True))
    for name in ("conflict", "uncertainty"):
        if name in values:
            answer[name] = np.asarray(values[name][place], float).tolist()
    answer["abstain"] = np.asarray(values["abstain"][place], bool).tolist()
    answer["error"] = values["error"][place].decode()
    return answer
