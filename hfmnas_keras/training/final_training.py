"""Trains the fusion network of a run."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from hfmnas_keras.data.array_digest import array_digest
from hfmnas_keras.data.encoded_rows import EncodedRows
from hfmnas_keras.data.feature_set import FeatureSet
from hfmnas_keras.data.modalities import input_name
from hfmnas_keras.data.streamed_rows import feature_rows
from hfmnas_keras.data.transformed_examples import TransformedExamples
from hfmnas_keras.genotype.bm_genotype import BMGenotype
from hfmnas_keras.genotype.genotype import Genotype
from hfmnas_keras.models.fusion_network import fusion_network
from hfmnas_keras.models.parts.taps import modalities_of_taps
from hfmnas_keras.optimization.loss_scale import computing_in, resolved_precision
from hfmnas_keras.optimization.saved_state import SavedState
from hfmnas_keras.settings.execution import without_execution
from hfmnas_keras.settings.fusion import FinalModelSettings, FusionSettings, MitigationSettings
from hfmnas_keras.settings.training import TrainingSettings
from hfmnas_keras.training.training_result import TrainingResult
from hfmnas_keras.training.training_step import HEAD
from hfmnas_keras.training.two_fits import TwoFits


def train_fusion_network(
    genotype: Genotype | BMGenotype | None,
    train: FeatureSet | TransformedExamples,
    dev: FeatureSet | TransformedExamples,
    num_outputs: int,
    fusion: FusionSettings,
    settings: TrainingSettings,
    checkpoint_dir: str | os.PathLike,
    backbones: Mapping[str, keras.Model] | None = None,
    vocabulary_size: int | None = None,
    model: str = "hf_mnas",
    retrain: bool = True,
    final_model: FinalModelSettings | None = None,
    mitigation: MitigationSettings | None = None,
    fixed_threshold: float = 0.5,
) -> TrainingResult:
    """Fits a fusion network on train with dev watched, then retrains it on train + dev (docs/method.md, section 7).

    The first fit stops after `settings.patience` epochs without a better average precision on dev, each epoch taken
    with its two neighbours (`best_epoch`). The best epoch is the number of epochs of the second fit,
    which starts from the same initial weights and lets the learning rate fall to its end within them. Both parts save
    their state after each epoch; called again with the same arguments, the training goes on.

    With `settings.unfreeze_backbones` the backbones train too, end to end on raw inputs: `train` and `dev` are
    `TransformedExamples`, and `backbones` are changed in place. Without it, on cached features: `FeatureSet`s, with
    their `tokens` where the sequence encoder wants them.

    In half precision (`settings.precision`) the fusion network alone trains; what is returned has the same weights and
    computes in float32, wherever it is served.

    Args:
        genotype: `Genotype` or `BMGenotype`, as the model asks; `None` for a model that is not searched.
        train, dev: rows, see above.
        num_outputs: int. Classes.
        fusion: `FusionSettings`.
        settings: `TrainingSettings`.
        checkpoint_dir: folder of the training state, made when missing.
        backbones: dict from modality, such as `"image"`, to backbone, a model with the outputs `low`, `high` and
            `logits`. Needed when unfrozen. Those of a modality that no cell reads are left out, of the result too.
        vocabulary_size: int. Token ids, padding included; needed by the sequence encoder.
        model: str. What to train, see `fusion_network`. Defaults to `"hf_mnas"`.
        retrain: bool. Whether to make the second fit. Defaults to `True`; without it the network is that of the first
            fit's last epoch, of use to whoever wants the dev score alone. Not once the second fit has begun.
        final_model, mitigation: `FinalModelSettings` and `MitigationSettings`. Default to the paper's.

    Returns:
        `TrainingResult`.

    Raises:
        ValueError: when rows, backbones and settings do not fit, or the saved state is of another run.
        RuntimeError: when the loss becomes NaN or infinite.
    """
    read = modalities_of_taps(fusion)
    backbones = {modality: backbone for modality, backbone in (backbones or {}).items() if modality in read}
    _check_rows(train, dev, settings.unfreeze_backbones, backbones)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(settings.seed)
    settings = dataclasses.replace(settings, precision=resolved_precision(settings.precision))
    final_model, mitigation = final_model or FinalModelSettings(), mitigation or MitigationSettings()
    tokens = train.tokens
    make_network = functools.partial(
        fusion_network,
        model,
        _feature_shapes(train, backbones),
        num_outputs,
        fusion,
        final_model,
        mitigation,
        multi_label=train.multi_label,
        genotype=genotype,
        vocabulary_size=vocabulary_size if tokens is not None else None,
        max_tokens=None if tokens is None else int(tokens.shape[1]),
    )
    with computing_in(settings.precision):
        network = make_network()
    unfrozen = backbones if settings.unfreeze_backbones else {}
    whole = _with_backbones(network, unfrozen) if unfrozen else _called_by_name(network)
    _seed_random_state(whole, settings.seed)
    fingerprint: dict[str, Any] = {
        "settings": without_execution(settings),
        "fusion": dataclasses.asdict(fusion),
        "final_model": dataclasses.asdict(final_model),
        "mitigation": dataclasses.asdict(mitigation),
        "num_outputs": num_outputs,
        "model": model,
        "fixed_threshold": fixed_threshold,
        # The shares of importance are constants of the network.
        "genotype": genotype
        and {key: value for key, value in json.loads(genotype.to_json()).items() if key != "metadata"},
        "initial_weights": array_digest(*(keras.ops.convert_to_numpy(variable) for variable in whole.variables)),
        "train": _rows_fingerprint(train),
        "dev": _rows_fingerprint(dev),
    }
    training = TwoFits(
        whole,
        [variable for backbone in unfrozen.values() for variable in backbone.trainable_variables],
        settings,
        SavedState(pathlib.Path(checkpoint_dir) / "training.npz", fingerprint),
        fixed_threshold,
    )
    names = tuple(tensor.name for tensor in network.inputs)

    def make_rows(rows: Any) -> Any:
        if settings.unfreeze_backbones:
            return EncodedRows(rows, list(backbones))
        return feature_rows(rows, names, settings.device_bytes)

    if not retrain and training.part == "retrain":
        raise ValueError(
            f"The state in {checkpoint_dir} is of the second fit, whose beginning replaced the first one's weights. "
            "Received: retrain=False. Set it to True, or name another folder."
        )
    best = training.fit(make_rows(train), make_rows(dev))
    if retrain:
        all_rows = train.joined(dev)  # type: ignore[arg-type]  # `_check_rows` saw that both are of one type
        training.retrain(make_rows(all_rows), best["epoch"])
    if settings.precision != "float32":
        trained_weights = network.get_weights()
        network = make_network()
        network.set_weights(trained_weights)
    logging.info(
        "Final training: %d epochs, chosen at a dev average precision of %.4f; macro F1 %.4f.",
        best["epoch"],
        best["dev_average_precision"],
        best["dev_macro_f1"],
    )
    # Without the logits that only train.
    serving = keras.Model(network.inputs, network.output["logits"], name=network.name)
    return TrainingResult(
        fusion_network=serving,
        backbones=backbones,
        history=training.history,
        epochs=best["epoch"],
        dev_macro_f1=best["dev_macro_f1"],
        dev_average_precision=best["dev_average_precision"],
        thresholds=np.array(best["thresholds"]) if train.multi_label else None,
        dev_logits=training.dev_logits(best["epoch"]),
    )


def _called_by_name(network: keras.Model) -> keras.Model:
    inputs = {tensor.name: tensor for tensor in network.inputs}
    return keras.Model(inputs, network(inputs), name="final_training")


def _with_backbones(network: keras.Model, backbones: Mapping[str, keras.Model]) -> keras.Model:
    """From the raw inputs to what the fusion network returns and the logits of each head."""
    inputs: dict[str, Any] = {}
    features: dict[str, Any] = {}
    logits: dict[str, Any] = {}
    for modality, backbone in backbones.items():
        name = input_name(modality)
        (own_input,) = backbone.inputs
        inputs[name] = keras.Input(own_input.shape[1:], dtype=own_input.dtype, name=name)
        outputs = backbone(inputs[name])
        features[f"{modality}_low"], features[f"{modality}_high"] = outputs["low"], outputs["high"]
        logits[f"{modality}{HEAD}"] = outputs["logits"]
    # The words alone: sub-words stand after them and are for the backbone.
    fused = network(
        {
            tensor.name: inputs[tensor.name][:, : tensor.shape[1]] if tensor.name in inputs else features[tensor.name]
            for tensor in network.inputs
        }
    )
    return keras.Model(inputs, {**fused, **logits}, name="final_training")


def _feature_shapes(
    rows: FeatureSet | TransformedExamples, backbones: Mapping[str, keras.Model]
) -> dict[str, tuple[int, ...]]:
    if isinstance(rows, FeatureSet):
        return rows.feature_shapes
    return {
        f"{modality}_{level}": tuple(backbone.output[level].shape[1:])
        for modality, backbone in backbones.items()
        for level in ("low", "high")
    }


def _seed_random_state(model: keras.Model, seed: int) -> None:
    """Loaded backbones bring random state of their own: make it follow from the seed."""
    generator = np.random.default_rng([seed, 3])
    for variable in model.variables:
        if variable.path.split("/")[-1] == "seed_generator_state":
            variable.assign(np.array([generator.integers(2**31), 0]))


def _check_rows(train: Any, dev: Any, unfrozen: bool, backbones: Mapping[str, keras.Model]) -> None:
    expected = TransformedExamples if unfrozen else FeatureSet
    if not isinstance(train, expected) or not isinstance(dev, expected):
        raise ValueError(
            f"`unfreeze_backbones={unfrozen}` trains on {expected.__name__}. Received: {type(train).__name__} and "
            f"{type(dev).__name__}."
        )
    if unfrozen and not backbones:
        raise ValueError("`unfreeze_backbones=True` needs `backbones`. Pass them, or set it to False.")
    if train.num_rows == 0 or dev.num_rows == 0:
        raise ValueError(f"Both splits need rows. Received: {train.num_rows} train and {dev.num_rows} dev rows.")


def _rows_fingerprint(rows: FeatureSet | TransformedExamples) -> dict[str, Any]:
    inputs = rows.inputs() if isinstance(rows, FeatureSet) else rows.columns
    arrays = [inputs[name] for name in sorted(inputs)]
    return {"rows": rows.num_rows, "sha256": array_digest(rows.labels, *arrays)}
