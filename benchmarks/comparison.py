"""The searched model against plain references, over seeds.

Each seed runs the whole pipeline, with that seed for the search and for the final training; backbones and features are
those of the first run, from the cache. Its numbers are the Evaluator's. Beside it, from the same split: the linear
references of the run and, where a row has one label, an MLP on the concatenation of the very features that the search
reads. Everything is chosen on the dev split, and each model reads the test split once.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import time
from typing import Any

# The settings of the log come with it, before TensorFlow is imported.
from pipeline.local_runner import run_and_summarise  # isort: skip

import click
import keras
import numpy as np
from sklearn.metrics import f1_score

from pipeline.config import RunConfig

_MLP = "MLP on the concatenated features"
_MLP_EPOCHS = 30
_MLP_BATCH = 32


def compare(config: RunConfig, name: str, seeds: int, output: str) -> None:
    """Runs the comparison, prints a table and writes the numbers.

    Args:
        config: `RunConfig`.
        name: str. What the runs are called: those of one name share a cache.
        seeds: int. Number of seeds.
        output: str. JSON to write.
    """
    results: dict[str, list[float]] = {}
    travels: list[dict[str, float]] = []
    seconds = []
    for seed in range(seeds):
        seeded = _with_seed(config, name, seed)
        started = time.time()
        _, summary = run_and_summarise(seeded)
        seconds.append(time.time() - started)
        if summary is None:
            raise click.ClickException(f"The run of seed {seed} failed; its log says why.")
        scores = summary.f1_m()
        if not seed:
            # No chance in them: once is enough.
            linear = {f"linear, {model}": [score] for model, score in summary.references().items()}
            rows = None if config.preparation.multi_label else _features(summary.uris)
        if rows is not None:
            scores[_MLP] = _mlp(rows, seed)
        for model, score in scores.items():
            results.setdefault(model, []).append(score)
        with open(os.path.join(summary.uris["ArchitectureSearch.search_report"], "search.json")) as file:
            travels.append(json.load(file)["travel"])
        # After each seed: a comparison takes long and may be cut off.
        _write(pathlib.Path(output), {"macro_f1": {**results, **linear}, "travel": travels, "seconds": seconds})


def _with_seed(config: RunConfig, name: str, seed: int) -> RunConfig:
    seeded = {part: dataclasses.replace(getattr(config, part), seed=seed) for part in ("search", "training")}
    return config.model_copy(update={"name": name, **seeded})


def _features(uris: dict[str, str]) -> dict[str, tuple[list[np.ndarray], np.ndarray]]:
    """Concatenated features of each modality, and labels, by split; those of test through the reference backbones."""
    from hfmnas_keras.data.feature_files import read_feature_set
    from pipeline.studies.test_features import extract_test_features

    feature_sets = {
        split: read_feature_set(os.path.join(uris["FeatureExtractor.features"], f"Split-{split}"))
        for split in ("train", "dev")
    }
    feature_sets["test"] = extract_test_features(uris)
    return {split: (_by_modality(rows.features), rows.labels) for split, rows in feature_sets.items()}


def _mlp(rows: dict[str, tuple[list[np.ndarray], np.ndarray]], seed: int) -> float:
    """Macro F1 of an MLP: epochs chosen on dev, retrained on both, test read once."""
    (train, train_labels), (dev, dev_labels), (test, test_labels) = (rows[split] for split in ("train", "dev", "test"))
    keras.utils.set_random_seed(seed)
    model = _mlp_model([array.shape[1:] for array in train], int(train_labels.max()) + 1)
    initial = model.get_weights()
    scores = []
    for _ in range(_MLP_EPOCHS):
        model.fit(train, train_labels, batch_size=_MLP_BATCH, verbose=0)
        scores.append(_macro_f1(dev_labels, model.predict(dev, verbose=0)))
    epochs = int(np.argmax(scores)) + 1

    model = _mlp_model([array.shape[1:] for array in train], int(train_labels.max()) + 1)
    model.set_weights(initial)
    both = [np.concatenate(pair) for pair in zip(train, dev, strict=True)]
    labels = np.concatenate([train_labels, dev_labels])
    model.fit(both, labels, batch_size=_MLP_BATCH, epochs=epochs, verbose=0)
    return _macro_f1(test_labels, model.predict(test, verbose=0))


def _by_modality(features: dict[str, np.ndarray]) -> list[np.ndarray]:
    return [
        np.concatenate(
            [features[f"{modality}_{level}"].reshape(len(features[f"{modality}_{level}"]), -1) for level in levels],
            axis=1,
        )
        for modality, levels in (("text", ("low", "high")), ("image", ("low", "high")))
    ]


def _mlp_model(shapes: list[tuple[int, ...]], num_classes: int) -> keras.Model:
    inputs = [keras.Input(shape) for shape in shapes]
    hidden = []
    for tensor in inputs:
        tensor = keras.layers.Dropout(0.5)(keras.layers.BatchNormalization()(tensor))
        hidden.append(keras.layers.Dense(128, activation="relu")(tensor))
    joined = keras.layers.Dropout(0.5)(keras.layers.Concatenate()(hidden))
    model = keras.Model(inputs, keras.layers.Dense(num_classes)(joined))
    model.compile(
        keras.optimizers.AdamW(1e-3, weight_decay=1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    return model


def _macro_f1(labels: np.ndarray, outputs: np.ndarray) -> float:
    return float(f1_score(labels, outputs.argmax(axis=1), average="macro", zero_division=0))


def _write(path: pathlib.Path, results: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    click.echo("\n| model | macro F1 on test | seeds |\n| --- | --- | --- |")
    for name, scores in results["macro_f1"].items():
        spread = f" ± {np.std(scores, ddof=1):.3f}" if len(scores) > 1 else ""
        click.echo(f"| {name} | {np.mean(scores):.3f}{spread} | {', '.join(f'{score:.3f}' for score in scores)} |")
    for seed, travel in enumerate(results["travel"]):
        click.echo(
            f"Seed {seed}: logits could travel {travel['possible']:.2f}, the farthest travelled "
            f"{travel['largest']:.2f}; {results['seconds'][seed]:.0f} s."
        )
    click.echo(f"Written to {path}.")
