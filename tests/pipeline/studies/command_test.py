"""`hfmnas study`, as a user calls it."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest
from click.testing import CliRunner

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from tiny_study import tiny_config, tiny_study, write_data

from hfmnas_keras.cli import main
from pipeline.config_file import load_config
from pipeline.studies.run_study import run_study
from pipeline.studies.studies import STUDIES


def hfmnas(*arguments):
    """Calls the command as this checkout's installation offers it."""
    return CliRunner().invoke(main, arguments)


def test_the_group_has_it_beside_its_own_commands():
    command = [os.path.join(os.path.dirname(sys.executable), "hfmnas"), "--help"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "study" in shown and "genotype" in shown


def test_it_lists_studies_with_their_tables_and_trials():
    shown = hfmnas("study", "--list", "--config", "demo", "--seeds", "2").output
    for study in STUDIES.values():
        assert study.paper in shown
        trials = sum(max(2, variant.least_seeds) for variant in study.variants(load_config("demo")))
        assert f"{trials} trials" in shown


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["no_such"], "There is no study 'no_such'. Known ones: methods"),
        (["methods", "--config", "no_such"], "There is no configuration file 'no_such'"),
        (["methods", "--seeds", "0"], "--seeds"),
    ],
)
def test_wrong_use_is_told_in_a_line(arguments, words):
    result = hfmnas("study", *arguments)
    assert result.exit_code == 2 and words in result.output and "Traceback" not in result.output


def test_without_the_pipeline_it_says_which_extra_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pipeline.config_file", None)
    result = hfmnas("study", "methods")
    assert result.exit_code == 2 and "Install the extra `pipeline`" in result.output


def test_help_imports_neither_pipeline_nor_tensorflow():
    code = (
        "import sys; from hfmnas_keras.cli import main; main(['--help'], standalone_mode=False); "
        "assert not {'tensorflow', 'tfx', 'pydantic'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0


def test_a_pipeline_without_features_is_told_in_a_line(tmp_path):
    content = "name: mine\ndata: {source: manifest, manifest: missing.jsonl}\npreparation: {classes: [a, b]}\n"
    (tmp_path / "my.yaml").write_text(
        f"{content}gate: {{min_f1_m: 0}}\npaths: {{root: {tmp_path}/run}}\n", encoding="utf-8"
    )
    result = hfmnas("study", "methods", "--config", str(tmp_path / "my.yaml"), "--root", str(tmp_path / "studies"))
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert "missing.jsonl" in result.output and "before there were features" in result.output


def test_a_failed_trial_is_in_the_exit_code(tmp_path, monkeypatch):
    data = write_data(tmp_path / "data")

    def on_made_up_data(study, config, *arguments, **options):
        return run_study(study, tiny_config(), *arguments, prepare=lambda *_: data, **options)

    monkeypatch.setattr("pipeline.studies.run_study.run_study", on_made_up_data)
    monkeypatch.setitem(STUDIES, "tiny", tiny_study("concatenation"))
    command = ("study", "tiny", "--seeds", "1", "--workers", "0", "--root", str(tmp_path / "studies"))
    with monkeypatch.context() as patched:
        patched.setattr("pipeline.studies.train_trial.train_final_model", lambda *_, **__: 1 / 0)
        failed = hfmnas(*command)
    assert failed.exit_code == 1 and "FAILED: ZeroDivisionError" in failed.output
    assert hfmnas(*command).exit_code == 0


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("preset", ["demo", "ntu", "mmimdb"])
def test_every_variant_describes_a_run(name, preset):
    from pipeline.config_file import with_overrides

    config = load_config(preset)
    if (name, preset) == ("inconsistency", "ntu"):
        with pytest.raises(ValueError, match="replaces texts"):
            [with_overrides(config, variant.overrides) for variant in STUDIES[name].variants(config)]
        return
    for variant in STUDIES[name].variants(config):
        changed = with_overrides(config, variant.overrides)
        assert changed == config or variant.overrides
