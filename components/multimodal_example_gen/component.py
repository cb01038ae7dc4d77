"""Interface of the ingest."""

from __future__ import annotations

import json
import uuid
from typing import Any

from absl import logging
from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.orchestration import data_types
from tfx.types import component_spec, standard_artifacts

from components.code_fingerprint import code_fingerprint
from components.multimodal_example_gen import executor
from components.multimodal_example_gen.inconsistency import Inconsistency
from components.multimodal_example_gen.sources.registry import make_source, source_fingerprint


class MultimodalExampleGenSpec(component_spec.ComponentSpec):
    """What goes in and out of `MultimodalExampleGen`."""

    PARAMETERS = {
        "source": component_spec.ExecutionParameter(type=str),
        "source_config": component_spec.ExecutionParameter(type=str),
        "source_fingerprint": component_spec.ExecutionParameter(type=str),
        "inconsistency": component_spec.ExecutionParameter(type=str, optional=True),
        "code_fingerprint": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: dict[str, Any] = {}
    OUTPUTS = {"examples": component_spec.ChannelParameter(type=standard_artifacts.Examples)}


class MultimodalExampleGen(base_beam_component.BaseBeamComponent):
    """Turns data of two modalities in a known layout into examples of the splits train, dev and test.

    Example:
    >>> example_gen = MultimodalExampleGen(source="manifest", source_config={"manifest": "/data/posters.jsonl"})
    >>> demo = MultimodalExampleGen(source="demo")

    Why not `FileBasedExampleGen`: its cache key is size and time of the files that one glob pattern matches, so that a
    changed picture behind an unchanged manifest goes unnoticed; on Kubeflow its driver is fixed to that; and a source
    found inside pip packages has no input folder.

    The cache key is a digest of the data instead, an execution property. Whoever makes the pipeline where the data are
    (LocalDagRunner) need not care: it is computed here. The executor computes it again and stops when the data changed
    in between. Where the data cannot be seen (a Kubeflow pipeline compiled elsewhere) there are two ways:

    * pass `source_fingerprint=data_types.RuntimeParameter(name="source-fingerprint", ptype=str)` and give each run the
      output of `source_fingerprint(...)`, or any word that changes when the data do: `"2024-06-release"`. A value
      that starts with `content:` or `metadata:` is checked by the executor, others are taken on trust;
    * leave it out: each compiled file gets a value of its own, so a new compilation reads the data anew, and runs of
      one compiled file share what the first of them read.

    Args:
        source: str. One of `components.multimodal_example_gen.sources.registry.SOURCES`: `"demo"`, `"ntu"`, ...
        source_config: dict or None. Settings of the source, see its class.
        source_fingerprint: str, RuntimeParameter or None. Stands for the data in the cache key. Defaults to None: it is
            computed from the data.
        fingerprint_by: str or None. `"content"` or `"metadata"` (size and time: for many gigabytes), where it is
            computed here. Defaults to None: as the source's class says.
        inconsistency: dict or None. Arguments of `components.multimodal_example_gen.inconsistency.Inconsistency`: a
            share of the texts is replaced by other rows', for experiments. Defaults to None: texts are left alone.

    Outputs:
        examples: `standard_artifacts.Examples`. Splits `train`, `dev`, `test`: gzipped TFRecords of tf.train.Example
            with bytes features `id` (1), `labels` (1 or more class names) and, where the text is another row's,
            `text_donor` (1; that row's id), and one feature for each of the source's two modalities: of `text`,
            `image`, `video`, `depth`, `skeleton`, see `Source.features`. The order of the rows is not fixed. Beside
            them `shards`, by which later executions take files of unchanged rows from here, and `ingest.json`:
            `source`, `fingerprint`, `multi_label`, `classes`, `rows` by split, `published_rows` (Table I of the paper,
            where the data are one of its sets), `rows_by_class` by split and class, `skipped` by reason (`count`, up to
            20 `ids` and their `messages`), `foreign_encodings` (pictures by encoding, which were converted, but which
            requests cannot have), `ignored_columns`, `observed` (what is odd in rows that are kept, and in how many),
            `texts` (`count`; `words` all together, `median`, `95th`, `max`; where there are any, `covered` and
            `wordless`, see `word_coverage`), `inconsistency` (null, or counts of the replaced texts, see
            `Replacement.report`), `warnings`, `attribution`. Where texts were replaced, `inconsistent_pairs.json` has
            under `changed`, by split, the ids of the changed rows, each with its donor's.

    Raises:
        ValueError: for an unknown source, unknown settings or wrong values.
    """

    SPEC_CLASS = MultimodalExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        source: str,
        source_config: dict[str, Any] | None = None,
        source_fingerprint: str | data_types.RuntimeParameter | None = None,
        fingerprint_by: str | None = None,
        inconsistency: dict[str, Any] | None = None,
    ):
        # Wrong settings show when the pipeline is made, not on a worker.
        made = make_source(source, source_config)
        if inconsistency is not None:
            Inconsistency(**inconsistency).policy_for(made)
        if source_fingerprint is None:
            source_fingerprint = _fingerprint_if_visible(source, source_config, fingerprint_by)
        spec = MultimodalExampleGenSpec(
            source=source,
            source_config=json.dumps(source_config or {}, sort_keys=True),
            source_fingerprint=source_fingerprint,
            code_fingerprint=code_fingerprint(*executor.CODE),
            **({} if inconsistency is None else {"inconsistency": json.dumps(inconsistency, sort_keys=True)}),
            examples=types.Channel(type=standard_artifacts.Examples),
        )
        super().__init__(spec=spec)


def _fingerprint_if_visible(source: str, source_config: dict[str, Any] | None, by: str | None) -> str:
    try:
        return source_fingerprint(source, source_config, by)
    except FileNotFoundError as error:
        logging.warning(
            "The data of the source %r are not on this machine (%s): the ingest of this pipeline will not be served "
            "from an earlier one's cache. Pass `source_fingerprint` to change that.",
            source,
            error,
        )
        return f"unseen-{uuid.uuid4().hex}"
