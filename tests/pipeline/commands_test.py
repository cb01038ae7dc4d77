import ast
import json
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from hfmnas_keras.cli.command_group import CommandGroup
from pipeline import commands, config_schema, kubeflow_runner, local_runner, manifest_config
from tests import source_files


@pytest.fixture
def group():
    group = CommandGroup("hfmnas")
    for command in (commands.compile_, commands.config, commands.init, commands.layout, commands.report, commands.run):
        group.add_command(command)
    return group


def run(group, *arguments):
    return CliRunner().invoke(group, [str(argument) for argument in arguments])


def test_every_entry_point_names_a_command_of_that_name():
    (call,) = [
        node.value
        for node in ast.parse((source_files.ROOT / "setup.py").read_text(encoding="utf-8")).body
        if isinstance(node, ast.Expr) and ast.unparse(node).startswith("setuptools.setup")
    ]
    points = ast.literal_eval(next(word.value for word in call.keywords if word.arg == "entry_points"))
    for point in points["hfmnas.commands"]:
        name, _, place = point.partition("=")
        module, _, attribute = place.partition(":")
        command = getattr(__import__(module, fromlist=[attribute]), attribute)
        assert isinstance(command, click.Command) and command.name == name


def test_the_help_of_all_commands_imports_nothing_heavy():
    program = (
        "import sys, pipeline.commands\n"
        "print(sorted({'pydantic', 'yaml', 'numpy', 'keras', 'tensorflow', 'tfx'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=source_files.ROOT, capture_output=True, text=True, timeout=60
    )
    assert result.stdout.strip() == "[]", result.stderr


@pytest.mark.parametrize(
    "name, module", [("run", local_runner), ("init", manifest_config), ("compile", kubeflow_runner)]
)
def test_a_command_is_that_of_its_module(group, name, module):
    own = run(module.main, "--help").stdout
    given = run(group, name, "--help").stdout
    assert given.splitlines()[1:] == own.splitlines()[1:]
    assert given.startswith(f"Usage: hfmnas {name}")


def test_arguments_and_exit_codes_pass_through(group, tmp_path):
    result = run(group, "run", "--config", tmp_path / "absent.yaml")
    assert result.exit_code == local_runner.WRONG_USE and "absent.yaml" in result.stderr
    result = run(group, "init", "--no-such-option")
    assert result.exit_code == 2 and "No such option" in result.stderr


def test_the_schema_is_that_of_the_configuration(group):
    assert json.loads(run(group, "config", "schema").stdout) == config_schema.config_schema()


def test_configurations_are_checked(group, tmp_path):
    assert run(group, "config", "check", "demo").stdout == "demo: valid, a run named 'demo'\n"
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: bad\nserach: {}\n", encoding="utf-8")
    result = run(group, "config", "check", "demo", bad)
    assert result.exit_code == 2 and "serach" in result.stderr


def test_the_newest_report_of_a_run_is_found(group, tmp_path):
    for number in (9, 10):
        folder = tmp_path / "artifacts" / "RunReport" / "report" / str(number)
        folder.mkdir(parents=True)
        (folder / "report.html").write_text("", encoding="utf-8")
    assert run(group, "report", tmp_path).stdout.strip().endswith("10/report.html")
    result = run(group, "report", tmp_path / "absent")
    assert result.exit_code == 2 and "There is no report" in result.stderr


def test_a_source_says_what_files_it_wants(group):
    assert "mmimdb_hdf5  MM-IMDB as one HDF5 file" in run(group, "layout").stdout
    shown = run(group, "layout", "mmimdb").stdout
    assert "`split.json`, `dataset/<id>.json` and `dataset/<id>.jpeg`" in shown and "Modalities: text, image" in shown
    result = run(group, "layout", "mmimbd")
    assert result.exit_code == 2 and "Known ones: demo, manifest, mmimdb" in result.stderr
