"""How well conflict, uncertainty and probability of a served model tell its errors, for TFMA."""

import dataclasses
from typing import Any

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis.metrics import metric_types, metric_util

from components.evaluator.doubt_table import DoubtTable
from components.evaluator.example_reader import ExampleReader
from hfmnas_keras.evidence.risk_coverage import RiskCoverage, decision_doubt

PREFIX = "risk_coverage"
#: Scores of doubt by name: two outputs of the model, and one minus the probability of what it decided.
DOUBTS = ("conflict", "uncertainty", "probability")
#: Coverages at which the risk is written.
COVERAGES = np.arange(1, 101) / 100


class RiskCoverageMetric(metric_types.Metric):
    """Risk and coverage of the fused predictions, ordered by each score of doubt (docs/method.md, section 1).

    Single-label: a row is one decision, wrong when the class of the largest probability is not the true one.
    Multi-label: every label of every row is a decision, wrong when it is predicted and not true or the reverse;
    `conflict` and `uncertainty` have a value for each. Every example counts once, whatever its weight.

    For each of `DOUBTS` TFMA is given the metrics `risk_coverage/{doubt}/aurc`, `.../excess_aurc`,
    `.../error_by_quarter` (array of 4, from the least doubt) and `.../risk` (array, at each of `COVERAGES`). All are
    NaN when a prediction is not finite.

    The memory of a slice is bounded, see `DoubtTable`.

    Args:
        name: str. Prefix of the names. Defaults to `"risk_coverage"`.
        class_names: list of str, in the order of the outputs.
        multi_label: bool. Defaults to `False`.
        threshold: float. Multi-label only: a class is predicted above it. Defaults to `0.5`.
    """

    def __init__(
        self,
        name: str = PREFIX,
        class_names: tuple[str, ...] | list[str] = (),
        multi_label: bool = False,
        threshold: float = 0.5,
    ):
        super().__init__(
            metric_util.merge_per_key_computations(_risk_coverage_computations),
            name=name,
            class_names=list(class_names),
            multi_label=multi_label,
            threshold=threshold,
        )


def _risk_coverage_computations(
    name,
    class_names,
    multi_label,
    threshold,
    eval_config=None,
    model_name="",
    output_name="",
    sub_key=None,
    example_weighted=False,
):
    if sub_key is not None:
        raise ValueError(f"Metric `{name}` reads whole predictions and cannot be binarized. Received: {sub_key}.")

    def key(metric_name):
        return metric_types.MetricKey(
            name=metric_name, model_name=model_name, output_name=output_name, example_weighted=example_weighted
        )

    # The leading underscore keeps it out of the written results.
    tables_key = key(f"_{name}_{len(class_names)}_{multi_label}_{threshold}")
    empty = {f"{name}/{doubt}/{what}": None for doubt in DOUBTS for what in _measured(None)}

    def result(metrics):
        tables = metrics[tables_key]
        values = dict(empty)
        for doubt in DOUBTS:
            curve = None if tables.not_finite else tables.by_doubt[doubt].to_risk_coverage()
            values.update({f"{name}/{doubt}/{what}": value for what, value in _measured(curve).items()})
        return {key(metric_name): value for metric_name, value in values.items()}

    reader = ExampleReader(eval_config, model_name, output_name, example_weighted, len(class_names), multi_label)
    combiner = _DoubtTablesCombiner(tables_key, reader, threshold)
    return [
        metric_types.MetricComputation(keys=[tables_key], preprocessors=None, combiner=combiner),
        metric_types.DerivedMetricComputation(keys=[key(metric_name) for metric_name in empty], result=result),
    ]


def _measured(curve: RiskCoverage | None) -> dict[str, Any]:
    if curve is None:
        nan = float("nan")
        return {"aurc": nan, "excess_aurc": nan, "error_by_quarter": np.full(4, nan), "risk": COVERAGES * nan}
    return {
        "aurc": curve.aurc,
        "excess_aurc": curve.excess_aurc,
        "error_by_quarter": curve.error_by_part(4),
        "risk": curve.risk(COVERAGES),
    }


@dataclasses.dataclass
class _DoubtTables:
    by_doubt: dict[str, DoubtTable] = dataclasses.field(
        default_factory=lambda: {doubt: DoubtTable() for doubt in DOUBTS}
    )
    not_finite: int = 0


class _DoubtTablesCombiner(beam.CombineFn):
    def __init__(self, key, reader: ExampleReader, threshold: float):
        self._key = key
        self._reader = reader
        self._threshold = threshold

    def create_accumulator(self) -> _DoubtTables:
        return _DoubtTables()

    def add_input(self, accumulator: _DoubtTables, element: Any) -> _DoubtTables:
        truth, probabilities, _ = self._reader.read(element)
        if self._reader.multi_label:
            given = self._reader.given_labels(element, probabilities, self._threshold)
            errors = truth != given
            own_doubts = decision_doubt(probabilities, given=given)
        else:
            errors = np.array([np.argmax(probabilities) != truth])
            own_doubts = decision_doubt(probabilities[np.newaxis])
        doubts = {"probability": own_doubts}
        for output in ("conflict", "uncertainty"):
            doubts[output] = self._reader.values(element, output)
            if doubts[output].shape != errors.shape:
                raise ValueError(
                    f"Output `{output}` must have {len(errors)} values an example. Received: {len(doubts[output])}."
                )
        if all(np.isfinite(values).all() for values in (probabilities, *doubts.values())):
            for doubt, values in doubts.items():
                accumulator.by_doubt[doubt].add(values, errors)
        else:
            accumulator.not_finite += 1
        return accumulator

    def merge_accumulators(self, accumulators) -> _DoubtTables:
        merged = self.create_accumulator()
        for accumulator in accumulators:
            for doubt, table in accumulator.by_doubt.items():
                merged.by_doubt[doubt].merge(table)
            merged.not_finite += accumulator.not_finite
        return merged

    def extract_output(self, accumulator: _DoubtTables) -> dict:
        return {self._key: accumulator}
