"""TFX component BackboneTrainer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.dsl.io import fileio
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components import Backbones
from components.backbone_trainer import executor
from components.code_fingerprint import code_fingerprint
from components.settings_json import settings_to_json
from hfmnas_keras.settings.backbones import PATH_SETTINGS
from hfmnas_keras.settings.pretraining import PretrainingSettings


class BackboneTrainerSpec(ComponentSpec):
    """Inputs, outputs and properties of `BackboneTrainer`."""

    PARAMETERS = {
        "num_outputs": ExecutionParameter(type=int),
        "multi_label": ExecutionParameter(type=int),
        "grid": ExecutionParameter(type=str),
        "backbones_settings": ExecutionParameter(type=str),
        "pretraining": ExecutionParameter(type=str),
        "checkpoint_root": ExecutionParameter(type=str),
        "files_fingerprint": ExecutionParameter(type=str),
        "code_fingerprint": ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "transform_graph": ChannelParameter(type=standard_artifacts.TransformGraph),
    }
    OUTPUTS = {"backbones": ChannelParameter(type=Backbones)}


class BackboneTrainer(base_component.BaseComponent):
    """Trains one unimodal backbone with a head for each modality (docs/method.md, section 3).

    ```python
    backbone_trainer = BackboneTrainer(
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        num_outputs=9,
        multi_label=False,
        grid=(4, 4),
        backbones={"text": TextBackboneSettings(), "image": ImageBackboneSettings()},
        pretraining=PretrainingSettings(),
        checkpoint_root="runs/demo/checkpoints",
    )
    ```

    Args:
        examples: channel of transformed `Examples` with the splits `train` and `dev`.
        transform_graph: channel of `TransformGraph`, which knows the vocabulary.
        num_outputs: int. Classes.
        multi_label: bool.
        grid: pair of ints. Height and width that maps are pooled to.
        backbones: mapping from the two modalities to their settings, see
                `hfmnas_keras.settings.backbones.BACKBONE_SETTINGS`.
        pretraining: `PretrainingSettings`.
        checkpoint_root: str. Folder of checkpoints that outlives an attempt.

    Outputs:
        `backbones`: `components.Backbones`.

    Raises:
        ValueError: when a file of weights or word vectors does not exist.
    """

    SPEC_CLASS = BackboneTrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        num_outputs: int,
        multi_label: bool,
        grid: tuple[int, int],
        backbones: Mapping[str, Any],
        pretraining: PretrainingSettings,
        checkpoint_root: str,
    ):
        super().__init__(
            spec=BackboneTrainerSpec(
                examples=examples,
                transform_graph=transform_graph,
                num_outputs=num_outputs,
                multi_label=int(multi_label),
                grid=json.dumps(grid),
                backbones_settings=json.dumps(
                    {modality: settings_to_json(settings) for modality, settings in backbones.items()}
                ),
                pretraining=settings_to_json(pretraining),
                checkpoint_root=checkpoint_root,
                files_fingerprint=_files_fingerprint(backbones.values()),
                code_fingerprint=code_fingerprint(*executor.CODE),
                backbones=types.Channel(type=Backbones),
            )
        )


def _files_fingerprint(all_settings: Iterable[Any]) -> str:
    """Returns a digest of the files that settings name by path: the cache would not see them change."""
    digest = hashlib.sha256()
    for path in [getattr(settings, name, None) for settings in all_settings for name in PATH_SETTINGS]:
        if path is None:
            digest.update(b"none")
            continue
        if not fileio.exists(path):
            raise ValueError(f"There is no file {path!r}, which the settings of a backbone name.")
        with fileio.open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()[:16]
