"""The compiled pipeline of Kubeflow and Vertex AI: parameters, resources, names, what is refused, what clients take."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
import yaml
from click.testing import CliRunner
from coloured_shapes import write_shapes
from conftest import write_config

from pipeline.config_file import PRESETS_FOLDER, load_config
from pipeline.kubeflow_runner import compile_pipeline, main

TRAINING_STAGES = ("BackboneTrainer", "FeatureExtractor", "ArchitectureSearch", "Trainer")
PRESETS = sorted(preset.stem for preset in PRESETS_FOLDER.glob("*.yaml"))
# What both platforms allow.
LEGAL_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,126}[a-z0-9])?")


def read(path):
    """The PipelineSpec of a compiled file, and the whole file."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content.get("pipelineSpec", content), content


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kubeflow")
    resources = {"cpu": 4, "memory_gb": 20, "gpu_count": 2, "vertex_gpu": "NVIDIA_L4"}
    kubeflow = {"image": "registry.example/hfmnas:1", "pipeline_root": "gs://bucket/x", "resources": resources}
    path = write_config(folder, write_shapes(folder / "data", rows=9), name="two_shapes", kubeflow=kubeflow)
    return load_config(path)


@pytest.fixture(scope="module", params=["kubeflow", "vertex"])
def compiled(config, request, tmp_path_factory):
    """Platform and PipelineSpec of either."""
    ending = {"kubeflow": ".yaml", "vertex": ".json"}[request.param]
    path = tmp_path_factory.mktemp("compiled") / f"compiled{ending}"
    return request.param, *read(compile_pipeline(config, path, request.param))


def containers(spec):
    return {
        stage: spec["deploymentSpec"]["executors"][spec["components"][stage]["executorLabel"]]["container"]
        for stage in spec["root"]["dag"]["tasks"]
    }


def test_every_stage_is_a_container_of_the_given_image(compiled):
    _, spec, _ = compiled
    for stage in (*TRAINING_STAGES, "MultimodalExampleGen", "ServedModel", "Evaluator", "ServingCheck", "Pusher"):
        assert stage in spec["root"]["dag"]["tasks"]
    # Kubeflow's backend has no resolver, and Vertex AI's takes any pipeline's blessed model.
    assert {container["image"] for container in containers(spec).values()} == {"registry.example/hfmnas:1"}


def test_the_baseline_is_what_serves_and_is_looked_up_anew_each_time(compiled):
    _, spec, _ = compiled
    tasks = spec["root"]["dag"]["tasks"]
    assert tasks["Evaluator"]["inputs"]["artifacts"]["baseline_model"]["taskOutputArtifact"] == {
        "producerTask": "ServedModel",
        "outputArtifactKey": "model",
    }
    assert tasks["ServedModel"]["inputs"]["parameters"]["push_destination"] == {
        "componentInputParameter": "push-destination"
    }
    cached = {stage for stage, task in tasks.items() if task.get("cachingOptions", {}).get("enableCache")}
    assert set(tasks) - cached == {"ServedModel"}


def test_files_are_of_the_form_that_the_client_takes(compiled):
    platform, spec, content = compiled
    assert spec["pipelineInfo"]["name"] == "two-shapes"
    assert ("pipelineSpec" in content) == (platform == "vertex")
    if platform == "vertex":
        assert content["runtimeConfig"]["gcsOutputDirectory"] == "gs://bucket/x"
    else:
        assert content["defaultPipelineRoot"] == "gs://bucket/x"


def test_stages_ask_for_resources_in_the_words_of_the_platform(compiled):
    platform, spec, _ = compiled
    for stage, container in containers(spec).items():
        resources = container["resources"]
        trains = stage in TRAINING_STAGES
        assert (resources["cpuLimit"], resources["memoryLimit"]) == ((4.0, 20.0) if trains else (4.0, 16.0))
        accelerator = resources.get("accelerator")
        if not trains:
            assert accelerator is None
        elif platform == "vertex":
            assert accelerator == {"type": "NVIDIA_L4", "count": "2"}
        else:
            assert (resources["resourceCpuLimit"], resources["resourceMemoryLimit"]) == ("4", "20G")
            assert (accelerator["resourceType"], accelerator["resourceCount"]) == ("nvidia.com/gpu", "2")


def test_failed_stages_are_tried_again_and_continue_from_the_bucket(compiled):
    _, spec, _ = compiled
    tasks = spec["root"]["dag"]["tasks"]
    assert {task["retryPolicy"]["maxRetryCount"] for task in tasks.values()} == {2}
    root = tasks["BackboneTrainer"]["inputs"]["parameters"]["checkpoint_root"]["runtimeValue"]["constant"]
    assert root == "gs://bucket/x/checkpoints/two-shapes"


def test_how_to_compute_is_said_beside_what_a_cache_looks_at(compiled):
    _, spec, _ = compiled
    said = {"checkpoint_seconds": 30.0, "device_bytes": 4 << 30, "devices": "all"}
    for stage, container in containers(spec).items():
        (variable,) = container["env"]
        assert variable["name"] == "HFMNAS_EXECUTION"
        assert json.loads(variable["value"])["search"] == said, stage
    job = json.dumps({**spec, "deploymentSpec": None})
    assert "device_bytes" not in job and "checkpoint_seconds" not in job


def test_a_folder_of_this_machine_has_to_be_given_by_each_run(compiled, config):
    platform, spec, content = compiled
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    required = {name for name, parameter in parameters.items() if not parameter.get("isOptional")}
    assert required == {"manifest", "source-fingerprint"}
    defaults = {name: parameter["defaultValue"] for name, parameter in parameters.items() if name not in required}
    assert defaults == {
        "schema-file": "/app/schemas/manifest.pbtxt",
        "push-destination": "gs://bucket/x/serving/two-shapes",
    }
    if platform == "vertex":
        assert content["runtimeConfig"]["parameterValues"] == defaults
    inputs = spec["root"]["dag"]["tasks"]["MultimodalExampleGen"]["inputs"]["parameters"]
    assert inputs["path_manifest"] == {"componentInputParameter": "manifest"}
    assert json.loads(inputs["source_config"]["runtimeValue"]["constant"]) == {
        key: value for key, value in config.source_settings().items() if key != "manifest"
    }


def test_what_is_said_of_the_data_is_a_default_and_their_listing_the_fingerprint(config, tmp_path):
    manifest = config.data.manifest
    spec, _ = read(compile_pipeline(config, tmp_path / "a.yaml", parameters={"manifest": manifest}))
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert parameters["manifest"]["defaultValue"] == manifest
    fingerprint = parameters["source-fingerprint"]["defaultValue"]
    assert fingerprint.startswith("metadata:")
    picture = next(pathlib.Path(manifest).parent.rglob("*.png"))
    os.utime(picture, ns=(1, 1))
    spec, _ = read(compile_pipeline(config, tmp_path / "b.yaml", parameters={"manifest": manifest}))
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert parameters["source-fingerprint"]["defaultValue"].startswith("metadata:")
    assert parameters["source-fingerprint"]["defaultValue"] != fingerprint


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_compiles_under_a_legal_name_and_holds_no_folder_of_this_machine(preset, tmp_path):
    path = compile_pipeline(load_config(preset), tmp_path / "compiled.yaml")
    spec, _ = read(path)
    assert LEGAL_NAME.fullmatch(spec["pipelineInfo"]["name"])
    text = path.read_text(encoding="utf-8")
    for folder in {os.getcwd(), sys.prefix, str(tmp_path)}:
        assert folder not in text


def test_a_tuned_plain_model_compiles_with_a_tuner_and_without_a_search(tmp_path):
    path = write_config(
        tmp_path,
        write_shapes(tmp_path / "data", rows=9),
        model="gmu",
        tuning={"choices": {"training.learning_rate": [0.01]}},
    )
    spec, _ = read(compile_pipeline(load_config(path), tmp_path / "compiled.yaml"))
    tasks = spec["root"]["dag"]["tasks"]
    assert "ArchitectureSearch" not in tasks
    assert "Tuner" in tasks["Trainer"]["dependentTasks"]
    assert "accelerator" in containers(spec)["Tuner"]["resources"]


@pytest.mark.parametrize("preset", ["ntu", "egogesture"])
def test_the_presets_of_clips_say_what_their_clips_need(tmp_path, preset):
    config = load_config(preset)
    spec, _ = read(compile_pipeline(config, tmp_path / "compiled.yaml"))
    tasks = spec["root"]["dag"]["tasks"]

    def given(stage, name):
        value = tasks[stage]["inputs"]["parameters"][name]["runtimeValue"]["constant"]
        return json.loads(value) if isinstance(value, str) else value

    assert given("MultimodalExampleGen", "source_config")["classes"] == list(config.preparation.classes)
    settings = given("Transform", "custom_config")
    assert settings["modalities"] == list(config.data.modalities)
    assert settings["clip_frames"] == config.preparation.clip_frames
    assert set(given("BackboneTrainer", "backbones_settings")) == set(config.data.modalities)
    assert given("ServingCheck", "modalities") == list(config.data.modalities)


def test_the_command_compiles_and_says_how_to_submit(tmp_path):
    runner = CliRunner()
    arguments = ["--config", "harm_p_2", "--platform", "vertex", "--output", str(tmp_path / "job.json")]
    result = runner.invoke(main, [*arguments, "--parameter", "data-root=gs://b/harm"])
    assert result.exit_code == 0, result.output
    _, content = read(tmp_path / "job.json")
    assert content["runtimeConfig"]["parameterValues"]["data-root"] == "gs://b/harm"
    shown = runner.invoke(main, ["--help"]).output
    for word in ("kfp.Client", "aiplatform.PipelineJob", "data-root", "source-fingerprint", "push-destination"):
        assert word in shown


@pytest.mark.parametrize(
    ("changes", "arguments", "said"),
    [
        ({"serving": {"infra_validation": True}}, [], "InfraValidator"),
        ({}, ["--output", "job.json"], "must end in .yaml"),
        ({}, ["--parameter", "speed=1"], "no parameters ['speed']"),
        ({}, ["--parameter", "speed"], "NAME=VALUE"),
    ],
)
def test_what_cannot_be_compiled_is_refused(tmp_path, changes, arguments, said):
    path = write_config(tmp_path, str(tmp_path / "rows.jsonl"), **changes)
    result = CliRunner().invoke(main, ["--config", str(path), *arguments])
    assert result.exit_code == 2
    assert said in result.output


def test_a_person_sees_one_line(tmp_path):
    command = [sys.executable, "-m", "pipeline.kubeflow_runner", "--config", "demo", "--output", tmp_path / "demo.yaml"]
    # As in a shell of somebody who has set nothing.
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    root = pathlib.Path(__file__).parents[2]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, cwd=root, env=environment)
    assert shown.stderr == ""
    assert shown.stdout == f"Compiled 'demo' for kubeflow to {tmp_path / 'demo.yaml'}\n"


@pytest.mark.long
def test_the_clients_take_every_preset(tmp_path):
    """kfp's own loader, in an environment of its own: its dependencies do not go with those of TFX."""
    for preset in PRESETS:
        compile_pipeline(load_config(preset), tmp_path / f"{preset}.yaml")
        compile_pipeline(load_config(preset), tmp_path / f"{preset}.json", "vertex")
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "kfp>=2.16,<3", "google-cloud-aiplatform"], check=True)
    script = pathlib.Path(__file__).parent / "kubeflow_clients.py"
    shown = subprocess.run([python, script, tmp_path], check=True, capture_output=True, text=True).stdout
    loaded = json.loads(shown.splitlines()[-1])
    assert set(loaded["kubeflow"]) == set(loaded["vertex"]) == set(PRESETS)
    assert loaded["kubeflow"]["ntu"]["required"] == ["data-root", "source-fingerprint"]
    assert loaded["vertex"]["ntu"]["push-destination"] == "gs://your-bucket/hfmnas/serving/ntu"
