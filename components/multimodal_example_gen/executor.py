"""The work of `MultimodalExampleGen`."""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import apache_beam as beam
from absl import logging
from tfx import types
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils

from components.artifact_types.files import INCONSISTENT_PAIRS_FILE, INGEST_FILE
from components.code_fingerprint import check_code, code_fingerprint
from components.local_folders import remove_folder
from components.multimodal_example_gen.inconsistency import Inconsistency, choose_replacements
from components.multimodal_example_gen.progress import progress
from components.multimodal_example_gen.record import in_short
from components.multimodal_example_gen.row import SPLITS, Skip
from components.multimodal_example_gen.rows_to_examples import (
    IngestCounts,
    WriteShards,
    added_up,
    count_skip,
    no_counts,
    words_by_text,
)
from components.multimodal_example_gen.shards import (
    ROWS_FOLDER,
    Shard,
    earlier_notes,
    number_of_rows,
    put_aside,
    shards_of,
    taken,
    with_key,
)
from components.multimodal_example_gen.sources.registry import make_source
from components.multimodal_example_gen.sources.source import Listing, Source
from components.multimodal_example_gen.word_coverage import word_coverage

# Share of the words of dev and test that train should have: with fewer the texts can hardly help.
_LEAST_COVERED = 0.5
#: What this stage runs.
CODE = ("components.multimodal_example_gen",)
#: What the names of execution properties begin with that hold a setting of the source, a path, each.
PATH_PREFIX = "path_"


class Executor(base_beam_executor.BaseBeamExecutor):
    """Reads a source into examples of three splits and reports what it saw."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Runs the ingest.

        Args:
            input_dict: nothing.
            output_dict: `examples`: one Examples artifact; gets `Split-train`, `Split-dev`, `Split-test` with gzipped
                TFRecords, `ingest.json`, and, where texts are replaced, `inconsistent_pairs.json`.
            exec_properties: `source` (name), `source_config` (JSON text), `source_fingerprint` (text), `inconsistency`
                (JSON text, may be missing); under `PATH_PREFIX` and the name of a setting the path that a run chose
                for it.

        Raises:
            ValueError: when the source is refused; the message lists the rows and the reasons.
            RuntimeError: when the data are not those that the pipeline was made for, or a split is empty.
        """
        check_code(exec_properties, CODE)
        self._log_startup(input_dict, output_dict, exec_properties)
        artifact = artifact_utils.get_single_instance(output_dict["examples"])
        source = make_source(exec_properties["source"], _source_config(exec_properties))
        digests: dict[str, bytes] = {}
        fingerprint = _checked_fingerprint(source, exec_properties.get("source_fingerprint") or "", digests)
        # Kubeflow does not make the folders of outputs.
        fileio.makedirs(artifact.uri)
        settings = json.loads(exec_properties.get("inconsistency") or "null")
        inconsistency = Inconsistency(**settings) if settings else None
        by = fingerprint.partition(":")[0]
        reuse = json.dumps([code_fingerprint(*CODE), source.name, _settings_of_rows(source, exec_properties), by])
        counts = ingest(source, artifact.uri, self._make_beam_pipeline, inconsistency, Reuse(reuse, by, digests))
        counts["fingerprint"] = fingerprint
        with fileio.open(os.path.join(artifact.uri, INGEST_FILE), "w") as file:
            file.write(json.dumps(counts, indent=2, ensure_ascii=False) + "\n")
        artifact.split_names = artifact_utils.encode_split_names(list(SPLITS))
        examples_utils.set_payload_format(artifact, example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE)
        examples_utils.set_file_format(artifact, "tfrecords_gzip")
        artifact.set_string_custom_property("source", source.name)
        artifact.set_string_custom_property("source_fingerprint", fingerprint)


@dataclasses.dataclass(frozen=True)
class Reuse:
    """By what an ingest knows that records of earlier executions are those that it would write.

    Args:
        settings: str. Stands for the code and for the settings on which a row's example depends.
        by: str. `"content"` or `"metadata"`, see `Source.fingerprint`.
        digests: dict. Of files that were read already, by their paths.
    """

    settings: str
    by: str
    digests: dict[str, bytes]


def ingest(
    source: Source,
    folder: str,
    make_pipeline: Callable[[], beam.Pipeline],
    inconsistency: Inconsistency | None = None,
    reuse: Reuse | None = None,
) -> dict[str, Any]:
    """Writes a source's examples and returns what was seen.

    Args:
        source: Source.
        folder: str. Gets one folder `Split-<name>` a split, `shards` with a note for each of their files, and
            `inconsistent_pairs.json` where texts are replaced.
        make_pipeline: callable without arguments that returns a Beam pipeline.
        inconsistency: Inconsistency or None. Which texts are replaced. Defaults to None: none.
        reuse: Reuse or None. How files of the same rows are found in earlier executions' folders beside `folder`.
            Defaults to None: all rows are read.

    Returns:
        dict. The content of `ingest.json`, see `components.multimodal_example_gen.component`.

    Raises:
        ValueError: when a strict source has rows that cannot be used, or texts cannot be replaced as asked.
        RuntimeError: when a split would be empty.
    """
    policy = inconsistency.policy_for(source) if inconsistency else ""
    listing = source.read()
    if source.strict and listing.skipped:
        raise _refused(source, _counts_of(listing.skipped)["skipped"])
    # An empty split shows here, before hours of reading pictures.
    _check_splits(Counter(row.split for row in listing.rows), source, _counts_of(listing.skipped)["skipped"])
    logging.info("Reading %d rows of the source %r.", len(listing.rows), source.name)
    replacement = choose_replacements(listing.rows, inconsistency, policy) if inconsistency else None
    rows = replacement.rows() if replacement else listing.rows
    shards = shards_of(rows)
    counts_taken: list[dict[str, Any]] = []
    if reuse is not None:
        shards = [with_key(shard, source, reuse.settings, reuse.by, reuse.digests) for shard in shards]
        shards, counts_taken = _without_earlier(shards, folder)
    # In the artifact's folder, which workers on other machines see too.
    counts_path, left_out_path = (os.path.join(folder, name) for name in ("counts.tmp", "left_out.tmp"))
    with progress(folder, shards), make_pipeline() as pipeline:
        written = (
            pipeline
            | "Rows" >> beam.Create([put_aside(shard, folder) for shard in shards])
            | "ToExamples" >> WriteShards(source, folder)
        )
        if replacement:
            _ = (
                written["left_out"]
                | "IdsLeftOut" >> beam.Map(json.dumps)
                | "WriteIdsLeftOut" >> beam.io.WriteToText(left_out_path, num_shards=1, shard_name_template="")
            )
        _ = (
            written["counts"]
            | "Count" >> beam.CombineGlobally(IngestCounts())
            | "CountsAsText" >> beam.Map(json.dumps)
            | "WriteCounts" >> beam.io.WriteToText(counts_path, num_shards=1, shard_name_template="")
        )
    remove_folder(os.path.join(folder, ROWS_FOLDER))
    counts = added_up([*_taken_lines(counts_path), *counts_taken, _counts_of(listing.skipped)])
    left_out = set(_taken_lines(left_out_path)) if replacement else set()
    if source.strict and counts["skipped"]:
        raise _refused(source, counts["skipped"])
    _check_splits(counts["rows"], source, counts["skipped"])
    if replacement:
        pairs = {**dataclasses.asdict(replacement.inconsistency), "changed": replacement.changed(left_out)}
        with fileio.open(os.path.join(folder, INCONSISTENT_PAIRS_FILE), "w") as file:
            file.write(json.dumps({"version": 1, **pairs}, indent=1, ensure_ascii=False) + "\n")
    inconsistent = replacement.report(listing.classes, left_out) if replacement else None
    return _report(source, listing, counts, word_coverage(rows), inconsistent)


def _source_config(exec_properties: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the source's settings, with the paths that came each by itself."""
    paths = {
        name.removeprefix(PATH_PREFIX): value
        for name, value in exec_properties.items()
        if name.startswith(PATH_PREFIX) and value
    }
    return {**json.loads(exec_properties["source_config"]), **paths}


def _taken_lines(path: str) -> list[Any]:
    """Reads a file of JSON lines and removes it."""
    with fileio.open(path, "r") as file:
        lines = [json.loads(line) for line in file.read().splitlines()]
    fileio.remove(path)
    return lines


def _checked_fingerprint(source: Source, promised: str, digests: dict[str, bytes]) -> str:
    """Returns the fingerprint of the data as they are now.

    Raises:
        RuntimeError: when it is not the one in the execution's properties, under which the result would be cached.
    """
    by, colon, _ = promised.partition(":")
    if not colon or by not in ("content", "metadata"):
        return source.fingerprint(digests=digests)
    found = source.fingerprint(by, digests)
    if found != promised:
        raise RuntimeError(
            f"The data of the source {source.name!r} are not those that the pipeline was made for: fingerprint "
            f"{found}, expected {promised}. Make the pipeline again (run it again, or compile it again) and leave the "
            "data alone meanwhile."
        )
    return found


def _settings_of_rows(source: Source, exec_properties: Mapping[str, Any]) -> dict[str, Any]:
    """The settings but for paths: which files a row has, the row itself says."""
    return {name: value for name, value in _source_config(exec_properties).items() if name not in source.paths}


def _without_earlier(shards: list[Shard], folder: str) -> tuple[list[Shard], list[dict[str, Any]]]:
    """Takes the parts that earlier executions have; returns the others, and what was seen in those that were taken."""
    earlier = earlier_notes(folder)
    left, counts = [], []
    for shard in shards:
        seen = taken(shard, earlier[shard.key], folder) if shard.key in earlier else None
        if seen is None:
            left.append(shard)
        else:
            counts.append(seen)
    if counts:
        total = number_of_rows(shards)
        logging.info(
            "%d of %d rows are as in earlier examples and are not read again.", total - number_of_rows(left), total
        )
    return left, counts


def _counts_of(skipped: list[Skip]) -> dict[str, Any]:
    counts = no_counts()
    for skip in skipped:
        count_skip(counts, skip)
    return counts


def _refused(source: Source, by_reason: dict[str, Any]) -> ValueError:
    count = sum(entry["count"] for entry in by_reason.values())
    lines = [f"The source {source.name!r} has {count} rows that cannot be used:"]
    for reason, entry in sorted(by_reason.items()):
        lines += [f"  {message}" for message in entry["messages"]]
        if entry["count"] > len(entry["messages"]):
            lines.append(f"  ... and {entry['count'] - len(entry['messages'])} more rows: {reason}")
    lines.append("Put them right, or set `strict` to false: then they are left out and counted.")
    return ValueError("\n".join(lines))


def _check_splits(rows: Mapping[str, int], source: Source, by_reason: dict[str, Any]) -> None:
    empty = [split for split in SPLITS if not rows.get(split)]
    if empty:
        raise RuntimeError(
            f"The source {source.name!r} has no rows in {empty}: {dict(rows)}, left out: {_numbers(by_reason)}. Each "
            f"of {SPLITS} is needed. Name the splits in the data, add rows or change the shares."
        )


def _numbers(by_reason: dict[str, Any]) -> dict[str, int]:
    return {reason: entry["count"] for reason, entry in sorted(by_reason.items())}


def _report(
    source: Source,
    listing: Listing,
    counts: dict[str, Any],
    coverage: dict[str, Any],
    inconsistency: dict[str, Any] | None,
) -> dict[str, Any]:
    by_class = {
        split: {name: counts["rows_by_class"].get(split, {}).get(name, 0) for name in listing.classes}
        for split in SPLITS
    }
    warnings = []
    for split in SPLITS:
        lacking = [name for name in listing.classes if not by_class[split][name]]
        if lacking:
            warnings.append(f"{split} has no row of the classes {in_short(lacking)}")
    warnings += listing.warnings
    wordless = counts["words"].get("0", 0)
    if wordless:
        warnings.append(f"{wordless} texts have no word: no letter and no digit, as of emoji alone")
    if coverage:
        known = coverage["covered"]["1"]
        if min(known["dev"], known["test"]) < _LEAST_COVERED:
            warnings.append(
                f"train has {known['dev']:.0%} of the words of dev and {known['test']:.0%} of those of test: others "
                "say nothing to a text backbone that is trained on these data"
            )
        shares = ", ".join(
            f"{least} times {of_split['dev']:.0%} and {of_split['test']:.0%}"
            for least, of_split in coverage["covered"].items()
        )
        logging.info("Words of dev and of test that train has at least: %s.", shares)
    if listing.ignored_columns:
        warnings.append(f"columns without meaning here: {listing.ignored_columns}")
    rows = {split: counts["rows"].get(split, 0) for split in SPLITS}
    if source.published_rows and rows != dict(source.published_rows):
        published = dict(source.published_rows)
        note = f". {source.published_note}" if source.published_note else ""
        warnings.append(f"rows {rows} differ from the paper's {published} (Table I){note}")
    foreign = dict(sorted(counts["foreign"].items()))
    if foreign:
        warnings.append(
            f"{sum(foreign.values())} pictures have an encoding that requests cannot have, and were converted: "
            f"{foreign}. Whoever asks the served model must send such pictures as PNG or JPEG"
        )
    if inconsistency:
        changed = {split: of_split["changed"] for split, of_split in inconsistency["splits"].items()}
        warnings.append(f"the texts of {changed} rows were replaced by others' on purpose")
    logging.info("Source %r: rows %s, left out %s.", source.name, rows, _numbers(counts["skipped"]))
    for warning in warnings:
        logging.warning("Source %r: %s.", source.name, warning)
    return {
        "version": 1,
        "source": source.name,
        "multi_label": source.multi_label,
        "classes": list(listing.classes),
        "rows": rows,
        "published_rows": dict(source.published_rows),
        "rows_by_class": by_class,
        "skipped": {
            reason: {"count": entry["count"], "ids": entry["ids"], "messages": entry["messages"]}
            for reason, entry in sorted(counts["skipped"].items())
        },
        "foreign_encodings": foreign,
        "ignored_columns": listing.ignored_columns,
        "observed": dict(sorted(listing.observed.items())),
        "texts": {**words_by_text({int(words): number for words, number in counts["words"].items()}), **coverage},
        "inconsistency": inconsistency,
        "warnings": warnings,
        "attribution": source.attribution,
    }
