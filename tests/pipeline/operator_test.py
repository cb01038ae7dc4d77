"""What goes wrong around a run: each fault ends in a right state, told with the next command in one sentence."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import pathlib
import shutil
import sqlite3
import time

import pytest
import yaml
from coloured_shapes import write_shapes
from conftest import run_once, write_config

from components.multimodal_example_gen.sources.manifest_source import ManifestSource
from components.pusher import executor as pusher
from components.pusher.model_digest import model_digest
from hfmnas_keras.genotype.load_genotype import load_genotype
from pipeline.config_file import load_config
from pipeline.local_runner import BLESSED, FAILED, NOT_BLESSED, run
from pipeline.run_summary import summarise_run


@pytest.fixture
def whole(finished_run, tmp_path):
    """The finished run in the folder that it left, whatever other tests ran there; afterwards theirs is back."""
    assert finished_run.code in (BLESSED, NOT_BLESSED), finished_run.text
    root = finished_run.config.root
    root.rename(tmp_path / "of_others")
    shutil.copytree(root.parent / "pristine", root, symlinks=True)
    yield finished_run
    shutil.rmtree(root, ignore_errors=True)
    (tmp_path / "of_others").rename(root)


def changed(finished, folder, **changes):
    """Another configuration of the same run."""
    content = yaml.safe_load(finished.config_path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        content[key] = {**content.get(key, {}), **value}
    path = folder / "changed.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def the_version(finished):
    (version,) = pathlib.Path(finished.config.push_destination).glob("[0-9]*")
    return version


def remove(version):
    shutil.rmtree(version.parent)


def remove_graph(version):
    (version / "saved_model.pb").unlink()


def damage_weights(version):
    weights = next(version.glob("variables/variables.data*"))
    content = bytearray(weights.read_bytes())
    content[0] ^= 1
    weights.write_bytes(content)


@pytest.mark.parametrize("fault", [remove, remove_graph, damage_weights])
def test_a_pushed_model_that_is_gone_or_damaged_is_pushed_again(whole, fault):
    version = the_version(whole)
    digest = model_digest(str(version))
    fault(version)
    again = run_once(whole.config_path)
    assert again.code == BLESSED, again.text
    assert "The pushed model was gone or damaged: pushed again, to " in again.text
    destination = str(whole.config.push_destination)
    newest = pathlib.Path(destination, str(pusher.newest_version(destination)))
    assert model_digest(str(newest)) == digest
    assert f"SavedModel: {newest}" in again.text
    # Once is enough.
    if fault is remove:
        third = run_once(whole.config_path)
        assert "pushed again" not in third.text and f"SavedModel: {newest}" in third.text


def test_a_model_of_which_nothing_whole_is_left_is_not_called_pushed(whole):
    summary = summarise_run(whole.config.metadata_path)
    remove(the_version(whole))
    for folder in (summary.uris["Pusher.pushed_model"], f"{summary.uris['Trainer.model']}/Format-Serving"):
        damage_weights(pathlib.Path(folder))
    again = run_once(whole.config_path)
    assert again.code == NOT_BLESSED
    assert f"remove {summary.uris['Trainer.model']}" in again.text and "BLESSED and pushed" not in again.text


def test_a_moved_run_points_into_its_new_folder(whole, tmp_path):
    old, new = whole.config.root, tmp_path / "moved"
    old.rename(new)
    config = load_config(changed(whole, tmp_path, paths={"root": str(new)}))
    before = {str(path) for path in new.glob("artifacts/*/*/*") if path.parent.name != ".system"}
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        assert run(config, last_stage="ImportSchemaGen") == BLESSED
    assert f"This run was in {old}." in shown.getvalue()
    with contextlib.closing(sqlite3.connect(config.metadata_path)) as metadata:
        uris = [uri for (uri,) in metadata.execute("SELECT uri FROM Artifact")]
        values = [value for (value,) in metadata.execute("SELECT string_value FROM ArtifactProperty") if value]
    # All that was there, the last blessed model among it.
    assert before and before <= set(uris)
    assert not [value for value in (*uris, *values) if value.startswith(f"{old}/")]
    assert any(value.startswith(f"{config.push_destination}/") for value in values)
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        assert run(config, last_stage="ImportSchemaGen") == BLESSED
    assert "This run was in" not in shown.getvalue()


def states(config):
    return {stage.name: stage.state for stage in summarise_run(config.metadata_path).stages}


def test_a_moved_run_goes_on_from_its_cache_however_often_and_with_its_data(whole, tmp_path):
    root, data = whole.config.root, pathlib.Path(whole.config.data.manifest).parent
    for place in ("once", "twice"):
        folder = tmp_path / place
        shutil.copytree(data, folder / "data")
        shutil.move(root, folder / "run")
        root = folder / "run"
        moved = changed(whole, folder, paths={"root": str(root)}, data={"manifest": str(folder / "data/shapes.jsonl")})
        ended = run_once(moved)
        assert ended.code == BLESSED and "This run was in" in ended.text, ended.text
        ran = {name for name, state in states(ended.config).items() if state != "cached"}
        # Which asks metadata alone.
        assert ran <= {"LatestBlessedModel"}
        assert str(the_version(ended)) in ended.text and str(root) in ended.text.splitlines()[-2]
    # What is made anew reads the artifacts where they are now.
    content = yaml.safe_load(moved.read_text(encoding="utf-8"))
    content["gate"] = {**content["gate"], "min_f1_m": 0.1}
    content["training"] = {**content["training"], "max_epochs": 2}
    moved.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert not whole.config.root.exists()
    trained = run_once(moved)
    assert trained.code in (BLESSED, NOT_BLESSED), trained.text
    found = states(trained.config)
    assert found["ArchitectureSearch"] == "cached" and found["Trainer"] == found["Evaluator"] == "complete"
    assert summarise_run(trained.config.metadata_path).evaluation["gate"]["compared"]


def test_other_data_in_a_place_of_the_same_name_are_read_anew(whole, tmp_path):
    folder = tmp_path / "other"
    manifest = write_shapes(folder / "data", seed=1)
    other = changed(whole, folder, data={"manifest": manifest})
    assert run(load_config(other), last_stage="MultimodalExampleGen") == BLESSED
    assert states(whole.config)["MultimodalExampleGen"] == "complete"


def test_a_clock_that_steps_back_hides_no_run(whole):
    with contextlib.closing(sqlite3.connect(whole.config.metadata_path)) as metadata, metadata:
        metadata.execute("UPDATE Context SET create_time_since_epoch = create_time_since_epoch + 3600000")
    again = run_once(whole.config_path)
    assert again.code == BLESSED and "BLESSED and pushed" in again.text
    assert {stage.state for stage in summarise_run(whole.config.metadata_path).stages[:10]} == {"cached"}


def test_a_run_that_is_not_in_the_metadata_is_a_failure(whole, monkeypatch):
    monkeypatch.setattr("pipeline.identified_runner.IdentifiedRunner.run_with_ir", lambda self, pipeline, **_: None)
    monkeypatch.setattr("pipeline.identified_runner.IdentifiedRunner.run_id", "2001-01-01", raising=False)
    monkeypatch.setattr("pipeline.identified_runner.IdentifiedRunner.__init__", lambda self, root: None)
    again = run_once(whole.config_path)
    assert again.code == FAILED and "has no run '2001-01-01'" in again.text


def test_a_full_disk_is_told_with_what_to_do(whole, monkeypatch, tmp_path):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("components.multimodal_example_gen.executor.Executor.Do", full)
    # Other rows, so that the stage runs.
    stopped = run_once(changed(whole, tmp_path, data={"inconsistency": {"rate": 0.3}}))
    assert stopped.code == FAILED
    assert "MultimodalExampleGen failed: " in stopped.text and "No space left on device" in stopped.text
    assert "Free some space on the disk; the same command continues from here." in stopped.text
    assert (whole.config.root / "error.log").is_file()
    # An old failure is not that of a run which went well.
    assert run_once(whole.config_path).code == BLESSED
    assert not (whole.config.root / "error.log").exists()


def test_a_log_on_a_full_disk_stops_nothing(whole):
    log = whole.config.root / "run.log"
    log.unlink()
    log.symlink_to("/dev/full")
    again = run_once(whole.config_path)
    assert again.code == BLESSED and "Logging error" not in again.text


def test_a_folder_that_cannot_be_written_is_told(whole, tmp_path):
    # Not even by the superuser.
    stopped = run_once(changed(whole, tmp_path, paths={"root": "/proc/hfmnas"}))
    assert stopped.code == FAILED
    (line,) = stopped.text.strip().splitlines()
    assert "The folder of the run cannot be written" in line and "paths: {root: ...}" in line


@pytest.mark.parametrize("left", [0.0, 0.3, 0.7, 0.999])
def test_cut_metadata_name_their_file_and_the_way_out(whole, left):
    path = whole.config.metadata_path
    os.truncate(path, int(path.stat().st_size * left))
    stopped = run_once(whole.config_path)
    assert stopped.code == FAILED
    assert f"{path}, which lists what the stages made, is damaged" in stopped.text
    assert f"rm -rf {path} {whole.config.pipeline_root}" in stopped.text
    assert the_version(whole).is_dir()


def test_a_damaged_genotype_is_named_with_the_way_out(whole, tmp_path):
    folder = pathlib.Path(summarise_run(whole.config.metadata_path).uris["ArchitectureSearch.genotype"])
    os.truncate(folder / "genotype.json", 20)
    # Another training, so that it is read.
    stopped = run_once(changed(whole, tmp_path, training={"max_epochs": 1, "seed": 7}))
    assert stopped.code == FAILED
    assert f"Trainer failed: {folder / 'genotype.json'} is not a genotype" in stopped.text
    assert f"rm -rf {folder}`; the same command makes it anew" in stopped.text


# Alone, as long tests are run: beside those of other files the shared run ends otherwise here.
@pytest.mark.long
def test_damaged_features_are_named_with_the_way_out(whole, tmp_path):
    folder = pathlib.Path(summarise_run(whole.config.metadata_path).uris["FeatureExtractor.features"])
    for file in folder.glob("Split-train/*.gz"):
        os.truncate(file, file.stat().st_size // 2)
    path = changed(whole, tmp_path, search={"seed": 7})
    stopped = run_once(path)
    assert stopped.code == FAILED
    assert "ArchitectureSearch failed: Cannot read " in stopped.text
    assert f"rm -rf {folder}`; the same command makes it anew" in stopped.text
    shutil.rmtree(folder)
    assert run(load_config(path), last_stage="FeatureExtractor") == BLESSED


def test_two_runs_at_once_do_not_share_a_folder(whole):
    with open(whole.config.root / ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stopped = run_once(whole.config_path)
    assert stopped.code == FAILED
    (line,) = stopped.text.strip().splitlines()
    assert "Another run is at work" in line and "give this one another `name`" in line


def test_a_killed_push_is_cleaned_and_one_at_work_is_left_alone(whole):
    destination, version = pathlib.Path(whole.config.push_destination), the_version(whole)
    for name in ("dead", "alive"):
        shutil.copytree(version, destination / f".unfinished-{name}")
    long_ago = time.time() - 3600
    for path in [destination / ".unfinished-dead", *(destination / ".unfinished-dead").rglob("*")]:
        os.utime(path, (long_ago, long_ago))
    os.utime(destination / ".unfinished-alive" / "saved_model.pb")
    again = run_once(whole.config_path)
    assert again.code == BLESSED
    assert {path.name for path in destination.iterdir()} == {version.name, ".unfinished-alive", "model_cards"}


def test_the_log_of_a_killed_run_stays_and_the_folder_keeps_its_configuration(whole):
    log = whole.config.root / "run.log"
    assert "The end of this run." in log.read_text(encoding="utf-8")
    log.write_text("It stood here.\n", encoding="utf-8")
    again = run_once(whole.config_path)
    killed = whole.config.root / "killed.log"
    assert f"The last run here was killed. Its log: {killed}" in again.text
    assert killed.read_text(encoding="utf-8") == "It stood here.\n"
    kept = whole.config.root / "configuration.yaml"
    assert load_config(kept) == whole.config
    assert "hfmnas-keras" in kept.read_text(encoding="utf-8").splitlines()[0]


def test_a_folder_with_runs_of_other_data_is_told(whole):
    kept = whole.config.root / "configuration.yaml"
    other = kept.read_text(encoding="utf-8").replace("shapes.jsonl", "other.jsonl")
    kept.write_text(other, encoding="utf-8")
    assert "other.jsonl, and its blessed model is the one to compare with" in run_once(whole.config_path).text


def test_a_failure_in_beam_tells_our_message_without_its_traceback(tmp_path, monkeypatch, capfd):
    damaged = tmp_path / "damaged.json"
    damaged.write_text("{", encoding="utf-8")
    # Anything of ours that raises while Beam is at work.
    monkeypatch.setattr(ManifestSource, "image", lambda self, row: load_genotype(damaged))
    stopped = run_once(write_config(tmp_path, write_shapes(tmp_path / "data", rows=20)))
    assert stopped.code == FAILED
    shown = stopped.text + "".join(capfd.readouterr())
    assert "Traceback" not in shown and "while running" not in shown
    assert f"MultimodalExampleGen failed: {damaged} is not a genotype" in stopped.text
    assert "Traceback" in (tmp_path / "run" / "error.log").read_text(encoding="utf-8")
