"""Interface of the step that finds the model that serves."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import component_spec, standard_artifacts

from components.code_fingerprint import code_fingerprint
from components.served_model import executor


class ServedModelSpec(component_spec.ComponentSpec):
    """What goes in and out of `ServedModel`."""

    PARAMETERS = {
        "push_destination": component_spec.ExecutionParameter(type=str),
        "code_fingerprint": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: dict[str, component_spec.ChannelParameter] = {}
    OUTPUTS = {"model": component_spec.ChannelParameter(type=standard_artifacts.Model)}


class ServedModel(base_component.BaseComponent):
    """Copies the model that serves, the newest version at the push destination, for the Evaluator to compare with.

    It stands where ML Metadata cannot be asked: Kubeflow's backend refuses TFX's resolver, and Vertex AI's takes the
    latest blessed model of any pipeline. A pushed model was blessed, and a push destination belongs to one pipeline.
    It must never be served from a cache, since what serves is no input of it.

    ```python
    served_model = ServedModel(push_destination="gs://bucket/serving/posters")
    evaluator = Evaluator(..., baseline_model=served_model.outputs["model"])
    ```

    Args:
        push_destination: str or RuntimeParameter. Folder of the numbered versions.

    Outputs:
        `model`: `Model` with the custom property `version`; without files, and with the version "", where nothing
        serves yet. The Evaluator takes such a model for none.
    """

    SPEC_CLASS = ServedModelSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(self, push_destination: str | RuntimeParameter):
        super().__init__(
            spec=ServedModelSpec(
                push_destination=push_destination,
                code_fingerprint=code_fingerprint(*executor.CODE),
                model=types.Channel(type=standard_artifacts.Model),
            )
        )
