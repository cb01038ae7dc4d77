"""The two components in one graph, compiled for Kubeflow."""

import json

import pytest
from tfx import v1 as tfx
from tfx.types.channel import Channel

from components.pusher.component import Pusher
from components.serving_check.component import ServingCheck


def _channel(artifact_class):
    return Channel(type=artifact_class)


def _import(name, artifact_class):
    return tfx.dsl.Importer(source_uri=f"/data/{name}", artifact_type=artifact_class).with_id(name)


def test_compiles_for_kubeflow_and_feeds_the_pusher(tmp_path):
    model = _import("model", tfx.types.standard_artifacts.Model)
    examples = _import("examples", tfx.types.standard_artifacts.Examples)
    check = ServingCheck(model.outputs["result"], examples.outputs["result"], ["größe", "b"], multi_label=True)
    pusher = Pusher(
        model=model.outputs["result"],
        infra_blessing=check.outputs["blessing"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(base_directory="/serving")
        ),
    )
    pipeline = tfx.dsl.Pipeline("gate", str(tmp_path / "root"), components=[model, examples, check, pusher])
    runner = tfx.orchestration.experimental.KubeflowV2DagRunner(
        config=tfx.orchestration.experimental.KubeflowV2DagRunnerConfig(default_image="image"),
        output_dir=str(tmp_path),
        output_filename="gate.json",
    )
    runner.run(pipeline, write_out=True)
    spec = json.loads((tmp_path / "gate.json").read_text(encoding="utf-8"))["pipelineSpec"]
    tasks = spec["root"]["dag"]["tasks"]
    assert tasks["Pusher"]["inputs"]["artifacts"]["infra_blessing"]["taskOutputArtifact"]["producerTask"] == (
        "ServingCheck"
    )
    parameters = tasks["ServingCheck"]["inputs"]["parameters"]
    assert json.loads(parameters["class_names"]["runtimeValue"]["constantValue"]["stringValue"]) == ["größe", "b"]
    commands = json.dumps(spec["deploymentSpec"])
    assert "components.serving_check.executor.Executor" in commands
    assert "components.pusher.executor.Executor" in commands


def test_needs_an_example():
    with pytest.raises(ValueError, match="`num_examples` must be at least 1. Received: 0"):
        ServingCheck(
            _channel(tfx.types.standard_artifacts.Model),
            _channel(tfx.types.standard_artifacts.Examples),
            ["a", "b"],
            multi_label=False,
            num_examples=0,
        )
