"""The compiled pipeline of Kubeflow: parameters, resources, what is refused."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from coloured_shapes import write_shapes
from conftest import write_config

from pipeline.config_file import load_config
from pipeline.kubeflow_runner import compile_pipeline, main

TRAINING_STAGES = ("BackboneTrainer", "FeatureExtractor", "ArchitectureSearch", "Trainer")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kubeflow")
    resources = {"cpu": 4, "memory_gb": 20, "gpu_type": "NVIDIA_TESLA_T4", "gpu_count": 2}
    path = write_config(
        folder,
        write_shapes(folder / "data", rows=9),
        kubeflow={"image": "registry.example/hfmnas:1", "pipeline_root": "gs://bucket/x", "resources": resources},
    )
    return json.loads(compile_pipeline(load_config(path), folder / "compiled.json").read_text(encoding="utf-8"))


def test_every_stage_is_there(compiled):
    tasks = compiled["pipelineSpec"]["root"]["dag"]["tasks"]
    for stage in (*TRAINING_STAGES, "MultimodalExampleGen", "Evaluator", "ServingCheck", "Pusher", "RunReport"):
        assert stage in tasks
    # Kubeflow finds the last blessed model in two steps.
    assert {"LatestBlessedModel-model-resolver", "LatestBlessedModel-model-blessing-resolver"} <= set(tasks)


def test_training_stages_ask_for_gpu_and_memory_and_others_do_not(compiled):
    executors = compiled["pipelineSpec"]["deploymentSpec"]["executors"]
    for stage in TRAINING_STAGES:
        resources = executors[f"{stage}_executor"]["container"]["resources"]
        assert resources["memoryLimit"] == 20 and resources["cpuLimit"] == 4
        assert resources["accelerator"] == {"type": "NVIDIA_TESLA_T4", "count": "2"}
    assert "resources" not in executors["Pusher_executor"]["container"]


def test_how_to_compute_is_said_beside_what_a_cache_looks_at(compiled):
    said = {"checkpoint_seconds": 30.0, "device_bytes": 4 << 30, "devices": "all"}
    for name, executor in compiled["pipelineSpec"]["deploymentSpec"]["executors"].items():
        if "container" in executor:
            (variable,) = executor["container"]["env"]
            assert variable["name"] == "HFMNAS_EXECUTION"
            assert json.loads(variable["value"])["search"] == said, name
    job = json.dumps({**compiled["pipelineSpec"], "deploymentSpec": None})
    assert "device_bytes" not in job and "checkpoint_seconds" not in job


def test_a_tuned_plain_model_compiles_with_a_tuner_and_without_a_search(tmp_path):
    path = write_config(
        tmp_path,
        write_shapes(tmp_path / "data", rows=9),
        model="gmu",
        tuning={"choices": {"training.learning_rate": [0.01]}},
    )
    compiled = json.loads(compile_pipeline(load_config(path), tmp_path / "compiled.json").read_text(encoding="utf-8"))
    tasks = compiled["pipelineSpec"]["root"]["dag"]["tasks"]
    assert "ArchitectureSearch" not in tasks
    assert "Tuner" in tasks["Trainer"]["dependentTasks"]
    assert (
        "accelerator"
        in compiled["pipelineSpec"]["deploymentSpec"]["executors"]["Tuner_executor"]["container"]["resources"]
    )


def test_containers_are_of_the_given_image(compiled):
    executors = compiled["pipelineSpec"]["deploymentSpec"]["executors"].values()
    images = {executor["container"]["image"] for executor in executors if "container" in executor}
    assert images == {"registry.example/hfmnas:1"}


def test_what_changes_from_run_to_run_is_a_parameter(compiled):
    parameters = compiled["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]
    assert {"source-config", "source-fingerprint", "schema-file", "push-destination"} <= set(parameters)
    values = compiled["runtimeConfig"]["parameterValues"]
    assert json.loads(values["push-destination"]) == {"filesystem": {"baseDirectory": "gs://bucket/x/serving"}}
    assert json.loads(values["source-config"])["classes"] == ["blue_square", "green_stripes", "red_disc"]
    assert values["schema-file"] == "/app/schemas/manifest.pbtxt"
    inputs = compiled["pipelineSpec"]["root"]["dag"]["tasks"]["MultimodalExampleGen"]["inputs"]["parameters"]
    assert inputs["source_config"] == {"componentInputParameter": "source-config"}


@pytest.mark.parametrize("preset", ["ntu", "egogesture"])
def test_the_presets_of_clips_compile(tmp_path, preset):
    config = load_config(preset)
    compiled = json.loads(compile_pipeline(config, tmp_path / "compiled.json").read_text(encoding="utf-8"))
    values = compiled["runtimeConfig"]["parameterValues"]
    assert values["schema-file"] == f"/app/schemas/{preset}.pbtxt"
    assert json.loads(values["source-config"])["classes"] == list(config.preparation.classes)
    tasks = compiled["pipelineSpec"]["root"]["dag"]["tasks"]

    def given(stage, name):
        value = tasks[stage]["inputs"]["parameters"][name]["runtimeValue"]["constant"]
        return json.loads(value) if isinstance(value, str) else value

    settings = given("Transform", "custom_config")
    assert settings["modalities"] == list(config.data.modalities)
    assert settings["clip_frames"] == config.preparation.clip_frames
    assert set(given("BackboneTrainer", "backbones_settings")) == set(config.data.modalities)
    assert given("ServingCheck", "modalities") == list(config.data.modalities)
    assert (
        "accelerator"
        in compiled["pipelineSpec"]["deploymentSpec"]["executors"]["BackboneTrainer_executor"]["container"]["resources"]
    )


def test_a_validator_that_needs_docker_is_refused(tmp_path):
    path = write_config(tmp_path, str(tmp_path / "rows.jsonl"), serving={"infra_validation": True})
    result = CliRunner().invoke(main, ["--config", str(path)])
    assert result.exit_code == 2
    assert "InfraValidator" in result.output
