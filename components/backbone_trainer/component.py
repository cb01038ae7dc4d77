"""TFX component BackboneTrainer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
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
from hfmnas_keras.backbones.encoder_backbone import tap_names
from hfmnas_keras.backbones.encoder_folder import find_encoder, read_description
from hfmnas_keras.backbones.given_model import require_given_model, source_file
from hfmnas_keras.settings.backbones import PATH_SETTINGS, EncoderBackboneSettings
from hfmnas_keras.settings.keras_backbone import KerasBackboneSettings
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
    OUTPUTS = {
        "backbones": ChannelParameter(type=Backbones),
        "taps": ChannelParameter(type=standard_artifacts.Examples),
    }


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
        `taps`: `Examples` with the splits `train` and `dev`: features of frozen encoders, as `FeatureExtractor` has
            them, which were computed to train a head. Without splits where there are none.

    Raises:
        ValueError: when a file of weights or word vectors, or an encoder, does not exist, or an encoder lacks a tap.
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
                files_fingerprint=_files_fingerprint(backbones),
                code_fingerprint=code_fingerprint(*executor.CODE),
                backbones=types.Channel(type=Backbones),
                taps=types.Channel(type=standard_artifacts.Examples),
            )
        )


def _files_fingerprint(backbones: Mapping[str, Any]) -> str:
    """Returns a digest of the files that settings name by path: the cache would not see them change."""
    digest = hashlib.sha256()
    paths: list[str | None] = []
    for modality, settings in backbones.items():
        if isinstance(settings, EncoderBackboneSettings):
            folder = find_encoder(settings.encoder)
            # Now, and not when the run has come to the backbones.
            tap_names(modality, settings, read_description(folder))
            paths += sorted(str(path) for path in folder.iterdir())
        elif isinstance(settings, KerasBackboneSettings):
            require_given_model(settings.model)
            paths.append(source_file(settings.model))
        paths += [getattr(settings, name, None) for name in PATH_SETTINGS]
    for path in paths:
        if path is None:
            digest.update(b"none")
            continue
        if not fileio.exists(path):
            raise ValueError(f"There is no file {path!r}, which the settings of a backbone name.")
        with fileio.open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()[:16]
