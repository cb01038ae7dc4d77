"""Files that are there whole or not at all."""

import os

import pytest

from hfmnas_keras.atomic_file import atomic_file, atomic_path


def test_a_file_takes_its_place_at_the_end(tmp_path):
    path = tmp_path / "new" / "words.txt"
    with atomic_path(path) as partial:
        partial.write_text("new")
        assert partial.suffix == ".txt" and partial.parent == path.parent and not path.exists()
    assert path.read_text() == "new"
    with atomic_file(path) as file:
        file.write(b"newer")
        assert path.read_text() == "new"
    assert path.read_text() == "newer"
    assert os.listdir(path.parent) == ["words.txt"]
    umask = os.umask(0)
    os.umask(umask)
    # As any other file: not its owner's alone.
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_what_was_there_stays_when_writing_fails(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("old")
    for writer in (atomic_path, atomic_file):
        with pytest.raises(RuntimeError, match="disk full"), writer(path) as target:
            (target.write_text("half") if writer is atomic_path else target.write(b"half"))
            raise RuntimeError("disk full")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["words.txt"]
    with pytest.raises(ValueError, match="not a regular file"), atomic_path(tmp_path):
        raise AssertionError("nothing is written")
