"""Removes artifacts of a run that no later run needs."""

from __future__ import annotations

import dataclasses
import os
from collections import defaultdict

import tensorflow as tf
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata

from pipeline.config import RunConfig
from pipeline.served_versions import WITHDRAWN, served_versions, withdrawn_versions


@dataclasses.dataclass(frozen=True)
class CleanReport:
    """What was removed, or would be.

    Args:
        removed: tuple of str. Folders.
        bytes: int. Of all of them.
        kept: int. Artifacts that stay.
    """

    removed: tuple[str, ...]
    bytes: int
    kept: int


def clean_run(config: RunConfig, keep: int = 1, versions: int = 2, dry_run: bool = False) -> CleanReport:
    """Removes older artifacts of a run, and pushed versions that no longer serve.

    Args:
        config: `RunConfig`.
        keep: int. Newest artifacts of each output of each stage that stay. Defaults to `1`.
        versions: int. Newest pushed versions that stay. Defaults to `2`: what serves and what one can go back to.
            The newest withdrawn version, the newest blessed model, by which the gate judges, and what kept artifacts
            were made of stay, too.
        dry_run: bool. Whether nothing is removed. Defaults to `False`.

    Returns:
        `CleanReport`.

    Raises:
        ValueError: when there was no run.
    """
    if not config.metadata_path.is_file():
        raise ValueError(f"There is no run to clean: {config.metadata_path} is not there.")
    store = MetadataStore(metadata.sqlite_metadata_connection_config(str(config.metadata_path)))
    live = {
        artifact.id: artifact
        for artifact in store.get_artifacts()
        if artifact.state == metadata_store_pb2.Artifact.LIVE
    }
    made_from, by_output = _lineage(store, live)
    kept = set().union(*(sorted(ids)[-keep:] for ids in by_output.values()))
    kept |= _blessed(live, keep)
    wanted = list(kept)
    while wanted:
        new = made_from[wanted.pop()] - kept
        kept |= new
        wanted += new
    # What lies outside, such as an imported schema, is not the run's own.
    root = config.pipeline_root.rstrip("/") + "/"
    old = [artifact for artifact in live.values() if artifact.id not in kept and artifact.uri.startswith(root)]
    shared = {live[each].uri for each in kept if each in live}
    old = [artifact for artifact in old if artifact.uri not in shared]
    folders = {artifact.uri for artifact in old} | set(_old_versions(config.push_destination, versions))
    present = sorted(folder for folder in folders if tf.io.gfile.exists(folder))
    size = sum(_bytes_below(folder) for folder in present)
    if not dry_run:
        for artifact in old:
            artifact.state = metadata_store_pb2.Artifact.DELETED
        # Said before it is done: a run that comes between makes anew what is half there.
        store.put_artifacts(old)
        for folder in present:
            tf.io.gfile.rmtree(folder)
    return CleanReport(tuple(present), size, len(kept))


def _lineage(
    store: MetadataStore, live: dict[int, metadata_store_pb2.Artifact]
) -> tuple[dict[int, set[int]], dict[tuple[int, str], set[int]]]:
    """For each artifact what it was made of; and the artifacts by the stage's type and output that they are."""
    executions = {execution.id: execution.type_id for execution in store.get_executions()}
    inputs: dict[int, set[int]] = defaultdict(set)
    outputs: dict[int, set[int]] = defaultdict(set)
    by_output: dict[tuple[int, str], set[int]] = defaultdict(set)
    for event in store.get_events_by_execution_ids(list(executions)) if executions else ():
        if event.artifact_id not in live:
            continue
        if event.type in (metadata_store_pb2.Event.INPUT, metadata_store_pb2.Event.DECLARED_INPUT):
            inputs[event.execution_id].add(event.artifact_id)
        elif event.type in (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.DECLARED_OUTPUT):
            outputs[event.execution_id].add(event.artifact_id)
            key = next((step.key for step in event.path.steps if step.key), "")
            by_output[executions[event.execution_id], key].add(event.artifact_id)
    made_from: dict[int, set[int]] = defaultdict(set)
    for execution, made in outputs.items():
        for artifact in made:
            made_from[artifact] |= inputs[execution]
    return made_from, by_output


def _blessed(live: dict[int, metadata_store_pb2.Artifact], keep: int) -> set[int]:
    """The newest blessings that were given, and the models that they are of."""
    models = {
        artifact.id: _number(artifact, "current_model_id")
        for artifact in live.values()
        if _number(artifact, "blessed") == 1 and _number(artifact, "current_model_id")
    }
    newest = sorted(models)[-keep:]
    return set(newest) | ({models[each] for each in newest} & set(live))


def _number(artifact: metadata_store_pb2.Artifact, name: str) -> int:
    # To ask for a property that is not there would make an empty one, which the store cannot write.
    return artifact.custom_properties[name].int_value if name in artifact.custom_properties else 0


def _old_versions(folder: str, versions: int) -> list[str]:
    if not tf.io.gfile.isdir(folder):
        return []
    old = [str(version) for version in served_versions(folder)[:-versions]]
    # The newest withdrawn one tells a run from the cache that its model is not wanted.
    old += [f"{WITHDRAWN}{version}" for version in withdrawn_versions(folder)[:-1]]
    return [os.path.join(folder, name) for name in old]


def _bytes_below(folder: str) -> int:
    return sum(
        tf.io.gfile.stat(os.path.join(where, name)).length
        for where, _, names in tf.io.gfile.walk(folder)
        for name in names
    )
