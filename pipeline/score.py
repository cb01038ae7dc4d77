"""Batch scoring: a served model's answers to all rows of a manifest, by Beam."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions

from components.multimodal_example_gen.record import inside
from components.multimodal_example_gen.row import SkipRowError
from components.multimodal_example_gen.sources.manifest_source import ManifestSource
from hfmnas_keras.data.picture_headers import MAX_BYTES
from hfmnas_keras.data.stored_files import is_file
from hfmnas_keras.export.served_model import ServedModel, answers_by_row


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
        ValueError: when the model takes something else than texts and pictures, or the manifest cannot be read.
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
        self._model = ServedModel(self._model_folder)

    def process(self, batch: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        rows, pictures = [], []
        for row in batch:
            picture, error = _picture(self._root, row) if "image" in self._model.modalities else (b"", "")
            if error:
                yield {"id": row["id"], "error": error}
            else:
                rows.append(row)
                pictures.append(picture)
        if rows:
            values = {"text": [row["text"] for row in rows], "image": pictures}
            answers = self._model.answers_to({modality: values[modality] for modality in self._model.modalities})
            for row, answer in zip(rows, answers_by_row(answers), strict=True):
                yield {"id": row["id"], **answer}


def _picture(root: str, row: dict[str, Any]) -> tuple[bytes, str]:
    try:
        path = inside(root, row["image"], "image")
        if not is_file(path):
            return b"", f"there is no picture {row['image']!r}"
        with tf.io.gfile.GFile(path, "rb") as file:
            # One more than a request may have: the model tells it is too large.
            return file.read(MAX_BYTES + 1), ""
    except SkipRowError as error:
        return b"", error.detail
    except tf.errors.OpError as error:
        return b"", f"the picture {row['image']!r} cannot be read: {type(error).__name__}"
