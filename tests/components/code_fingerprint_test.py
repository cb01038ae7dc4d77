"""The fingerprint changes with the code that runs, and only with that."""

from __future__ import annotations

import importlib
import json
import pathlib
import shutil
import subprocess
import sys

import pytest

import components.code_fingerprint as module
from components.code_fingerprint import check_code, code_fingerprint
from hfmnas_keras import plugins

ROOT = pathlib.Path(module.__file__).resolve().parents[1]
#: Folders of the components, with what else their stage imports by name.
STAGES = {
    "multimodal_example_gen": [],
    "example_validator": [],
    "transform": [],
    "backbone_trainer": [],
    "feature_extractor": [],
    "linear_references": [],
    "architecture_search": [],
    "tuner": ["components.tuner.tuning"],
    "trainer": ["components.trainer.training"],
    "evaluator": [f"components.evaluator.{name}_metric" for name in ("f1", "accuracy", "confusion", "risk_coverage")],
    "serving_check": [],
    "pusher": [],
    "run_report": [],
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A small project in place of ours."""
    for path, text in {
        "hfmnas_keras/__init__.py": "",
        "hfmnas_keras/search.py": "from hfmnas_keras.cell import supernet\nimport os\n",
        "hfmnas_keras/cell/__init__.py": "",
        "hfmnas_keras/cell/supernet.py": "from . import edges\n",
        "hfmnas_keras/cell/edges.py": "WIDTH = 3\n",
        "hfmnas_keras/export.py": "import hfmnas_keras.cell.edges\n",
        "hfmnas_keras/cell/table.json": "{}",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.setattr(module, "_ROOT", tmp_path)
    module._digest.cache_clear()
    yield tmp_path
    module._digest.cache_clear()


def _after(project, path, text, *modules):
    (project / path).write_text(text)
    module._digest.cache_clear()
    return code_fingerprint(*modules)


def test_a_change_of_an_import_of_an_import_shows(project):
    before = code_fingerprint("hfmnas_keras.search")
    assert _after(project, "hfmnas_keras/cell/edges.py", "WIDTH = 5\n", "hfmnas_keras.search") != before


def test_a_change_elsewhere_does_not_show(project):
    before = code_fingerprint("hfmnas_keras.search")
    assert _after(project, "hfmnas_keras/export.py", "pass\n", "hfmnas_keras.search") == before


def test_a_package_stands_for_all_its_files_data_included(project):
    before = code_fingerprint("hfmnas_keras.cell")
    assert _after(project, "hfmnas_keras/cell/table.json", "[]", "hfmnas_keras.cell") != before


def test_compiled_files_do_not_count(project):
    before = code_fingerprint("hfmnas_keras.cell")
    (project / "hfmnas_keras/cell/__pycache__").mkdir()
    assert _after(project, "hfmnas_keras/cell/__pycache__/edges.pyc", "x", "hfmnas_keras.cell") == before


@pytest.mark.parametrize("name", ["os", "hfmnas_keras.missing", "pipeline.config"])
def test_a_module_that_is_not_ours_is_refused(name):
    with pytest.raises(ValueError, match=name):
        code_fingerprint(name)


def test_no_module_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        code_fingerprint()


@pytest.mark.parametrize(
    "text",
    [
        "WIDTH = 3  # of an edge\n",
        '"""Edges."""\n\n# Their width.\nWIDTH = (\n    3\n)\n',
        'WIDTH = 3\n"""How wide an edge is."""\n',
    ],
)
def test_comments_docstrings_and_lines_do_not_count(project, text):
    before = code_fingerprint("hfmnas_keras.search")
    assert _after(project, "hfmnas_keras/cell/edges.py", text, "hfmnas_keras.search") == before


@pytest.mark.parametrize(
    "text", ["WIDTH = '3'\n", "WIDTH = 3.0\n", "WIDTH = 3\nWIDTH += 1\n", "WIDTH: int = 3\n", "def f(): 3\n"]
)
def test_each_statement_counts(project, text):
    before = code_fingerprint("hfmnas_keras.search")
    assert _after(project, "hfmnas_keras/cell/edges.py", text, "hfmnas_keras.search") != before


def test_a_stage_refuses_other_code_than_its_pipeline_was_made_with(project):
    compiled = {"code_fingerprint": code_fingerprint("hfmnas_keras.search")}
    check_code(compiled, ("hfmnas_keras.search",))
    check_code({}, ("hfmnas_keras.search",))
    _after(project, "hfmnas_keras/cell/edges.py", "WIDTH = 5\n", "hfmnas_keras.search")
    with pytest.raises(
        RuntimeError, match=f"other code of hfmnas_keras.search .*{compiled['code_fingerprint']}.*Build the"
    ):
        check_code(compiled, ("hfmnas_keras.search",))


def _code_of(stage):
    module_name = "preprocessing" if stage == "transform" else "executor"
    return importlib.import_module(f"components.{stage}.{module_name}").CODE


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of our own code, of which the function gives the fingerprints by stage."""
    for package in module.PROJECT_PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    code = {stage: _code_of(stage) for stage in STAGES}
    monkeypatch.setattr(module, "_ROOT", tmp_path)

    def fingerprints():
        module._digest.cache_clear()
        return {stage: code_fingerprint(*modules) for stage, modules in code.items()}

    yield tmp_path, fingerprints
    module._digest.cache_clear()


def test_a_comment_appended_to_any_file_leaves_every_stage_alone(copied):
    folder, fingerprints = copied
    before = fingerprints()
    for path in folder.rglob("*"):
        if path.suffix in (".py", ".pbtxt"):
            path.write_text(path.read_text(encoding="utf-8") + "\n\n# A comment.\n", encoding="utf-8")
        elif path.suffix == ".jinja":
            path.write_text(path.read_text(encoding="utf-8") + "{# A comment. #}\n", encoding="utf-8")
    assert fingerprints() == before


#: A file, and the stages that import it.
IMPORTED_BY = {
    "components/evaluator/f1_metric.py": {"evaluator"},
    "components/serving_check/client.py": {"serving_check"},
    "components/pusher/model_digest.py": {"pusher"},
    "components/example_validator/executor.py": {"example_validator"},
    "components/multimodal_example_gen/readers/picture.py": {"multimodal_example_gen"},
    "components/transform/text.py": {"transform", "backbone_trainer", "tuner", "trainer"},
    "components/run_report/page.html.jinja": {"run_report"},
    "hfmnas_keras/pretraining/backbone_fit.py": {"backbone_trainer"},
    "hfmnas_keras/pretraining/extraction.py": {"feature_extractor", "trainer"},
    "hfmnas_keras/search/bilevel_step.py": {"architecture_search"},
    "hfmnas_keras/training/training_step.py": {"architecture_search", "tuner", "trainer"},
    "hfmnas_keras/export/serving.py": {"trainer"},
    "hfmnas_keras/cli/cost_command.py": set(),
    "components/checkpoint_folder.py": {"backbone_trainer", "architecture_search", "tuner", "trainer"},
}


def test_a_changed_statement_changes_the_stages_that_import_it(copied):
    folder, fingerprints = copied
    before = fingerprints()
    for path, stages in IMPORTED_BY.items():
        content = (folder / path).read_bytes()
        (folder / path).write_bytes(content + b"\nCHANGED = True\n")
        assert {stage for stage, value in fingerprints().items() if value != before[stage]} == stages, path
        (folder / path).write_bytes(content)


_IMPORT = """
import json, os, sys
import keras, tensorflow, tfx.v1, tensorflow_model_analysis
for stage, names in json.loads(sys.argv[1]).items():
    reader, writer = os.pipe()
    if not os.fork():
        for name in names:
            __import__(name)
        with os.fdopen(writer, "w") as file:
            json.dump([getattr(module, "__file__", None) for module in sys.modules.values()], file)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        print("STAGE", json.dumps([stage, json.load(file)]))
    os.wait()
"""


@pytest.mark.long
def test_what_a_stage_really_imports_is_in_its_fingerprint():
    names = {stage: [*_code_of(stage), *further] for stage, further in STAGES.items()}
    output = subprocess.run(
        [sys.executable, "-c", _IMPORT, json.dumps(names)], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    imported = dict(
        json.loads(line.removeprefix("STAGE ")) for line in output.splitlines() if line.startswith("STAGE ")
    )
    assert set(imported) == set(STAGES)
    for stage, files in imported.items():
        ours = {pathlib.Path(file).resolve() for file in files if file}
        ours = {
            path
            for path in ours
            if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in module.PROJECT_PACKAGES
        }
        counted = module._files_with_imports(_code_of(stage))
        assert ours and ours <= counted, (stage, sorted(map(str, ours - counted)))


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A package of someone else, on the path."""
    folder = tmp_path / "elsewhere" / "my_plugin_of_fingerprints"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("LOADED = True\n")
    (folder / "words.txt").write_text("a")
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.setattr(plugins, "_in_use", [])
    return folder


def test_the_plugins_in_use_are_in_the_fingerprint(project, plugin):
    without = code_fingerprint("hfmnas_keras.search")
    plugins.use_plugins([plugin.name])
    first = code_fingerprint("hfmnas_keras.search")
    assert first != without and first.split("+")[1:] == [plugin.name]
    # Its name alone is not enough: what is in any of its files counts, but no comment.
    module._digest.cache_clear()
    (plugin / "__init__.py").write_text("LOADED = True  # at last\n")
    assert code_fingerprint("hfmnas_keras.search") == first
    for name, text in (("__init__.py", "LOADED = False\n"), ("words.txt", "b")):
        module._digest.cache_clear()
        (plugin / name).write_text(text)
        assert code_fingerprint("hfmnas_keras.search").split("+")[0] != first.split("+")[0]
        first = code_fingerprint("hfmnas_keras.search")
    plugins.use_plugins([])
    assert code_fingerprint("hfmnas_keras.search") == without


def test_a_stage_imports_the_plugins_that_its_pipeline_was_made_with(project, plugin, monkeypatch):
    plugins.use_plugins([plugin.name])
    properties = {"code_fingerprint": code_fingerprint("hfmnas_keras.search")}
    # As in a fresh process.
    plugins.use_plugins([])
    monkeypatch.delitem(sys.modules, plugin.name)
    check_code(properties, ("hfmnas_keras.search",))
    assert plugin.name in sys.modules and plugins.plugins_in_use() == (plugin.name,)
    with pytest.raises(ValueError, match="The plugin 'not_installed' cannot be imported"):
        check_code({"code_fingerprint": "0123456789abcdef+not_installed"}, ("hfmnas_keras.search",))
