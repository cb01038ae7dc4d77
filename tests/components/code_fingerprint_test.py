"""The fingerprint changes with the code that runs, and only with that."""

from __future__ import annotations

import pytest

import components.code_fingerprint as module
from components.code_fingerprint import code_fingerprint


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
    code_fingerprint.cache_clear()
    yield tmp_path
    code_fingerprint.cache_clear()


def _after(project, path, text, *modules):
    (project / path).write_text(text)
    code_fingerprint.cache_clear()
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
