"""What to tell a person of an exception: what was written for them first, then what lies at its root."""

from __future__ import annotations

import errno
import pathlib
import re
import traceback
from collections.abc import Iterator

_ROOT = pathlib.Path(__file__).resolve().parent.parent
OWN_PACKAGES = tuple(_ROOT / package for package in ("hfmnas_keras", "components", "pipeline"))
# What Beam adds to the message of an exception.
_STEP = re.compile(r"\s*\[while running '[^']*'\]")
_CURES = {
    errno.ENOSPC: "Free some space on the disk; the same command continues from here.",
    errno.EDQUOT: "Free some space on the disk; the same command continues from here.",
    errno.EROFS: "Set `paths: {root: ...}` to a folder that can be written.",
    errno.EACCES: "Set `paths: {root: ...}` to a folder that you may write.",
}
# As the system says it, and as SQLite does.
_FULL = ("No space left on device", "database or disk is full")


def explain(error: BaseException) -> str:
    """Returns the message of the outermost exception that our own code raised, its root, and a cure where one is known.

    An exception of a library is not for people; one of ours names the file and the way out. Where none is of ours, the
    root alone.

    Args:
        error: exception, as caught.

    Returns:
        str. A few lines.
    """
    chain = list(_chain(error))
    ours = next((each for each in chain if _is_ours(each)), None)
    root = chain[-1]
    lines = [_message(root if ours is None else ours)]
    if ours is not None and root is not ours and _message(root) not in lines[0]:
        lines.append(f"The cause: {type(root).__name__}: {_message(root)}")
    codes = [each.errno for each in chain if isinstance(each, OSError)]
    codes += [errno.ENOSPC] if any(full in str(root) for full in _FULL) else []
    cures = [_CURES[code] for code in codes if code in _CURES]
    return "\n".join([*lines, *cures[:1]])


def damaged_artifact(message: str, pipeline_root: str) -> str | None:
    """Returns the folder of the artifact that a message names a file of, or `None`.

    Removed, it is made again by its stage, which otherwise would come from the cache for ever. Where the message has
    a cure of the machine, no file is damaged.

    Args:
        message: str. As of `explain`.
        pipeline_root: str. Folder of the artifacts.
    """
    if any(cure in message for cure in _CURES.values()):
        return None
    found = re.search(rf"{re.escape(pipeline_root)}/[^/\s]+/[^/\s]+/\d+", message)
    return None if found is None else found.group()


def is_own_file(path: str) -> bool:
    """Whether a file is one of this project's packages."""
    return any(pathlib.Path(path).is_relative_to(package) for package in OWN_PACKAGES)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and what it was raised from, the outermost first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _is_ours(error: BaseException) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and is_own_file(frames[-1].filename)


def _message(error: BaseException) -> str:
    message = _STEP.sub("", str(error)).strip() or type(error).__name__
    if "Traceback (most recent call last)" in message:
        # Of a worker process: its whole story as text.
        message = message.splitlines()[-1]
    return message
