"""TFX's local runner, which tells which run it was and goes on from the cache of a run that was moved."""

from __future__ import annotations

from typing import Any

from tfx.orchestration.local.local_dag_runner import LocalDagRunner

from pipeline.cache_keys import keys_without_places


class IdentifiedRunner(LocalDagRunner):
    """Runs a pipeline in this process; afterwards `run_id` is the name of the run in ML Metadata.

    `None` before it, and where `run` has not run: the TFX command replaces it to see a pipeline.

    Args:
        root: str. Folder of the run, which its cache does not go by.
    """

    def __init__(self, root: str) -> None:
        super().__init__()
        self._root = root
        self.run_id: str | None = None

    def run_with_ir(self, pipeline: Any, *args: Any, **kwargs: Any) -> None:
        """Runs the compiled pipeline. TFX writes the name of the run into it."""
        try:
            with keys_without_places(self._root):
                super().run_with_ir(pipeline, *args, **kwargs)
        finally:
            self.run_id = pipeline.runtime_spec.pipeline_run_id.field_value.string_value or None
