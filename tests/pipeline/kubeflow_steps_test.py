"""The compiled pipeline, executed step by step by its own command lines, as Kubeflow's backend does it."""

from __future__ import annotations

import json
import os
import pathlib

import pytest
import yaml
from coloured_shapes import write_shapes
from conftest import write_config
from kubeflow_steps import Backend

from pipeline.config_file import load_config
from pipeline.kubeflow_runner import compile_pipeline
from pipeline.served_versions import served_versions

TRAINING_STAGES = {"BackboneTrainer", "FeatureExtractor", "ArchitectureSearch", "Trainer"}


@pytest.fixture
def environment():
    """Steps get variables of their own, which must not stay."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.long
def test_steps_run_from_data_to_a_pushed_model(tmp_path, environment):
    manifest = write_shapes(tmp_path / "data")
    kubeflow = {"image": "registry.example/hfmnas:1", "pipeline_root": "gs://bucket/x"}
    kubeflow["checkpoint_root"] = str(tmp_path / "checkpoints")
    config = load_config(write_config(tmp_path, manifest, kubeflow=kubeflow))
    spec = yaml.safe_load(compile_pipeline(config, tmp_path / "compiled.yaml", "kubeflow").read_text(encoding="utf-8"))
    backend = Backend(spec, str(tmp_path / "artifacts"))
    models = str(tmp_path / "models")
    arguments = {"manifest": manifest, "source-fingerprint": "first", "push-destination": models}
    # In the image it lies elsewhere.
    arguments["schema-file"] = str(config.schema_file)

    executed, outputs = backend.run(arguments)
    assert set(executed) == set(spec["root"]["dag"]["tasks"])
    assert outputs["Evaluator"]["blessing"]["metadata"]["blessed"] == 1
    assert outputs["Pusher"]["pushed_model"]["metadata"]["pushed"] == 1
    (version,) = served_versions(models)
    assert os.path.isfile(os.path.join(models, str(version), "saved_model.pb"))

    # The same again: nothing is trained, and the model is pushed once.
    executed, _ = backend.run(arguments)
    assert "ServedModel" in executed and not TRAINING_STAGES & set(executed), executed
    assert served_versions(models) == [version]

    # Other data: the ingest reads them.
    file = pathlib.Path(manifest)
    lines = file.read_text(encoding="utf-8").splitlines()
    corrected = {**json.loads(lines[0]), "label": json.loads(lines[1])["label"]}
    file.write_text("\n".join([json.dumps(corrected), *lines[1:]]) + "\n", encoding="utf-8")
    executed, _ = backend.run({**arguments, "source-fingerprint": "second"}, stop_before="StatisticsGen")
    assert "MultimodalExampleGen" in executed
