"""The folder of a run: who may use it, whether its metadata can be read and say where it is, and what it keeps."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import pathlib
import sqlite3
import subprocess
from collections.abc import Iterator
from typing import Any

import yaml

import hfmnas_keras
from hfmnas_keras.addresses import is_address
from hfmnas_keras.atomic_file import atomic_file
from pipeline.config import RunConfig
from pipeline.config_file import config_content

CONFIG_FILE = "configuration.yaml"
LOG_FILE = "run.log"
KILLED_LOG_FILE = "killed.log"
#: The last line of the log of a run that came to its end.
END_OF_LOG = "The end of this run."
_ARTIFACTS = "artifacts"
_ROOT = pathlib.Path(__file__).resolve().parent.parent


@contextlib.contextmanager
def sole_use_of(root: pathlib.Path) -> Iterator[None]:
    """Makes the folder of a run and keeps two runs from writing the same artifacts and metadata at once.

    Raises:
        RuntimeError: when it cannot be written, or another run is at work in it.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = open(root / ".lock", "w", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise RuntimeError(
            f"The folder of the run cannot be written: {error}. Set `paths: {{root: ...}}` to one that can, or free "
            "some space."
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(
                f"Another run is at work in {root}. Wait for it, or give this one another `name`."
            ) from None
        yield


def keep_killed_log(root: pathlib.Path) -> pathlib.Path | None:
    """Puts the log of a run that was killed aside, from which one can see where it stood.

    Returns:
        Path of that log, or `None` where the last run came to its end.
    """
    log = root / LOG_FILE
    if not log.is_file():
        return None
    with open(log, "rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        if END_OF_LOG.encode() in file.read():
            return None
    return log.replace(root / KILLED_LOG_FILE)


def keep_configuration(config: RunConfig, folder: pathlib.Path) -> None:
    """Writes what the run is made from into its folder: the whole configuration, and the version of the code.

    `load_config` reads it.
    """
    head = (
        f"# Written by the run of {datetime.datetime.now().astimezone().isoformat(timespec='seconds')}, "
        f"hfmnas-keras {hfmnas_keras.__version__}{_commit()}.\n"
    )
    content = yaml.safe_dump(_plain(config_content(config)), sort_keys=False, allow_unicode=True)
    with atomic_file(folder / CONFIG_FILE) as file:
        file.write((head + content).encode("utf-8"))


def data_of_last_run(folder: pathlib.Path) -> str | None:
    """The manifest or the folder of the data that the last run here was made from; `None` where nobody knows."""
    data = _part(_last_configuration(folder), "data")
    return data.get("manifest") or data.get("data_root")


def notes_on_last_run(config: RunConfig) -> list[str]:
    """What a person should know of the last run in the folder before this one trains for hours.

    Returns:
        list of str, a sentence each: the last run was on other data, or of other classes.
    """
    last, own = _last_configuration(config.root), config.source_settings()
    notes = []
    data = data_of_last_run(config.root)
    here = [path for path in (own.get("manifest"), own.get("data_root")) if path]
    # Moved along with the run, they are the same.
    if data and data not in here and not (_is_gone(data) and _name(data) in map(_name, here)):
        notes.append(
            f"The last run here was on {data}, and its blessed model is the one to compare with. Does that make no "
            "sense? Give this run another `name`."
        )
    classes = _part(last, "preparation").get("classes")
    if classes and classes != list(config.preparation.classes):
        notes.append("The last run here had other classes. A model that was blessed with them is no baseline.")
    return notes


def _last_configuration(folder: pathlib.Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _part(content: dict[str, Any], name: str) -> dict[str, Any]:
    part = content.get(name)
    return part if isinstance(part, dict) else {}


def _name(path: str) -> str:
    return pathlib.PurePath(path).name


def _is_gone(path: str) -> bool:
    return not is_address(path) and not pathlib.Path(path).exists()


def check_metadata(root: pathlib.Path, metadata_path: pathlib.Path) -> None:
    """Looks whether ML Metadata's file can be read, and is there where artifacts are.

    Raises:
        RuntimeError: when it is not; the message names the file and the way out.
    """
    artifacts = root / _ARTIFACTS
    said = "ok"
    if metadata_path.is_file() and metadata_path.stat().st_size:
        try:
            with contextlib.closing(sqlite3.connect(metadata_path)) as metadata:
                (said,) = metadata.execute("PRAGMA quick_check(1)").fetchone()
            if said == "ok" and metadata_path.stat().st_size < _stated_size(metadata_path):
                said = "it is cut off"
        except sqlite3.Error as error:
            said = str(error)
    elif artifacts.is_dir() and any(artifacts.iterdir()):
        said = "it is gone or empty"
    if said != "ok":
        # New executions are numbered from 1: they would write into folders of old ones.
        raise RuntimeError(
            f"{metadata_path}, which lists what the stages made, is damaged ({said.splitlines()[-1]}). Put back a "
            f"copy, or start anew with `rm -rf {metadata_path} {artifacts}`: every stage runs again; what is pushed "
            "stays."
        )


def repair_moved_run(root: pathlib.Path, metadata_path: pathlib.Path) -> str | None:
    """Lets the metadata of a run that was moved or copied point into its folder again.

    TFX keeps absolute paths. Left as they are, the last blessed model would never be found again, and a copy would read
    the artifacts of its original.

    Args:
        root: pathlib.Path. The folder of the run, where it is now.
        metadata_path: pathlib.Path. A file that `check_metadata` has looked at.

    Returns:
        str or None: where the folder was, `None` when it is where it was.
    """
    if not metadata_path.is_file():
        return None
    with contextlib.closing(sqlite3.connect(metadata_path)) as metadata, metadata:
        if not metadata.execute("SELECT 1 FROM sqlite_master WHERE name = 'Artifact'").fetchone():
            return None
        # <root>/artifacts/<stage>/<output>/<execution>
        parents = {
            pathlib.PurePath(uri).parents[2]
            for (uri,) in metadata.execute("SELECT uri FROM Artifact WHERE uri LIKE '/%/%/%/%'")
        }
        old_roots = {str(each.parent) for each in parents if each.name == _ARTIFACTS and each.parent != root}
        for old in old_roots:
            for table, column in (("Artifact", "uri"), ("ArtifactProperty", "string_value")):
                metadata.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                    (str(root), len(old) + 1, len(old) + 1, f"{old}/"),
                )
    return ", ".join(sorted(old_roots)) or None


def _stated_size(file: pathlib.Path) -> int:
    """Bytes that an SQLite file says it has (SQLite's file format, section 1.3)."""
    with open(file, "rb") as opened:
        header = opened.read(32)
    page = int.from_bytes(header[16:18], "big")
    return (65536 if page == 1 else page) * int.from_bytes(header[28:32], "big")


def _commit() -> str:
    """The commit of the checkout, in words; empty where there is none."""
    if not (_ROOT / ".git").exists():
        return ""
    try:
        git = ["git", "-C", str(_ROOT)]
        commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True, timeout=10)
        status = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"], check=True, capture_output=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return f", commit {commit.stdout.strip()}" + (" with changes" if status.stdout.strip() else "")


def _plain(value: object) -> object:
    """Tuples as lists, which YAML can say."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
