"""Every command that README and docs print: run, or looked up and named below with the reason why it is not run."""

import ast
import importlib
import pathlib
import re
import shlex
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from hfmnas_keras.cli import main
from hfmnas_keras.genotype.random_genotype import random_genotype
from hfmnas_keras.settings.fusion import FusionSettings
from hfmnas_keras.settings.space import SpaceSettings
from tests.docs.pages import blocks, pages
from tests.source_files import ROOT

#: Commands that are not run, by what they begin with, and why. What they name is looked up all the same.
NOT_RUN = {
    "make": "sets up, trains, tests or builds, for minutes; but for `make help`",
    "python -m pytest": "a test that runs tests",
    "python -m pipeline": "a run of the pipeline, or a look at data of the reader's; tests/pipeline runs both",
    "python -m benchmarks": "minutes of measuring",
    "python -m tests.layouts.build": "writes data; the tests of the sources use what it writes",
    "python -m hfmnas_keras": "the same as `hfmnas`",
    "python -": "needs a cluster; read for its syntax",
    "python examples": "tests/examples runs them",
    "hfmnas init": "looks at data of the reader's; tests/pipeline/commands_test.py runs it",
    "hfmnas run": "a run of the pipeline",
    "hfmnas predict": "needs a trained model; tests/hfmnas_keras/cli runs it",
    "hfmnas evaluate": "needs a trained model; tests/hfmnas_keras/cli runs it",
    "hfmnas audit": "needs a trained model; tests/hfmnas_keras/cli runs it",
    "hfmnas serve": "serves until it is stopped; tests/hfmnas_keras/cli runs it",
    "hfmnas report": "needs a run; tests/pipeline/commands_test.py runs it",
    "hfmnas compile": "tests/pipeline/kubeflow_runner_test.py compiles every preset",
    "hfmnas config": "reads files of the reader's; tests/pipeline/commands_test.py runs it",
    "hfmnas score": "needs a pushed model and Beam; tests/pipeline runs it",
    "hfmnas serving": "looks after pushed models; tests/pipeline runs it",
    "hfmnas clean": "removes old artifacts of a run; tests/pipeline runs it",
    "hfmnas study": "hours of training, but for `--list`",
    "hfmnas genotype cost": "measures for a minute; tests/hfmnas_keras/cli/cost_command_test.py runs it",
    "hfmnas backbone": "needs published weights; tests/hfmnas_keras/cli/backbone_commands_test.py runs it",
    "hfmnas encoder": "fetches or reads published weights; tests/hfmnas_keras/cli/encoder_commands_test.py runs it",
    "tfx": "the TFX command makes and runs the demo; tests/pipeline/local_run_test.py runs what it calls",
    "pip install": "installs packages; tests/standalone_test.py tries `pip install .`",
    "docker": "needs a Docker daemon",
    "curl": "needs a server",
    "gcloud": "needs an account",
    "git tag": "makes a release",
    "export": "belongs to the next line",
    ".": "belongs to the next line",
}
#: Commands that hand everything to the one of a module.
FORWARDED = {"init": "pipeline.manifest_config", "run": "pipeline.local_runner", "compile": "pipeline.kubeflow_runner"}
_INLINE = re.compile(r"`((?:make|\.venv/bin/\w+|python|hfmnas|tfx|pip) [^`\n]+)`")
#: Words that stand for what a reader has.
_PLACEHOLDERS = re.compile(r"[A-Z][A-Z_]+(?:\.\w+)?|my\.yaml|\.\.\.|.*\.\.\..*")


def commands_of(script: str) -> list[list[str]]:
    """The commands of a shell script as words; the body of a here document goes to Python's parser."""
    lines, found = script.splitlines(), []
    while lines:
        text = lines.pop(0)
        while lines and (text.endswith("\\") or not _is_whole(text)):
            text = f"{text[:-1]} {lines.pop(0)}" if text.endswith("\\") else f"{text}\n{lines.pop(0)}"
        if marker := re.search(r"<<'(\w+)'", text):
            end = lines.index(marker[1])
            ast.parse("\n".join(lines[:end]))
            lines, text = lines[end + 1 :], text[: marker.start()]
        words = shlex.split(text, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words.pop(0)
        if words:
            found.append([words[0].removeprefix(".venv/bin/"), *words[1:]])
    return found


def _is_whole(text: str) -> bool:
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return True


def printed_commands() -> list[tuple[str, list[str]]]:
    found = [
        (f"{block.page}:{block.line}", command) for block in blocks("sh", "bash") for command in commands_of(block.text)
    ]
    for page, text in pages().items():
        found += [(page, command) for inline in _INLINE.findall(text) for command in commands_of(inline)]
    return found


COMMANDS = printed_commands()


def faults(words: list[str]) -> list[str]:
    """What of a command is not there: targets, modules, options, presets, paths of the repository."""
    text = " ".join(words)
    if words[0] == "make":
        return _make_faults(words[1:])
    if words[0] == "hfmnas" or words[:3] == ["python", "-m", "hfmnas_keras"]:
        return _hfmnas_faults(words[1:] if words[0] == "hfmnas" else words[3:])
    if words[:2] == ["python", "-m"]:
        return _module_faults(words[2], words[3:])
    return [] if any(_begins(text, begin) for begin in NOT_RUN) else [f"{text}: neither run nor named in NOT_RUN"]


def _begins(text: str, begin: str) -> bool:
    return text == begin or text.startswith((f"{begin} ", f"{begin}."))


def _make_faults(words: list[str]) -> list[str]:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    wrong = [f"make {word}" for word in words if "=" not in word and word not in targets]
    values = dict(word.split("=", 1) for word in words if "=" in word)
    return wrong + _config_faults(values.get("CONFIG"))


def _config_faults(config: str | None) -> list[str]:
    if config is None or _PLACEHOLDERS.fullmatch(config):
        return []
    is_there = (ROOT / config).is_file() or (ROOT / "pipeline/configs" / f"{config}.yaml").is_file()
    return [] if is_there else [f"configuration {config}"]


def _module_faults(module: str, words: list[str]) -> list[str]:
    if module == "pytest":
        return [word for word in words if "/" in word and not (ROOT / word).exists()]
    path = ROOT.joinpath(*module.split("."))
    sources = [file for file in (path.with_suffix(".py"), path / "__main__.py") if file.is_file()]
    if not sources:
        return [f"module {module}"]
    said = sources[0].read_text(encoding="utf-8")
    wrong = [f"{module} {word}" for word in words if word.startswith("-") and f'"{word.split("=")[0]}"' not in said]
    config = words[words.index("--config") + 1] if "--config" in words[:-1] else None
    return wrong + _config_faults(config)


def _hfmnas_faults(words: list[str]) -> list[str]:
    """Walks to the command and compares its options, without running it."""
    if words and words[0] in FORWARDED:
        return _module_faults(FORWARDED[words[0]], words[1:])
    command, context = main, click.Context(main, info_name="hfmnas")
    words = [word for word in words if word != "..."]
    while isinstance(command, click.Group):
        if not words or words[0].startswith("-"):
            known = {option for parameter in command.params for option in parameter.opts}
            if not words or words[0].split("=")[0] not in known:
                return [f"hfmnas: {words}"] if words else []
            words = words[2:]
            continue
        found = command.get_command(context, words[0])
        if found is None:
            return [f"hfmnas has no {words[0]}"]
        command, words = found, words[1:]
        context = click.Context(command, info_name=command.name, parent=context)
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    valued = {option for one in command.params if not getattr(one, "is_flag", False) for option in one.opts}
    values = {index + 1 for index, word in enumerate(words) if word in valued}
    wrong = [
        word
        for index, word in enumerate(words)
        if word.startswith("-") and index not in values and word.split("=")[0] not in known
    ]
    config = words[words.index("--config") + 1] if "--config" in words[:-1] else None
    return [f"hfmnas {command.name} {word}" for word in wrong] + _config_faults(config)


def test_every_command_is_run_or_named_and_what_it_names_is_there():
    assert len(COMMANDS) > 60
    wrong = {f"{place}: {' '.join(words)}": fault for place, words in COMMANDS if (fault := faults(words))}
    assert wrong == {}


def is_run(words: list[str]) -> bool:
    text = " ".join(words)
    return words[0] == "hfmnas" and (
        text == "hfmnas study --list"
        or not any(_begins(text, begin) for begin in NOT_RUN if begin.startswith("hfmnas"))
    )


RUN = sorted({tuple(words) for _, words in COMMANDS if is_run(words) and "..." not in words})


@pytest.fixture
def genotypes(tmp_path, monkeypatch):
    """A folder with the files that the commands name."""
    run = tmp_path / "runs/demo/artifacts/ArchitectureSearch/genotype/9"
    run.mkdir(parents=True)
    for seed, path in enumerate((tmp_path / "genotype.json", tmp_path / "one.json", tmp_path / "other.json")):
        random_genotype(SpaceSettings(), FusionSettings(), seed).save(path)
    (run / "genotype.json").write_bytes((tmp_path / "one.json").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("words", RUN, ids=" ".join)
def test_the_commands_of_the_package_run_as_printed(words, genotypes):
    arguments = []
    for word in words[1:]:
        # As the shell does.
        arguments += (
            sorted(str(path.relative_to(genotypes)) for path in genotypes.glob(word)) if "*" in word else [word]
        )
    answer = CliRunner().invoke(main, arguments)
    # The two genotypes differ, which is the answer 1.
    assert answer.exit_code == (1 if "diff" in words else 0), answer.output
    assert answer.output or pathlib.Path("cell.svg").stat().st_size > 1000


def test_some_commands_are_run():
    assert {words[1] for words in RUN} >= {"genotype", "operations", "study"}


def test_make_help_runs():
    said = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert "demo" in said and "docs" in said


@pytest.mark.parametrize(
    "command, fault",
    [
        ("make demmo", "make demmo"),
        ("make demo CONFIG=nonesuch", "configuration nonesuch"),
        ("python -m pipeline.none --config demo", "module pipeline.none"),
        (".venv/bin/python -m pipeline.local_runner --konfig demo", "pipeline.local_runner --konfig"),
        ("hfmnas genotyp show x.json", "hfmnas has no genotyp"),
        ("hfmnas genotype draw x.json --out y.svg", "hfmnas draw --out"),
        ("hfmnas study methods --config nonesuch", "configuration nonesuch"),
        ("hfmnas run --konfig my.yaml", "pipeline.local_runner --konfig"),
        ("rm -r runs", "rm -r runs: neither run nor named in NOT_RUN"),
    ],
)
def test_what_is_not_there_is_seen(command, fault):
    assert [found for words in commands_of(command) for found in faults(words)] == [fault]


def test_scripts_are_taken_apart():
    script = "A=1 make demo \\\n  CONFIG=x  # why\n\ncurl -d '{\n}' host\npython - <<'END'\nprint(1)\nEND\n"
    assert commands_of(script) == [["make", "demo", "CONFIG=x"], ["curl", "-d", "{\n}", "host"], ["python", "-"]]


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: f"{block.page}:{block.line}")
def test_python_on_the_pages_is_python_of_modules_that_are_there(block):
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in ("hfmnas_keras", "components", "pipeline"):
            module = importlib.import_module(node.module)
            assert not [name.name for name in node.names if not hasattr(module, name.name)]


@pytest.mark.long
def test_the_code_of_the_package_page_runs(tmp_path):
    [code] = [block.text for block in blocks("python") if block.page == "docs/package.md"]
    finished = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.rstrip().endswith("(24, 3)")
