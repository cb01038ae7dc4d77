"""What an installed wheel puts where."""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

from tests import source_files


@pytest.fixture(scope="module")
def site_packages(tmp_path_factory):
    """Builds wheels in a copy of the checkout and unpacks them: folders by the value of `HFMNAS_WITH_PIPELINE`."""
    source = tmp_path_factory.mktemp("source")
    for file in source_files.tracked_files():
        if file.is_file() and file.relative_to(source_files.ROOT).parts[0] not in {"tests", "docs", "benchmarks"}:
            target = source / file.relative_to(source_files.ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)

    def build(with_pipeline):
        folder = tmp_path_factory.mktemp(f"site_packages_{with_pipeline}")
        program = f"from setuptools import build_meta; build_meta.build_wheel({str(folder)!r})"
        result = subprocess.run(
            [sys.executable, "-c", program],
            cwd=source,
            env={**os.environ, "HFMNAS_WITH_PIPELINE": with_pipeline},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert result.returncode == 0, result.stderr[-3000:]
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        wheel.unlink()
        return folder

    # In this order: what the first build left must not go into the second.
    return {flag: build(flag) for flag in ("1", "0")}


def top_level(folder):
    return {path.name for path in folder.iterdir() if not path.name.endswith(".dist-info")}


def files_below(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_by_default_the_method_alone_is_installed(site_packages):
    assert top_level(site_packages["0"]) == {"hfmnas_keras"}


def test_the_pipeline_lies_in_one_folder_of_its_own(site_packages):
    assert top_level(site_packages["1"]) == {"hfmnas_keras", "hfmnas_pipeline", "hfmnas_pipeline.pth"}
    tracked = {str(path.relative_to(source_files.ROOT)) for path in source_files.tracked_files()}
    expected = {name for name in tracked if name.split("/")[0] in {"components", "pipeline", "schemas"}}
    assert files_below(site_packages["1"] / "hfmnas_pipeline") == expected
    methods = {name.removeprefix("hfmnas_keras/") for name in tracked if name.startswith("hfmnas_keras/")}
    assert (
        files_below(site_packages["1"] / "hfmnas_keras") == methods == files_below(site_packages["0"] / "hfmnas_keras")
    )


@pytest.mark.parametrize("own_pipeline", [False, True])
def test_its_modules_are_found_from_anywhere_after_those_of_the_working_folder(site_packages, own_pipeline, tmp_path):
    if own_pipeline:
        (tmp_path / "pipeline").mkdir()
        (tmp_path / "pipeline" / "__init__.py").write_text("", encoding="utf-8")
    installed = site_packages["1"]
    program = (
        f"import site; site.addsitedir({str(installed)!r})\n"
        "import importlib.util\n"
        "for name in ('components', 'hfmnas_keras', 'pipeline'): print(importlib.util.find_spec(name).origin)\n"
    )
    # -S: without the editable install of this environment, which has the same names.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        [sys.executable, "-S", "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    found = [pathlib.Path(line) for line in result.stdout.split()]
    folder = installed / "hfmnas_pipeline"
    assert found[0] == folder / "components" / "__init__.py"
    assert found[1] == installed / "hfmnas_keras" / "__init__.py"
    assert found[2] == (tmp_path if own_pipeline else folder) / "pipeline" / "__init__.py"
