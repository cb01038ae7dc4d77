"""Which message of a chain of exceptions a person sees."""

from __future__ import annotations

import pytest

from hfmnas_keras.genotype.load_genotype import load_genotype
from pipeline.failure import damaged_artifact, explain


def caught(function):
    with pytest.raises(Exception) as error:
        function()
    return error.value


def test_our_outermost_message_comes_first_and_then_the_root(tmp_path):
    (tmp_path / "genotype.json").write_text("{", encoding="utf-8")
    told = explain(caught(lambda: load_genotype(tmp_path / "genotype.json")))
    assert told.startswith(f"{tmp_path / 'genotype.json'} is not a genotype")
    # The root is a part of that message.
    assert len(told.splitlines()) == 1


def test_a_root_that_our_message_leaves_out_is_added(tmp_path):
    (tmp_path / "genotype.json").mkdir()
    error = caught(lambda: load_genotype(tmp_path / "genotype.json"))
    error.__cause__ = KeyError("far away")
    assert explain(error).splitlines()[1:] == ["The cause: KeyError: 'far away'"]
    # Not raised by our code: the root alone.
    outer = RuntimeError("of a library")
    outer.__cause__ = KeyError("far away")
    assert explain(outer) == "'far away'"


def test_what_a_library_wraps_around_our_message_is_left_out(tmp_path):
    def fail():
        try:
            load_genotype(tmp_path / "nowhere.json")
        except Exception as error:
            raise RuntimeError("stage 3 of 7 broke down [while running 'ReadRows']") from error

    told = explain(caught(fail))
    assert "nowhere.json" in told and "broke down" not in told


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (OSError(28, "No space left on device"), "Free some space"),
        (OSError(30, "Read-only file system"), "paths: {root: ...}"),
        (PermissionError(13, "Permission denied"), "paths: {root: ...}"),
        (RuntimeError("x; No space left on device [while running 'Write']"), "Free some space"),
        (RuntimeError("mysql_query failed: database or disk is full"), "Free some space"),
    ],
)
def test_known_faults_of_a_machine_come_with_a_cure(error, cure):
    assert cure in explain(error)
    assert "while running" not in explain(error)


def test_the_artifact_of_a_damaged_file_is_found():
    root = "/runs/my run/artifacts"
    message = f"Cannot read {root}/FeatureExtractor/features/7/Split-train/features-0.gz: truncated"
    assert damaged_artifact(message, root) == f"{root}/FeatureExtractor/features/7"
    assert damaged_artifact("Cannot read /data/rows.jsonl", root) is None
    full = explain(OSError(28, f"No space left on device: {root}/Transform/transform_graph/6/a.pb"))
    assert root in full and damaged_artifact(full, root) is None
