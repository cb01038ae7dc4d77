"""What a clean removes and what it keeps, on metadata as TFX writes them."""

import pathlib

import pytest
from click.testing import CliRunner
from conftest import write_config
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as pb2
from tfx.orchestration import metadata

from pipeline.clean import clean_run
from pipeline.clean_command import clean
from pipeline.config_file import load_config


class Runs:
    """Metadata of runs of a pipeline of two stages, Trainer and Evaluator, and the folders that they made."""

    def __init__(self, config):
        self.root = pathlib.Path(config.pipeline_root)
        config.root.mkdir(parents=True, exist_ok=True)
        self.store = MetadataStore(metadata.sqlite_metadata_connection_config(str(config.metadata_path)))
        self.artifact_types = {
            name: self.store.put_artifact_type(pb2.ArtifactType(name=name))
            for name in ("Features", "Model", "Blessing")
        }
        self.stages = {
            name: self.store.put_execution_type(pb2.ExecutionType(name=name))
            for name in ("Extractor", "Trainer", "Evaluator")
        }

    def make(self, stage, kind, made_of=(), **properties):
        execution = self.store.put_executions([pb2.Execution(type_id=self.stages[stage])])[0]
        folder = self.root / stage / kind / str(execution)
        folder.mkdir(parents=True)
        (folder / "data").write_text("1234567890")
        artifact = pb2.Artifact(type_id=self.artifact_types[kind], uri=str(folder), state=pb2.Artifact.LIVE)
        for name, value in properties.items():
            artifact.custom_properties[name].int_value = value
        (made,) = self.store.put_artifacts([artifact])
        events = [(each, pb2.Event.INPUT, "in") for each in made_of] + [(made, pb2.Event.OUTPUT, "out")]
        for artifact_id, kind_of_event, key in events:
            event = pb2.Event(artifact_id=artifact_id, execution_id=execution, type=kind_of_event)
            event.path.steps.add().key = key
            event.path.steps.add().index = 0
            self.store.put_events([event])
        return made, folder

    def state(self, artifact):
        return self.store.get_artifacts_by_id([artifact])[0].state


@pytest.fixture
def config(tmp_path):
    return load_config(write_config(tmp_path, str(tmp_path / "rows.jsonl")))


@pytest.fixture
def runs(config):
    return Runs(config)


def test_the_newest_stay_and_what_they_were_made_of(config, runs):
    old_features, old_folder = runs.make("Extractor", "Features")
    features, features_folder = runs.make("Extractor", "Features")
    old_model, old_model_folder = runs.make("Trainer", "Model", [old_features])
    # From the older features of the two: they have to stay for it.
    other_features, other_folder = runs.make("Extractor", "Features")
    model, model_folder = runs.make("Trainer", "Model", [features])
    would = clean_run(config, dry_run=True)
    assert old_folder.exists()
    report = clean_run(config)
    assert report == would
    assert set(report.removed) == {str(old_folder), str(old_model_folder)}
    assert report.bytes == 20
    assert not old_folder.exists() and not old_model_folder.exists()
    assert features_folder.exists() and other_folder.exists() and model_folder.exists()
    assert runs.state(old_model) == pb2.Artifact.DELETED and runs.state(model) == pb2.Artifact.LIVE
    assert clean_run(config).removed == ()


def test_the_last_blessed_model_stays_though_newer_ones_were_refused(config, runs):
    blessed, blessed_folder = runs.make("Trainer", "Model")
    runs.make("Evaluator", "Blessing", [blessed], blessed=1, current_model_id=blessed)
    refused, _ = runs.make("Trainer", "Model")
    runs.make("Evaluator", "Blessing", [refused], blessed=0, current_model_id=refused)
    clean_run(config)
    assert blessed_folder.exists()
    assert runs.state(blessed) == pb2.Artifact.LIVE


def test_old_versions_go_but_those_that_serve_and_can_be_gone_back_to(config, runs):
    destination = pathlib.Path(config.push_destination)
    for name in ("1", "2", "3", "withdrawn-4", "withdrawn-5", "model_cards"):
        (destination / name).mkdir(parents=True)
        (destination / name / "saved_model.pb").write_text("")
    clean_run(config)
    # By the newest withdrawn one a run from the cache knows that it must not push that model again.
    assert {path.name for path in destination.iterdir()} == {"2", "3", "withdrawn-5", "model_cards"}


def test_what_lies_outside_of_the_run_is_left_alone(config, runs, tmp_path):
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    for _ in range(2):
        made, _ = runs.make("Extractor", "Features")
        artifact = runs.store.get_artifacts_by_id([made])[0]
        artifact.uri = str(outside)
        runs.store.put_artifacts([artifact])
    assert clean_run(config).removed == ()
    assert outside.exists()


def test_the_command_says_what_it_would_do(config, runs, tmp_path):
    for _ in range(2):
        runs.make("Extractor", "Features")
    result = CliRunner().invoke(clean, ["--config", str(tmp_path / "run.yaml"), "--dry-run"])
    assert "Would remove 1 folders, 0 MB. Kept 1 artifacts." in result.output, result.output
    assert CliRunner().invoke(clean, ["--config", "demo_never_run"]).exit_code != 0
