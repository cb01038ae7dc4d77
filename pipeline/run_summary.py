"""What a run came to, read back from ML Metadata."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata

from components.evaluator.evaluation import is_blessed, read_evaluation
from components.pusher.executor import DIGEST_PROPERTY

_HEAD = "_belief"


@dataclasses.dataclass(frozen=True)
class StageOutcome:
    """One stage of a run.

    Args:
        name: str. Id of the component.
        state: str. `"complete"`, `"cached"`, or another state of ML Metadata in small letters.
        seconds: float. From the start of the stage to its end, reading the cache included.
    """

    name: str
    state: str
    seconds: float


@dataclasses.dataclass(frozen=True)
class RunSummary:
    """Outcome of one run.

    Args:
        stages: tuple of `StageOutcome`, in the order of their start.
        evaluation: dict or None. What `components.evaluator.evaluation.read_evaluation` gives.
        is_blessed: bool. The gate's word.
        is_serving_checked: bool. Whether the SavedModel answered in a fresh process.
        is_pushed: bool. Whether the model of this run serves now, be it pushed by this run or by an earlier one.
        uris: dict of str. Folder of every artifact of the run by `"Component.output"`, such as `"Trainer.model"`.
        pushed_path: str or None. Folder of the version that serves.
        pushed_digest: str or None. Digest of its files, see `components.pusher.model_digest`.
    """

    stages: tuple[StageOutcome, ...]
    evaluation: dict[str, Any] | None
    is_blessed: bool
    is_serving_checked: bool
    is_pushed: bool
    uris: dict[str, str]
    pushed_path: str | None
    pushed_digest: str | None = None

    def to_text(self, name: str) -> str:
        """Returns the summary as lines for a terminal; the last one tells the gate's word, where the run reached it."""
        lines = ["", f"Run of {name!r}"]
        width = max((len(stage.name) for stage in self.stages), default=0)
        for stage in self.stages:
            cached = "  (from cache)" if stage.state == "cached" else ""
            lines.append(f"  {stage.name:<{width}} {stage.seconds:8.1f} s{cached}")
        lines.append(f"  {'total':<{width}} {sum(stage.seconds for stage in self.stages):8.1f} s")
        if self.evaluation is not None:
            scores = self.f1_m()
            lines.append(f"Macro F1 on the test split ({self.evaluation['examples']} examples)")
            lines.extend(f"  {what:<{width}} {_number(score):>8}" for what, score in scores.items())
            if references := self.references():
                lines.append("Linear models on the same rows")
                lines.extend(f"  {what:<{width}} {_number(score):>8}" for what, score in references.items())
            gate = self.evaluation["gate"]
            compared = "compared with the last blessed model" if gate["compared"] else "no blessed model before it"
            if gate["baseline_left_out"] is not None:
                compared = f"not compared with the last blessed model: {gate['baseline_left_out']}"
            lines.append(f"Gate: bar {gate['min_f1_m']:.3f}, {compared}")
            lines.extend(f"  {reason}" for reason in gate["reasons"])
        for what, path in (
            ("SavedModel", self.pushed_path or self.uris.get("Trainer.model")),
            ("Report", self.report_file),
        ):
            if path is not None:
                lines.append(f"{what}: {_short(path)}")
        if self.evaluation is not None:
            lines.append(self._last_line())
        return "\n".join(lines)

    def f1_m(self) -> dict[str, float | None]:
        """Macro F1 of each modality's head and of the fused model."""
        if self.evaluation is None:
            return {}
        overall = self.evaluation["overall"]
        heads = {f"{output.removesuffix(_HEAD)} head": output for output in sorted(overall) if output.endswith(_HEAD)}
        return {what: overall[output]["f1_m"] for what, output in {**heads, "fused": "probabilities"}.items()}

    def references(self) -> dict[str, float]:
        """Macro F1 of the linear models on the same rows."""
        if self.evaluation is None or self.evaluation["references"] is None:
            return {}
        titles = {"joined": "both together", "average": "each, averaged"}
        scores = self.evaluation["references"]["macro_f1"]
        return {titles.get(name, name): score for name, score in scores.items()}

    @property
    def report_file(self) -> str | None:
        """Path of the HTML report."""
        folder = self.uris.get("RunReport.report")
        return None if folder is None else os.path.join(folder, "report.html")

    def _last_line(self) -> str:
        fused = _number(self.f1_m().get("fused"))
        if self.is_pushed:
            return f"BLESSED and pushed: macro F1 {fused}"
        if self.is_blessed:
            reason = "did not answer as a server needs it" if not self.is_serving_checked else "could not be pushed"
            return f"NOT PUSHED: the model is good enough (macro F1 {fused}), but {reason}"
        return f"NOT BLESSED, not pushed: macro F1 {fused}"


def summarise_run(metadata_path: str | os.PathLike[str], run_id: str | None = None) -> RunSummary | None:
    """Reads a run from ML Metadata.

    Args:
        metadata_path: SQLite file.
        run_id: str or None. Name of the run, as `IdentifiedRunner` has it. `None` (default): the one that was entered
            last; clocks, which may be set back, are not asked.

    Returns:
        `RunSummary`, or `None` when there is no such run.
    """
    if not os.path.isfile(metadata_path):
        return None
    store = MetadataStore(metadata.sqlite_metadata_connection_config(os.fspath(metadata_path)))
    runs = [run for run in store.get_contexts_by_type("pipeline_run") if run_id in (None, run.name)]
    if not runs:
        return None
    run = max(runs, key=lambda context: context.id)
    executions = sorted(store.get_executions_by_context(run.id), key=lambda execution: execution.id)
    stages = tuple(
        StageOutcome(
            name=_node_name(store, execution),
            state=metadata_store_pb2.Execution.State.Name(execution.last_known_state).lower(),
            seconds=(execution.last_update_time_since_epoch - execution.create_time_since_epoch) / 1000,
        )
        for execution in executions
    )
    outputs = _outputs(store, executions)
    evaluation = outputs.get(("Evaluator", "evaluation"))
    blessing = outputs.get(("Evaluator", "blessing"))
    checked = outputs.get(("ServingCheck", "blessing"))
    pushed = outputs.get(("Pusher", "pushed_model"))
    return RunSummary(
        stages=stages,
        evaluation=None if evaluation is None else read_evaluation(evaluation.uri),
        is_blessed=blessing is not None and is_blessed(blessing.uri),
        is_serving_checked=checked is not None and _custom(checked, "blessed") == 1,
        is_pushed=pushed is not None and bool(_custom(pushed, "pushed")),
        uris={f"{component}.{output}": artifact.uri for (component, output), artifact in outputs.items()},
        pushed_path=None if pushed is None else _custom(pushed, "pushed_destination") or None,
        pushed_digest=None if pushed is None else _custom(pushed, DIGEST_PROPERTY),
    )


def _node_name(store: MetadataStore, execution: metadata_store_pb2.Execution) -> str:
    for context in store.get_contexts_by_execution(execution.id):
        if context.type == "node":
            return context.name.rsplit(".", 1)[-1]
    return execution.type.rsplit(".", 1)[-1]


def _outputs(
    store: MetadataStore, executions: list[metadata_store_pb2.Execution]
) -> dict[tuple[str, str], metadata_store_pb2.Artifact]:
    """Returns the last artifact of every output, by component and output key."""
    names = {execution.id: _node_name(store, execution) for execution in executions}
    events = [
        event
        for event in store.get_events_by_execution_ids(list(names))
        if event.type in (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.DECLARED_OUTPUT)
    ]
    artifacts = {artifact.id: artifact for artifact in store.get_artifacts_by_id([e.artifact_id for e in events])}
    return {(names[event.execution_id], event.path.steps[0].key): artifacts[event.artifact_id] for event in events}


def _custom(artifact: metadata_store_pb2.Artifact, key: str) -> Any:
    value = artifact.custom_properties.get(key) or artifact.properties.get(key)
    return None if value is None else getattr(value, value.WhichOneof("value"))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _short(path: str) -> str:
    """Shows a path below the current folder relative to it."""
    current = pathlib.Path.cwd()
    return str(pathlib.Path(path).relative_to(current)) if pathlib.Path(path).is_relative_to(current) else path
