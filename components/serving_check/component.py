"""Component that proves that a model serves without us."""

import json
from collections.abc import Sequence

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.code_fingerprint import code_fingerprint
from components.serving_check import executor


class ServingCheckSpec(ComponentSpec):
    """Inputs, outputs and parameters of `ServingCheck`."""

    PARAMETERS = {
        "class_names": ExecutionParameter(type=str),
        "multi_label": ExecutionParameter(type=int),
        "modalities": ExecutionParameter(type=str),
        "split": ExecutionParameter(type=str),
        "num_examples": ExecutionParameter(type=int),
        "code_fingerprint": ExecutionParameter(type=str),
    }
    INPUTS = {
        "model": ChannelParameter(type=standard_artifacts.Model),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS = {"blessing": ChannelParameter(type=standard_artifacts.InfraBlessing)}


class ServingCheck(base_component.BaseComponent):
    """Calls every signature of the model in a fresh process with plain TensorFlow and real requests.

    Stands where TFX's InfraValidator stands, but needs neither Docker nor Kubernetes, and runs under
    KubeflowV2DagRunner, which has no InfraValidator. A model that fails is not blessed; the run goes on and `Pusher`
    pushes nothing.

    Example:

    ```python
    serving_check = ServingCheck(
        model=trainer.outputs["model"],
        examples=example_gen.outputs["examples"],
        class_names=["animal", "food"],
        multi_label=False,
    )
    pusher = Pusher(
        model=trainer.outputs["model"], infra_blessing=serving_check.outputs["blessing"], push_destination=...
    )
    ```

    Args:
        model: channel of `Model`, as `export_saved_model` writes it.
        examples: channel of raw `Examples`.
        class_names: sequence of str, in the order of the model's outputs.
        multi_label: bool. Whether an example may have several classes, or none.
        modalities: sequence of str. Raw features that a request sends. Defaults to `("text", "image")`.
        split: str. Where the examples come from. Defaults to `"dev"`: the test split is the Evaluator's alone.
        num_examples: int. Size of the batch it calls with. Defaults to `4`.

    Outputs:
        `blessing`: `InfraBlessing` with `serving_check.json` beside the usual file.
    """

    SPEC_CLASS = ServingCheckSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        examples: types.BaseChannel,
        class_names: Sequence[str],
        multi_label: bool,
        modalities: Sequence[str] = ("text", "image"),
        split: str = "dev",
        num_examples: int = 4,
    ):
        if num_examples < 1:
            raise ValueError(f"`num_examples` must be at least 1. Received: {num_examples}.")
        spec = ServingCheckSpec(
            model=model,
            examples=examples,
            class_names=json.dumps(list(class_names)),
            multi_label=int(multi_label),
            modalities=json.dumps(list(modalities)),
            split=split,
            num_examples=num_examples,
            code_fingerprint=code_fingerprint(*executor.CODE),
            blessing=types.Channel(type=standard_artifacts.InfraBlessing),
        )
        super().__init__(spec=spec)
