"""The work of `ExampleValidator`."""

from __future__ import annotations

import os
from typing import Any

from absl import logging
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.components.example_validator import executor as tfx_executor
from tfx.dsl.io import fileio
from tfx.proto.orchestration import execution_result_pb2
from tfx.types import artifact_utils

from components.code_fingerprint import check_code

#: What this stage runs.
CODE = (__name__,)


class Executor(tfx_executor.Executor):
    """TFX's validation; any anomaly ends the run."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> execution_result_pb2.ExecutorOutput:
        """Validates statistics against a schema.

        Args:
            input_dict: `statistics`: one ExampleStatistics artifact; `schema`: one Schema artifact.
            output_dict: `anomalies`: one ExampleAnomalies artifact; gets `Split-<name>/SchemaDiff.pb`.
            exec_properties: `exclude_splits` (JSON list), `custom_validation_config`; see TFX.

        Returns:
            execution_result_pb2.ExecutorOutput. What TFX's executor returns.

        Raises:
            RuntimeError: when there is an anomaly; names split, feature and what is wrong with it.
        """
        check_code(exec_properties, CODE)
        artifact = artifact_utils.get_single_instance(output_dict["anomalies"])
        # Kubeflow does not make the folders of outputs.
        fileio.makedirs(artifact.uri)
        output = super().Do(input_dict, output_dict, exec_properties)
        found = []
        for split in artifact_utils.decode_split_names(artifact.split_names):
            path = os.path.join(artifact_utils.get_split_uri([artifact], split), tfx_executor.DEFAULT_FILE_NAME)
            with fileio.open(path, "rb") as file:
                anomalies = anomalies_pb2.Anomalies.FromString(file.read())
            lines = describe_anomalies(anomalies)
            found += [f"  split {split!r}, {line}" for line in lines]
            if lines:
                # A local run removes the outputs of a failed stage; the log keeps them.
                logging.error("Anomalies of the split %r:\n%s", split, text_format.MessageToString(anomalies))
        if found:
            raise RuntimeError(
                "The data do not fit their schema:\n"
                + "\n".join(found)
                + "\nPut the data right, or change the schema in `schemas/` if it is the schema that is wrong."
            )
        return output


def describe_anomalies(anomalies: anomalies_pb2.Anomalies) -> list[str]:
    """Returns one line for each anomaly: feature, short description, description.

    Args:
        anomalies: Anomalies proto of one split.

    Returns:
        list of str, sorted by feature. Empty where all is well.
    """
    lines = []
    for name, info in sorted(anomalies.anomaly_info.items()):
        feature = ".".join(info.path.step) or name
        lines.append(f"feature {feature!r}: {info.short_description}: {info.description}")
    if anomalies.HasField("dataset_anomaly_info"):
        info = anomalies.dataset_anomaly_info
        lines.append(f"data set: {info.short_description}: {info.description}")
    if anomalies.data_missing:
        lines.append("data set: there is no example")
    return lines
