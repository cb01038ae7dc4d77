"""`hfmnas genotype cost`."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from hfmnas_keras.genotype.base_genotype import BaseGenotype
from hfmnas_keras.genotype.genotype import CELLS
from hfmnas_keras.genotype.load_genotype import load_genotype

if TYPE_CHECKING:
    import keras

    from hfmnas_keras.settings.fusion import FusionSettings

_LARGEST_FILE = 1_000_000
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
    genotype = load_genotype(file)
    if config is None and features is None:
        raise ValueError("The cost depends on the taps' shapes: give --config, --features or both.")
    content = _read_config(_config_file(config)) if config else {}
    parts = _model_settings(content, genotype)
    preparation = content.get("preparation") or {}
    shapes, max_tokens, labels = _features(features) if features else _taps(content, parts["fusion"])
    num_outputs = classes or labels or len(preparation.get("classes") or ())
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


def _config_file(source: str) -> str | os.PathLike[str]:
    """The file that was named, or that of a preset, which an installed package finds by an entry point."""
    if os.path.exists(source):
        return source
    for finder in importlib.metadata.entry_points(group="hfmnas.config_files"):
        try:
            return finder.load()(source)
        except ImportError as error:
            raise ImportError(
                f"There is no file {source!r}, and presets are the pipeline's, which is not installed ({error}). "
                "Install the extra `pipeline`, or give a path."
            ) from error
    return source


def _read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise ImportError("Reading YAML needs PyYAML: install the extra `pipeline`, or give --features.") from error
    with open(path, "rb") as file:
        text = file.read(_LARGEST_FILE + 1)
    if len(text) > _LARGEST_FILE:
        raise ValueError(f"{path} is too long for a configuration: more than {_LARGEST_FILE:,} bytes.")
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not YAML that can be read: {error}") from error
    sections = ("fusion", "final_model", "mitigation", "preparation", "backbones")
    if not isinstance(content, dict) or not all(isinstance(content.get(key) or {}, dict) for key in sections):
        raise ValueError(f"{path} must hold a mapping of keys, and {', '.join(sections)} mappings in it.")
    return content


def _model_settings(content: Mapping[str, Any], genotype: BaseGenotype) -> dict[str, Any]:
    """What describes the model beside its genotype, by section."""
    from hfmnas_keras.settings.fusion import (
        FinalModelSettings,
        FusionSettings,
        MitigationSettings,
        defaults_by_modality,
    )

    # The genotype knows which taps its cells were searched on.
    keys = [f"{name}_taps" for name in CELLS]
    taps = {key: genotype.metadata[key] for key in keys if key in genotype.metadata}
    values = {**(content.get("fusion") or {}), **taps}
    modalities: list[str] = []
    for taps_of_cell in (values.get(key, getattr(FusionSettings, key)) for key in keys):
        if not isinstance(taps_of_cell, (list, tuple)) or not all(isinstance(tap, str) for tap in taps_of_cell):
            raise ValueError(f"The taps of a cell must be two names of features. Received: {taps_of_cell!r}.")
        modalities += [tap.rpartition("_")[0] for tap in taps_of_cell]
    # Clips have a grid and a width of their own, as where a run's configuration is read.
    defaults = defaults_by_modality(modalities)
    fusion = {key: value for key, value in defaults["fusion"].items() if key not in keys}
    final_model = {**defaults["final_model"], **(content.get("final_model") or {})}
    return {
        "fusion": _settings(FusionSettings, "fusion", {**fusion, **values}),
        "final_model": _settings(FinalModelSettings, "final_model", final_model),
        "mitigation": _settings(MitigationSettings, "mitigation", content.get("mitigation") or {}),
    }


def _settings(settings_class: Any, section: str, values: Mapping[str, Any]) -> Any:
    known = {field.name: field.default for field in dataclasses.fields(settings_class)}
    if unknown := sorted(map(str, set(values) - set(known))):
        raise ValueError(f"`{section}` has unknown keys: {', '.join(unknown)}. Known: {', '.join(sorted(known))}.")
    for name, value in values.items():
        # Numbers and switches; the classes check bounds, not types.
        if isinstance(known[name], int) and type(value) is not type(known[name]):
            raise ValueError(f"`{section}.{name}` must be of type {type(known[name]).__name__}. Received: {value!r}.")
    try:
        return settings_class(
            **{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        )
    except TypeError as error:
        raise ValueError(f"`{section}` has a value of a wrong type: {error}.") from error


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


def _taps(
    content: Mapping[str, Any], fusion: FusionSettings
) -> tuple[dict[str, tuple[int, ...]], int | None, int | None]:
    """Shapes of the taps of the backbones that a run's configuration describes, and length of its token sequences."""
    from hfmnas_keras.backbones.image_backbone import image_backbone
    from hfmnas_keras.backbones.text_backbone import text_backbone
    from hfmnas_keras.settings.backbones import ImageBackboneSettings, TextBackboneSettings

    modalities = {tap.rpartition("_")[0] for tap in (*fusion.lfbc_taps, *fusion.hfbc_taps)}
    if not modalities <= {"text", "image"}:
        raise ValueError(f"Taps of {', '.join(sorted(modalities))} are known from features alone: give --features.")
    preparation, backbones = content.get("preparation") or {}, content.get("backbones") or {}
    settings = {
        name: _settings(settings_class, f"backbones.{name}", backbones.get(name) or {})
        for name, settings_class in (("text", TextBackboneSettings), ("image", ImageBackboneSettings))
    }
    image_size, max_tokens = preparation.get("image_size", [128, 128]), preparation.get("max_tokens", 64)
    if not _is_shape([max_tokens]) or not _is_shape(image_size) or len(image_size) != 2:
        raise ValueError(
            "`preparation.image_size` must be two positive ints and `preparation.max_tokens` one. "
            f"Received: {image_size!r} and {max_tokens!r}."
        )
    models: dict[str, keras.Model] = {}
    if "text" in modalities:
        text = dataclasses.replace(settings["text"], word_vectors=None)
        models["text"] = text_backbone(2, max_tokens, 2, text)
    if "image" in modalities:
        # Shapes do not need the trunk's weights.
        image = dataclasses.replace(settings["image"], trunk=None)
        models["image"] = image_backbone((*image_size, 3), 2, image, fusion.grid)
    shapes = {
        f"{name}_{level}": tuple(model.output[level].shape[1:])
        for name, model in models.items()
        for level in ("low", "high")
    }
    return shapes, max_tokens if "text" in modalities else None, None


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
