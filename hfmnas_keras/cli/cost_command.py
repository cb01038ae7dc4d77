"""`hfmnas genotype cost`."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import keras

    from hfmnas_keras.cost.network_description import NetworkDescription
    from hfmnas_keras.genotype.base_genotype import BaseGenotype

_LARGEST_FEATURE = 10_000_000


@click.command
@click.argument("file")
@click.option(
    "--config",
    help="YAML file or preset of a run: its fusion network, classes and, without --features, its backbones' taps.",
)
@click.option("--features", help="Folder of a feature set, as FeatureExtractor writes it: shapes of the taps.")
@click.option("--classes", type=click.IntRange(1, 100_000), help="Number of classes, where --config does not say.")
@click.option(
    "--vocabulary-size",
    type=click.IntRange(2, 10_000_000),
    help="Token ids that the sequence encoder embeds, padding and the unknown word counted; for the parameters.",
)
@click.option("--calls", default=300, show_default=True, type=click.IntRange(0), help="Calls to time; 0 for none.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def cost(
    file: str,
    config: str | None,
    features: str | None,
    classes: int | None,
    vocabulary_size: int | None,
    calls: int,
    as_json: bool,
) -> None:
    """Counts what the searched model of the genotype in FILE costs.

    Parameters, FLOPs (multiply-accumulates times two) of one example, layer by layer, and the time of the whole model
    at batch 1 on this machine, as one graph. The model is the fusion network, from the backbones' taps to logits.
    """
    # Here and not above, as all that takes long to import.
    from hfmnas_keras.genotype.load_genotype import load_genotype

    genotype = load_genotype(file)
    parts, described = _described(config, genotype)
    if features is not None:
        shapes, max_tokens, labels = _features(features)
    elif described is not None:
        (shapes, max_tokens), labels = described.taps(), None
    else:
        raise ValueError("The cost depends on the taps' shapes: give --config, --features or both.")
    num_outputs = classes or labels or (described and described.num_outputs)
    if not num_outputs:
        raise ValueError("The number of classes is not known: give --classes, or a --config that names them.")

    # Here and not above: they take long to import.
    import keras

    from hfmnas_keras.cost import model_cost
    from hfmnas_keras.cost.latency import model_latency
    from hfmnas_keras.models.fusion_network import fusion_network

    keras.utils.set_random_seed(0)
    model = fusion_network(
        genotype.model,
        shapes,
        num_outputs,
        genotype=genotype,
        # Two is the least there is: padding and one word.
        vocabulary_size=(vocabulary_size or 2) if max_tokens is not None else None,
        max_tokens=max_tokens,
        **parts,
    )
    reads_tokens = any(tensor.name == "tokens" for tensor in model.inputs)
    counted = model_cost(model)
    latency = model_latency(model, _one_row(model), calls) if calls else None
    if as_json:
        record = {**dataclasses.asdict(counted), "latency": latency and dataclasses.asdict(latency)}
        click.echo(json.dumps(record, indent=1))
        return
    click.echo(f"{'layer':28}{'parameters':>14}{'MFLOPs':>12}")
    for name, part in {**counted.parts, "total": counted}.items():
        click.echo(f"{name:28}{part.parameters:14,}{part.flops / 1e6:12.3f}")
    if reads_tokens and vocabulary_size is None:
        click.echo("The parameters are without the words that the sequence encoder embeds: give --vocabulary-size.")
    if latency is not None:
        click.echo(
            f"Latency at batch 1, {latency.calls} calls: p50 {latency.p50_ms:.2f} ms, p99 {latency.p99_ms:.2f} ms"
        )


def _described(config: str | None, genotype: BaseGenotype) -> tuple[dict[str, Any], NetworkDescription | None]:
    """What describes the model beside its genotype, by section, and the configuration that says it."""
    from hfmnas_keras.cost.network_description import read_network_description
    from hfmnas_keras.genotype.genotype import CELLS
    from hfmnas_keras.settings.fusion import (
        FinalModelSettings,
        FusionSettings,
        MitigationSettings,
        defaults_by_modality,
    )

    # The genotype knows which taps its cells were searched on.
    taps = {}
    for key in (f"{name}_taps" for name in CELLS):
        of_cell = genotype.metadata.get(key, getattr(FusionSettings, key))
        if not isinstance(of_cell, (list, tuple)) or not all(isinstance(tap, str) for tap in of_cell):
            raise ValueError(f"The taps of a cell must be two names of features. Received: {of_cell!r}.")
        if key in genotype.metadata:
            taps[key] = tuple(of_cell)
    if config is not None:
        described = read_network_description(config)
        parts = {key: getattr(described, key) for key in ("fusion", "final_model", "mitigation")}
    else:
        described = None
        # Clips have a grid and a width of their own, as where a run's configuration is read.
        defaults = defaults_by_modality([tap.rpartition("_")[0] for of_cell in taps.values() for tap in of_cell])
        parts = {
            "fusion": FusionSettings(**defaults["fusion"]),
            "final_model": FinalModelSettings(**defaults["final_model"]),
            "mitigation": MitigationSettings(),
        }
    parts["fusion"] = dataclasses.replace(parts["fusion"], **taps)
    return parts, described


def _features(folder: str) -> tuple[dict[str, tuple[int, ...]], int | None, int | None]:
    """Shapes of the features in a folder, length of the token sequences, number of labels in a multi-label set."""
    from hfmnas_keras.data.feature_files import read_feature_description

    description = read_feature_description(folder)
    features = description.get("features")
    if not isinstance(features, dict) or not all(map(_is_shape, features.values())):
        raise ValueError(f"The feature set in {folder} has shapes that no feature has: {features!r}.")
    max_tokens, num_classes = description.get("max_tokens"), description.get("num_classes")
    if not all(size is None or _is_shape([size]) for size in (max_tokens, num_classes)):
        raise ValueError(
            f"The feature set in {folder} must give numbers of tokens and classes. "
            f"Received: max_tokens={max_tokens!r}, num_classes={num_classes!r}."
        )
    return {name: tuple(shape) for name, shape in features.items()}, max_tokens, num_classes


def _is_shape(sizes: Any) -> bool:
    return (
        isinstance(sizes, list)
        and len(sizes) > 0
        and all(type(size) is int and size > 0 for size in sizes)
        and math.prod(sizes) <= _LARGEST_FEATURE
    )


def _one_row(model: keras.Model) -> dict[str, Any]:
    import numpy as np

    generator = np.random.default_rng(0)
    rows = {}
    for tensor in model.inputs:
        shape = (1, *tensor.shape[1:])
        # Any word will do: its vector is looked up.
        rows[tensor.name] = (
            np.ones(shape, "int64") if tensor.name == "tokens" else generator.normal(size=shape).astype("float32")
        )
    return rows
