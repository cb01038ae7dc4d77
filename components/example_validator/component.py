"""Interface of the validation."""

from __future__ import annotations

from typing import Any

from tfx.components.example_validator import component as tfx_component
from tfx.dsl.components.base import executor_spec

from components.code_fingerprint import CODE_FINGERPRINT, code_fingerprint
from components.example_validator import executor


class ExampleValidator(tfx_component.ExampleValidator):
    """Validates statistics against a schema and stops the run at any anomaly.

    TFX's own component writes anomalies and ends well; whatever comes after it trains on data that do not fit.

    Example:
    >>> validator = ExampleValidator(
    ...     statistics=statistics_gen.outputs["statistics"], schema=schema_importer.outputs["schema"]
    ... )

    Arguments are those of `tfx.v1.components.ExampleValidator`. To make later stages wait for it, add
    `transform.add_upstream_node(validator)`: nothing else reads its output.

    Outputs:
        anomalies: `standard_artifacts.ExampleAnomalies`. `Split-<name>/SchemaDiff.pb`.
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        # TFX writes the specification itself.
        self.exec_properties[CODE_FINGERPRINT] = code_fingerprint(*executor.CODE)
