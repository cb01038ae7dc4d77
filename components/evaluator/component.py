"""TFX's Evaluator, which also asks whether a linear model would do better."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow_model_analysis as tfma
from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.standard_component_specs import EvaluatorSpec as TfxEvaluatorSpec
from tfx.utils import json_utils

from components import LinearReferences
from components.code_fingerprint import code_fingerprint
from components.evaluator import executor


class EvaluatorSpec(ComponentSpec):
    """Inputs, outputs and properties of `Evaluator`."""

    PARAMETERS = {
        "eval_config": ExecutionParameter(type=tfma.EvalConfig),
        "example_splits": ExecutionParameter(type=str),
        "above_reference": ExecutionParameter(type=int),
        "code_fingerprint": ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "model": ChannelParameter(type=standard_artifacts.Model),
        "baseline_model": ChannelParameter(type=standard_artifacts.Model, optional=True),
        "references": ChannelParameter(type=LinearReferences),
    }
    OUTPUTS = TfxEvaluatorSpec.OUTPUTS
    TYPE_ANNOTATION = TfxEvaluatorSpec.TYPE_ANNOTATION


class Evaluator(base_beam_component.BaseBeamComponent):
    """Measures a model on the test split, which it alone reads, and blesses it or not.

    What TFX's Evaluator measures and decides it leaves to that. Beside it, the linear references are scored on the same
    rows. A model of less macro F1 than the best linear model on one modality, or than one of its own heads, is not
    blessed: whoever serves it would be better off with that.

    ```python
    evaluator = Evaluator(
        examples=example_gen.outputs["examples"],
        model=trainer.outputs["model"],
        baseline_model=latest_blessed.outputs["model"],
        references=linear_references.outputs["references"],
        eval_config=make_eval_config(["animal", "food"], multi_label=False, min_f1_m=0.6),
    )
    ```

    Args:
        examples: channel of raw `Examples`.
        model: channel of `Model`.
        references: channel of `components.LinearReferences`.
        eval_config: `EvalConfig` from `make_eval_config`.
        baseline_model: channel of `Model` or None (default): what the model must not fall behind.
        above_reference: bool. Whether the references and the heads are a condition. Defaults to `True`; `False` only
            shows them.
        example_splits: sequence of str. Defaults to `("test",)`.

    Outputs:
        `evaluation`: `ModelEvaluation`, which `read_evaluation` reads, with `references.json` beside TFMA's files.
        `blessing`: `ModelBlessing`.
    """

    SPEC_CLASS = EvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        references: types.BaseChannel,
        eval_config: tfma.EvalConfig,
        baseline_model: types.BaseChannel | None = None,
        above_reference: bool = True,
        example_splits: Sequence[str] = ("test",),
    ):
        super().__init__(
            spec=EvaluatorSpec(
                examples=examples,
                model=model,
                baseline_model=baseline_model,
                references=references,
                eval_config=eval_config,
                example_splits=json_utils.dumps(list(example_splits)),
                above_reference=int(above_reference),
                code_fingerprint=code_fingerprint(*executor.CODE),
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
            )
        )
