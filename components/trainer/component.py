"""TFX component Trainer, with what a fusion model needs beside the examples."""

from __future__ import annotations

from collections.abc import Sequence

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.proto import trainer_pb2
from tfx.types import standard_artifacts, standard_component_specs
from tfx.types.component_spec import ChannelParameter, ExecutionParameter
from tfx.utils import json_utils

from components import Backbones, Genotype
from components.code_fingerprint import code_fingerprint
from components.settings_json import settings_to_json
from components.trainer import executor
from hfmnas_keras.evidence.abstention import Abstention
from hfmnas_keras.settings.fusion import FinalModelSettings, FusionSettings, MitigationSettings
from hfmnas_keras.settings.training import TrainingSettings

RUN_FN = "components.trainer.training.run_fn"


class TrainerSpec(standard_component_specs.TrainerSpec):
    """The specification of `tfx.v1.components.Trainer` with three inputs more."""

    PARAMETERS = {
        **standard_component_specs.TrainerSpec.PARAMETERS,
        "code_fingerprint": ExecutionParameter(type=str),
    }
    INPUTS = {
        **standard_component_specs.TrainerSpec.INPUTS,
        "backbones": ChannelParameter(type=Backbones),
        "genotype": ChannelParameter(type=Genotype, optional=True),
        "features": ChannelParameter(type=standard_artifacts.Examples),
    }


class Trainer(base_component.BaseComponent):
    """Trains the fusion model and exports it with its preprocessing (docs/method.md, sections 6 and 7).

    TFX's own Trainer takes no artifacts of our types, so this one widens its specification and its executor; user code
    is called in the same way, by `run_fn`.

    ```python
    trainer = Trainer(
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema_gen.outputs["schema"],
        backbones=backbone_trainer.outputs["backbones"],
        features=feature_extractor.outputs["features"],
        genotype=architecture_search.outputs["genotype"],
        hyperparameters=tuner.outputs["best_hyperparameters"],
        model="hf_mnas",
        classes=("cat", "dog"),
        multi_label=False,
        fusion=FusionSettings(),
        final_model=FinalModelSettings(),
        mitigation=MitigationSettings(),
        training=TrainingSettings(),
        abstention=Abstention(max_conflict=0.5),
        threshold=0.5,
        checkpoint_root="runs/demo/checkpoints",
    )
    ```

    Args:
        examples: channel of transformed `Examples` with the splits `train` and `dev`.
        transform_graph: channel of `TransformGraph`.
        schema: channel of `Schema`, of the raw examples.
        backbones: channel of `components.Backbones`.
        features: channel of `Examples` from `FeatureExtractor`.
        genotype: channel of `components.Genotype`, or None for a model that is not searched.
        hyperparameters: channel of `HyperParameters` from `Tuner`, which change the settings, or None.
        model: str. Name of the model, see `hfmnas_keras.models.fusion_network`.
        classes: sequence of str. Names of the classes in the order of the outputs.
        multi_label: bool.
        fusion, final_model, mitigation: `FusionSettings`, `FinalModelSettings`, `MitigationSettings`.
        training: `TrainingSettings`.
        abstention: `Abstention`. Bounds above which the exported model's `abstain` is true.
        threshold: float. Multi-label only: of all labels where `training.threshold` is `"fixed"`.
        checkpoint_root: str. Folder of checkpoints that outlives an attempt.

    Outputs:
        `model`: `standard_artifacts.Model`: `Format-Serving/` (SavedModel) and `classifier.keras`.
        `model_run`: `standard_artifacts.ModelRun`: `training.json`, the curves.
    """

    SPEC_CLASS = TrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        schema: types.BaseChannel,
        backbones: types.BaseChannel,
        features: types.BaseChannel,
        genotype: types.BaseChannel | None,
        hyperparameters: types.BaseChannel | None,
        model: str,
        classes: Sequence[str],
        multi_label: bool,
        fusion: FusionSettings,
        final_model: FinalModelSettings,
        mitigation: MitigationSettings,
        training: TrainingSettings,
        abstention: Abstention,
        threshold: float,
        checkpoint_root: str,
    ):
        custom_config = {
            "model": model,
            "classes": list(classes),
            "multi_label": multi_label,
            "fusion": settings_to_json(fusion),
            "final_model": settings_to_json(final_model),
            "mitigation": settings_to_json(mitigation),
            "training": settings_to_json(training),
            "abstention": settings_to_json(abstention),
            "threshold": threshold,
            "checkpoint_root": checkpoint_root,
        }
        super().__init__(
            spec=TrainerSpec(
                examples=examples,
                transform_graph=transform_graph,
                schema=schema,
                backbones=backbones,
                genotype=genotype,
                hyperparameters=hyperparameters,
                features=features,
                train_args=trainer_pb2.TrainArgs(splits=["train"]),
                eval_args=trainer_pb2.EvalArgs(splits=["dev"]),
                run_fn=RUN_FN,
                custom_config=json_utils.dumps(custom_config),
                code_fingerprint=code_fingerprint(*executor.CODE),
                model=types.Channel(type=standard_artifacts.Model),
                model_run=types.Channel(type=standard_artifacts.ModelRun),
            )
        )
