"""TFX component FeatureExtractor."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components import Backbones
from components.code_fingerprint import code_fingerprint
from components.feature_extractor import executor


class FeatureExtractorSpec(ComponentSpec):
    """Inputs, outputs and properties of `FeatureExtractor`."""

    PARAMETERS = {"code_fingerprint": ExecutionParameter(type=str)}
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "backbones": ChannelParameter(type=Backbones),
        "taps": ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS = {"features": ChannelParameter(type=standard_artifacts.Examples)}


class FeatureExtractor(base_component.BaseComponent):
    """Computes the pooled low and high features of both modalities, once for the whole search.

    ```python
    feature_extractor = FeatureExtractor(
        examples=transform.outputs["transformed_examples"],
        backbones=backbone_trainer.outputs["backbones"],
        taps=backbone_trainer.outputs["taps"],
    )
    ```

    Features of a training row come from a backbone that was not fitted on it (docs/method.md, section 3). The test
    split is left alone: the Evaluator is the only one to read it.

    Args:
        examples: channel of transformed `Examples` with the splits `train` and `dev`.
        backbones: channel of `components.Backbones`.
        taps: channel of `Examples`. Features that the backbones' training has computed, which are not computed again.

    Outputs:
        `features`: `Examples` with the splits `train` and `dev`; features of `tf.Example`s are named by modality:
            `text_low`, `text_high`, `image_low` and `image_high`, say.
    """

    SPEC_CLASS = FeatureExtractorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(self, examples: types.BaseChannel, backbones: types.BaseChannel, taps: types.BaseChannel):
        super().__init__(
            spec=FeatureExtractorSpec(
                examples=examples,
                backbones=backbones,
                taps=taps,
                code_fingerprint=code_fingerprint(*executor.CODE),
                features=types.Channel(type=standard_artifacts.Examples),
            )
        )
