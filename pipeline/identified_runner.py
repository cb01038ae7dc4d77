"""TFX's local runner, which tells which run it was."""

from __future__ import annotations

from typing import Any

from tfx import v1 as tfx


class IdentifiedRunner(tfx.orchestration.LocalDagRunner):
    """Runs a pipeline in this process; afterwards `run_id` is the name of the run in ML Metadata.

    `None` before it, and where `run` has not run: the TFX command replaces it to see a pipeline.
    """

    def __init__(self) -> None:
        super().__init__()
        self.run_id: str | None = None

    def run_with_ir(self, pipeline: Any, *args: Any, **kwargs: Any) -> None:
        """Runs the compiled pipeline. TFX writes the name of the run into it."""
        try:
            super().run_with_ir(pipeline, *args, **kwargs)
        finally:
            self.run_id = pipeline.runtime_spec.pipeline_run_id.field_value.string_value or None
