"""Features of the test split, which the pipeline leaves to the Evaluator."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from components.transform.text import vocabulary_size
from hfmnas_keras.data.feature_set import FeatureSet
from hfmnas_keras.data.transformed_examples import TransformedExamples, transformed_examples
from hfmnas_keras.pretraining.extraction import extract_features, read_backbones

_BATCH = 32


def extract_test_features(uris: Mapping[str, str]) -> FeatureSet:
    """Computes what the reference backbones make of the test rows.

    The raw rows pass the graph of Transform, which serving uses too.

    Args:
        uris: dict of str, as `pipeline.run_summary.RunSummary.uris`: folders of `MultimodalExampleGen.examples`,
            `Transform.transform_graph` and `BackboneTrainer.backbones`.

    Returns:
        `FeatureSet`.

    Raises:
        ValueError: when there are no test rows, one has no label among the classes, or lacks a modality.
    """
    backbones = uris["BackboneTrainer.backbones"]
    rows = _transformed_rows(
        os.path.join(uris["MultimodalExampleGen.examples"], "Split-test"),
        tft.TFTransformOutput(uris["Transform.transform_graph"]),
        list(read_backbones(backbones)["modalities"]),
    )
    if lacking := {name: int(of_rows.sum()) for name, of_rows in rows.lacking().items() if of_rows.any()}:
        raise ValueError(f"A study needs test rows with both modalities. Rows that lack one: {lacking}.")
    return FeatureSet(
        ids=rows.ids,
        features=extract_features(backbones, rows.ids, rows.inputs(), "test"),
        labels=rows.labels,
        tokens=rows.tokens,
    )


def token_ids(uris: Mapping[str, str]) -> int | None:
    """Number of token ids of a run, padding included; `None` where no modality is a text."""
    if "text" not in read_backbones(uris["BackboneTrainer.backbones"])["modalities"]:
        return None
    return vocabulary_size(tft.TFTransformOutput(uris["Transform.transform_graph"]))


def _transformed_rows(folder: str, transform: tft.TFTransformOutput, modalities: list[str]) -> TransformedExamples:
    files = sorted(glob.glob(os.path.join(folder, "*")))
    layer = transform.transform_features_layer()
    batches: dict[str, list[np.ndarray]] = {}
    for serialized in tf.data.TFRecordDataset(files, compression_type="GZIP").batch(_BATCH):
        for name, values in layer(tf.io.parse_example(serialized, transform.raw_feature_spec())).items():
            batches.setdefault(name, []).append(values.numpy())
    if not batches:
        raise ValueError(f"{folder} holds no test rows, on which a study compares its models.")
    arrays = {name: np.concatenate(parts) for name, parts in batches.items()}
    labels = arrays["labels"] if "labels" in arrays else arrays["label"][:, 0]
    if labels.ndim == 1 and labels.min() < 0:
        raise ValueError(f"{int((labels < 0).sum())} test rows in {folder} have no label among the classes.")
    return transformed_examples(arrays["id"][:, 0], arrays, modalities, labels)
