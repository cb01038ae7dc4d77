"""Searches a fusion architecture on cached features."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from hfmnas_keras.data.feature_set import FeatureSet
from hfmnas_keras.data.streamed_rows import feature_rows
from hfmnas_keras.models.supernet_of import supernet_of
from hfmnas_keras.optimization.loss_scale import resolved_precision
from hfmnas_keras.optimization.saved_state import SavedState
from hfmnas_keras.search.bilevel_search import BilevelSearch
from hfmnas_keras.search.graph_rewriting import without_graph_rewriting
from hfmnas_keras.search.search_report import SearchReport
from hfmnas_keras.search.search_result import SearchResult
from hfmnas_keras.search.search_rows import check_rows, data_fingerprint
from hfmnas_keras.search.strategies.search_by_training import search_by_training
from hfmnas_keras.settings.execution import without_execution
from hfmnas_keras.settings.fusion import FusionSettings, MitigationSettings
from hfmnas_keras.settings.models import SEARCHED_MODELS
from hfmnas_keras.settings.search import SearchSettings
from hfmnas_keras.settings.space import BMSpaceSettings, SpaceSettings


def search_architecture(
    train: FeatureSet,
    dev: FeatureSet,
    num_outputs: int,
    fusion: FusionSettings,
    settings: SearchSettings,
    checkpoint_dir: str | os.PathLike,
    report_dir: str | os.PathLike | None = None,
    unimodal_heads: Mapping[str, Mapping[str, Any]] | None = None,
    model: str = "hf_mnas",
    space: SpaceSettings | BMSpaceSettings | None = None,
    mitigation: MitigationSettings | None = None,
) -> SearchResult:
    """Searches the architecture of a fusion network (HF-MNAS, Eq. 29-30, Algorithm 1; docs/method.md, section 7).

    By the bilevel search, of which the following tells, or by another `settings.strategy`, see `search_by_training`.

    The state of the search is written to `checkpoint_dir/search.npz` after each epoch and every
    `settings.checkpoint_seconds`, the one before kept beside it. Called again with the same arguments, the search goes
    on from there and ends in the same genotype as an uninterrupted one; a finished search returns its result at once.

    Args:
        train: `FeatureSet` whose rows train the weights.
        dev: `FeatureSet` whose rows train gamma and beta, and give the macro F1 of the history.
        num_outputs: int. Classes.
        fusion: `FusionSettings`.
        settings: `SearchSettings`; its `channels` are the width of the supernet.
        checkpoint_dir: folder of the checkpoint, made when missing.
        report_dir: optional folder for `search.json`, `genotype.json`, drawings and TensorBoard logs.
        unimodal_heads: optional records of `pretrain_backbones` by modality, to be shown in the report.
        model: str. The search space, one of `settings.models.SEARCHED_MODELS`. Defaults to `"hf_mnas"`.
        space: `SpaceSettings`, or `BMSpaceSettings` for `"bm_nas"`. Defaults to the paper's.
        mitigation: `MitigationSettings`. Defaults to the paper's.

    Returns:
        `SearchResult`. Each epoch of its history has: `epoch` (from 1), `train_loss` and `architecture_loss` (means of
        the task loss over the weight and the architecture steps), `added_loss` (lambda times DCCA), `dev_loss` and
        `dev_macro_f1` (supernet, inference mode), `discretised_dev_loss` and `discretised_dev_macro_f1` (the searched
        model of this epoch's genotype with the supernet's weights; None where not computed), `learning_rate` (of the
        last weight step), `gamma_entropy` and `beta_entropy` (mean over choices, 1 is uniform), `gamma_gap` and
        `beta_gap` (mean gap between the best and the second probability), `skip_share` and `none_share` (mean
        probability), `largest_movement` of a logit so far, `genotype`, `probabilities` (as of the result, to six
        digits) and `seconds`.

    Raises:
        ValueError: when features, labels and settings do not fit, or the checkpoint is of another run.
        RuntimeError: when the loss becomes NaN or infinite, or no checkpoint can be read where there are some.
    """
    names = tuple(dict.fromkeys((*fusion.lfbc_taps, *fusion.hfbc_taps)))
    check_rows(train, dev, num_outputs, names)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(settings.seed)
    settings = dataclasses.replace(settings, precision=resolved_precision(settings.precision))
    space, mitigation = space or SEARCHED_MODELS[model].supernet.SPACE_CLASS(), mitigation or MitigationSettings()
    fingerprint: dict[str, Any] = {
        "model": model,
        "settings": without_execution(settings),
        "fusion": dataclasses.asdict(fusion),
        "mitigation": dataclasses.asdict(mitigation),
        "space": dataclasses.asdict(space),
        "num_outputs": num_outputs,
        "train": data_fingerprint(train, names),
        "dev": data_fingerprint(dev, names),
    }
    report = SearchReport(report_dir, unimodal_heads) if report_dir is not None else None
    if settings.strategy != "bilevel":
        hf_mnas_space = _check_strategy(settings, model, space)
        bilevel = dataclasses.replace(settings, strategy="bilevel", minutes=None)
        result = search_by_training(
            train,
            dev,
            num_outputs,
            settings,
            checkpoint_dir,
            fingerprint,
            lambda: search_architecture(
                train,
                dev,
                num_outputs,
                fusion,
                bilevel,
                pathlib.Path(checkpoint_dir) / "bilevel",
                space=space,
                mitigation=mitigation,
            ),
            fusion=fusion,
            mitigation=mitigation,
            space=hf_mnas_space,
        )
        if report is not None:
            report.write(result, settings)
        return result
    feature_shapes = {name: train.feature_shapes[name] for name in names}
    supernet = supernet_of(
        model,
        feature_shapes,
        num_outputs,
        fusion=fusion,
        mitigation=mitigation,
        space=space,
        channels=settings.channels,
        partial_channels=settings.partial_channels,
        dtype=settings.precision,
        name="supernet",
    )
    train_rows, dev_rows = (feature_rows(split, names, settings.device_bytes) for split in (train, dev))
    search = BilevelSearch(
        supernet,
        train_rows,
        dev_rows,
        settings,
        SavedState(pathlib.Path(checkpoint_dir) / "search.npz", fingerprint),
        report,
    )
    with without_graph_rewriting():
        return search.run()


def _check_strategy(settings: SearchSettings, model: str, space: SpaceSettings | BMSpaceSettings) -> SpaceSettings:
    """The space, which candidates can be trained of."""
    if not isinstance(space, SpaceSettings):
        raise ValueError(
            f"Candidates of `model: hf_mnas` alone can be trained. Received: strategy={settings.strategy!r}, "
            f"model={model!r}. Set `strategy: bilevel`."
        )
    if settings.precision != "float32":
        raise ValueError(
            "Candidates are trained in float32. Received: "
            f"strategy={settings.strategy!r}, precision={settings.precision!r}. Set `precision: float32`."
        )
    return space
