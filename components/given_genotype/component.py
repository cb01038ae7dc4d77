"""Interface of the stage that takes the place of a search."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec

from components import Genotype
from components.code_fingerprint import code_fingerprint
from components.given_genotype import executor


class GivenGenotypeSpec(component_spec.ComponentSpec):
    """What goes in and out of `GivenGenotype`."""

    PARAMETERS = {
        "genotype_json": component_spec.ExecutionParameter(type=str),
        "model": component_spec.ExecutionParameter(type=str),
        "code_fingerprint": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: dict[str, component_spec.ChannelParameter] = {}
    OUTPUTS = {"genotype": component_spec.ChannelParameter(type=Genotype)}


class GivenGenotype(base_component.BaseComponent):
    """Hands on a genotype that an earlier search found, so that a run trains on new data without searching anew.

    The genotype itself is the parameter and not its path: so it is what the cache looks at, and it travels to wherever
    the stage runs.

    ```python
    given_genotype = GivenGenotype(genotype_json=pathlib.Path("genotype.json").read_text(), model="hf_mnas")
    ```

    Args:
        genotype_json: str. As `BaseGenotype.to_json` gives it.
        model: str. Name of the model that it is of.

    Outputs:
        `genotype`: `components.Genotype`.

    Raises:
        ValueError: when it is no genotype of the model.
    """

    SPEC_CLASS = GivenGenotypeSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(self, genotype_json: str, model: str):
        # Now, and not when the run has come to the training.
        executor.checked_genotype(genotype_json, model)
        super().__init__(
            spec=GivenGenotypeSpec(
                genotype_json=genotype_json,
                model=model,
                code_fingerprint=code_fingerprint(*executor.CODE),
                genotype=types.Channel(type=Genotype),
            )
        )
