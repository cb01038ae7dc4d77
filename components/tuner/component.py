"""TFX component Tuner, with what a fusion model needs beside the features."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.proto import trainer_pb2
from tfx.types import standard_artifacts, standard_component_specs
from tfx.types.component_spec import ChannelParameter, ExecutionParameter
from tfx.utils import json_utils

from components import Genotype
from components.code_fingerprint import code_fingerprint
from components.settings_json import settings_to_json
from components.tuner import executor
from hfmnas_keras.settings.fusion import FinalModelSettings, FusionSettings, MitigationSettings
from hfmnas_keras.settings.training import TrainingSettings

TUNER_FN = "components.tuner.tuning.tuner_fn"


class TunerSpec(standard_component_specs.TunerSpec):
    """The specification of `tfx.v1.components.Tuner` with one input more."""

    PARAMETERS = {
        **standard_component_specs.TunerSpec.PARAMETERS,
        "code_fingerprint": ExecutionParameter(type=str),
    }
    INPUTS = {
        **standard_component_specs.TunerSpec.INPUTS,
        "genotype": ChannelParameter(type=Genotype, optional=True),
    }


class Tuner(base_component.BaseComponent):
    """Tunes what is not searched: learning rate, dropout, kept nodes and the like (docs/method.md, section 7).

    Each trial trains the final model on the cached features of train, backbones frozen, and is worth its macro F1 on
    dev. The first trial takes the settings as they are, the others draw from the choices by chance, no combination
    twice. One that comes to no score is told in the log. A killed tuner goes on where it was.

    ```python
    tuner = Tuner(
        features=feature_extractor.outputs["features"],
        transform_graph=transform.outputs["transform_graph"],
        genotype=architecture_search.outputs["genotype"],
        model="hf_mnas",
        num_outputs=9,
        fusion=FusionSettings(),
        final_model=FinalModelSettings(),
        mitigation=MitigationSettings(),
        training=TrainingSettings(),
        choices={"training.learning_rate": [3e-4, 3e-3], "fusion.dropout": [0.0, 0.3]},
        trials=10,
        seed=0,
        has_text=True,
        checkpoint_root="runs/demo/checkpoints",
    )
    ```

    Args:
        features: channel of `Examples` from `FeatureExtractor`.
        transform_graph: channel of `TransformGraph`.
        genotype: channel of `components.Genotype`, or None for a model that is not searched.
        model: str. Name of the model, see `hfmnas_keras.models.fusion_network`.
        num_outputs: int. Classes.
        fusion, final_model, mitigation: `FusionSettings`, `FinalModelSettings`, `MitigationSettings`.
        training: `TrainingSettings`.
        choices: mapping from names in `hfmnas_keras.training.tuned_settings.TUNABLE` to sequences of values, that of
            the settings first.
        trials: int. Most trials; fewer where there are fewer combinations.
        seed: int. Of the drawing.
        has_text: bool. Whether one of the modalities is a text.
        checkpoint_root: str. Folder of checkpoints that outlives an attempt.

    Outputs:
        `best_hyperparameters`: `standard_artifacts.HyperParameters`, for Trainer.
        `tuner_results`: `standard_artifacts.TunerResults`, the score of each trial.
    """

    SPEC_CLASS = TunerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        features: types.BaseChannel,
        transform_graph: types.BaseChannel,
        genotype: types.BaseChannel | None,
        model: str,
        num_outputs: int,
        fusion: FusionSettings,
        final_model: FinalModelSettings,
        mitigation: MitigationSettings,
        training: TrainingSettings,
        choices: Mapping[str, Sequence[int | float]],
        trials: int,
        seed: int,
        has_text: bool,
        checkpoint_root: str,
    ):
        # Trials train the fusion network alone; Trainer trains backbones too where the settings say so.
        training = dataclasses.replace(
            training,
            unfreeze_backbones=False,
            **{name: getattr(TrainingSettings, name) for name in ("backbone_rate", "head_weight")},
        )
        custom_config = {
            "model": model,
            "num_outputs": num_outputs,
            "fusion": settings_to_json(fusion),
            "final_model": settings_to_json(final_model),
            "mitigation": settings_to_json(mitigation),
            "training": settings_to_json(training),
            "choices": {name: list(values) for name, values in choices.items()},
            "trials": trials,
            "seed": seed,
            "has_text": has_text,
            "checkpoint_root": checkpoint_root,
        }
        super().__init__(
            spec=TunerSpec(
                examples=features,
                transform_graph=transform_graph,
                genotype=genotype,
                train_args=trainer_pb2.TrainArgs(splits=["train"]),
                eval_args=trainer_pb2.EvalArgs(splits=["dev"]),
                tuner_fn=TUNER_FN,
                custom_config=json_utils.dumps(custom_config),
                code_fingerprint=code_fingerprint(*executor.CODE),
                best_hyperparameters=types.Channel(type=standard_artifacts.HyperParameters),
                tuner_results=types.Channel(type=standard_artifacts.TunerResults),
            )
        )
