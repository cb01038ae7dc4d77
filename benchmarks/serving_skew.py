"""Whether a served row becomes the tokens and pixels that were trained on: `python -m benchmarks.serving_skew`.

Takes the train and dev rows of a finished run. What Transform kept of each, in batches and by way of the ingest, is
compared with what the same graph, as it serves, makes of that row alone: of the bytes of its picture's file and its
text. One differing token or pixel makes a row differ.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping

# Before TensorFlow is imported: its start-up prints errors where no GPU is.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import click
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from benchmarks.serving_latency import newest
from components.multimodal_example_gen.row import Row
from components.multimodal_example_gen.rows_to_examples import make_example
from components.multimodal_example_gen.sources.registry import make_source
from hfmnas_keras.data.modalities import MODALITIES
from hfmnas_keras.data.transformed_examples import read_transformed_examples
from pipeline.config_file import load_config

SPLITS = ("train", "dev")


@click.command(help="Counts the rows of a run that serving would turn into other tokens or pixels.")
@click.option("--config", "config_path", default="demo", show_default=True, help="Configuration of the run.")
def main(config_path: str) -> None:
    """Compares, and prints a line for each modality and split; exit code 1 where rows differ."""
    config = load_config(config_path)
    newest_file = newest(f"{config.pipeline_root}/Transform/transformed_examples", "*/Split-*/*.gz")
    folder = pathlib.Path(newest_file).parents[1]
    graph = pathlib.Path(config.pipeline_root) / "Transform" / "transform_graph" / folder.name
    source = make_source(config.data.source, config.source_settings())
    examples = {row.id: _example(row, getattr(source, "data_root", "")) for row in source.read().rows}
    found = 0
    for split in SPLITS:
        files = str(folder / f"Split-{split}" / "*")
        for modality, (rows, differing) in differing_rows(str(graph), files, examples).items():
            click.echo(f"{split}, {modality}: {len(differing)} of {rows} rows differ{_some(differing)}")
            found += len(differing)
    if found:
        raise SystemExit(1)


def differing_rows(transform_graph: str, files: str, examples: Mapping[str, bytes]) -> dict[str, tuple[int, list[str]]]:
    """Compares transformed rows with what the graph makes of each by itself.

    Args:
        transform_graph: folder that Transform wrote its graph to.
        files: pattern of the transformed examples' files.
        examples: dict from a row's id to its raw example, serialized.

    Returns:
        dict from modality to the number of rows and the ids of those that differ.

    Raises:
        KeyError: when there is no example of a row.
    """
    output = tft.TFTransformOutput(transform_graph)
    layer, specs = output.transform_features_layer(), output.raw_feature_spec()
    kept = read_transformed_examples(files)

    @tf.function(input_signature=[tf.TensorSpec([1], tf.string)])
    def prepared(example):
        transformed = layer(tf.io.parse_example(example, specs))
        return {name: MODALITIES[name].decode(MODALITIES[name].of_transformed(transformed)) for name in kept.columns}

    differing: dict[str, list[str]] = {name: [] for name in kept.columns}
    for number, row_id in enumerate(kept.ids):
        served = prepared(tf.constant([examples[row_id]]))
        for name, column in kept.columns.items():
            trained = MODALITIES[name].decode(tf.constant(column[[number]]))
            if not np.array_equal(served[name], trained):
                differing[name].append(row_id)
    return {name: (kept.num_rows, ids) for name, ids in differing.items()}


def _example(row: Row, folder: str) -> bytes:
    picture = pathlib.Path(folder, row.media["image"]).read_bytes()
    return make_example(row, {"text": row.text.encode("utf-8"), "image": picture}).SerializeToString()


def _some(ids: list[str]) -> str:
    return "." if not ids else f", the first: {', '.join(ids[:5])}."


if __name__ == "__main__":
    main()
