import subprocess
import sys

import pytest

from tests import source_files

HEAVY = {"numpy", "keras", "tensorflow", "matplotlib", "tfx", "pydantic", "yaml"}


def hfmnas(folder, *arguments):
    """Runs the command in a process of its own, in a folder that comes before this checkout on the path."""
    program = (
        "import sys; sys.path[:0] = sys.argv[1:3]; "
        "from hfmnas_keras.cli import main; main(sys.argv[3:], prog_name='hfmnas')"
    )
    return subprocess.run(
        [sys.executable, "-c", program, str(folder), str(source_files.ROOT), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def folder_with_a_pipeline(tmp_path):
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "__init__.py").write_text("", encoding="utf-8")
    metadata = tmp_path / "offered-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: offered\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text(
        "[hfmnas.commands]\nabsent = pipeline.studies.command:study\n", encoding="utf-8"
    )
    return tmp_path


def test_help_imports_nothing_heavy():
    program = (
        "import sys\nfrom hfmnas_keras.cli import main\nmain(['--help'], standalone_mode=False)\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=source_files.ROOT, capture_output=True, text=True, timeout=120
    )
    assert result.stdout.splitlines()[-1] == "[]", result.stdout + result.stderr


def test_a_command_that_cannot_be_imported_is_a_line_of_the_help(folder_with_a_pipeline):
    result = hfmnas(folder_with_a_pipeline, "--help")
    assert result.returncode == 0, result.stderr
    words = " ".join(result.stdout.split())
    assert "absent (not available: pipeline.studies.command:study cannot be imported" in words
    assert "genotype Shows, draws" in words


def test_called_it_says_why_and_the_others_still_work(folder_with_a_pipeline):
    result = hfmnas(folder_with_a_pipeline, "absent", "--list")
    assert result.returncode == 2
    assert "`hfmnas absent` is not available here: pipeline.studies.command:study cannot be imported" in result.stderr
    assert "Traceback" not in result.stderr
    assert hfmnas(folder_with_a_pipeline, "operations").returncode == 0
