"""TFX component LinearReferenceTrainer."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components import LinearReferences
from components.code_fingerprint import code_fingerprint
from components.linear_references import executor


class LinearReferenceTrainerSpec(ComponentSpec):
    """Inputs, outputs and properties of `LinearReferenceTrainer`."""

    PARAMETERS = {
        "class_names": ExecutionParameter(type=str),
        "multi_label": ExecutionParameter(type=int),
        "modalities": ExecutionParameter(type=str),
        "code_fingerprint": ExecutionParameter(type=str),
    }
    INPUTS = {"examples": ChannelParameter(type=standard_artifacts.Examples)}
    OUTPUTS = {"references": ChannelParameter(type=LinearReferences)}


class LinearReferenceTrainer(base_component.BaseComponent):
    """Fits logistic regression on simple features: what anybody would have in seconds, and a fused model has to beat.

    Tf-idf of the texts; gradients, colours and a thumbnail of the pictures; thumbnails of clips and how they change;
    places and movement of joints. One model a modality, one on both together, and the average of the first two.

    ```python
    linear_references = LinearReferenceTrainer(
        examples=example_gen.outputs["examples"],
        class_names=["animal", "food"],
        multi_label=False,
        modalities=["text", "image"],
    )
    ```

    Args:
        examples: channel of raw `Examples` with the splits `train` and `dev`; test is left alone.
        class_names: sequence of str, in the order of the model's outputs.
        multi_label: bool.
        modalities: sequence of str. Those that the fused model reads.

    Outputs:
        `references`: `components.LinearReferences`.
    """

    SPEC_CLASS = LinearReferenceTrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        class_names: Sequence[str],
        multi_label: bool,
        modalities: Sequence[str],
    ):
        super().__init__(
            spec=LinearReferenceTrainerSpec(
                examples=examples,
                class_names=json.dumps(list(class_names)),
                multi_label=int(multi_label),
                modalities=json.dumps(list(modalities)),
                code_fingerprint=code_fingerprint(*executor.CODE),
                references=types.Channel(type=LinearReferences),
            )
        )
