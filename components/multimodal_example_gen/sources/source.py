"""What every source of two-modality data offers to `MultimodalExampleGen`."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.multimodal_example_gen.row import OTHER_LABEL, SHARES_LABEL, Row, Skip
from hfmnas_keras.addresses import is_address
from hfmnas_keras.data.stored_files import is_file
from hfmnas_keras.registry import Registry

_CHUNK = 1 << 20


@dataclasses.dataclass
class Listing:
    """All rows of a source, before any picture is opened.

    Args:
        rows: list of Row. In the source's own order.
        skipped: list of Skip. Rows that cannot be used.
        classes: tuple of str. Names of all classes, in the order of the label ids.
        ignored_columns: dict from str to int. Columns without meaning here, with the number of rows that had them.
        observed: dict from str to int. What a person should know about rows that are kept, and of how many it is true:
            `{"genre left out: News": 64}`.
        warnings: list of str. What looks wrong though it can be used, one sentence each without its full stop.
    """

    rows: list[Row]
    skipped: list[Skip]
    classes: tuple[str, ...]
    ignored_columns: dict[str, int] = dataclasses.field(default_factory=dict)
    observed: dict[str, int] = dataclasses.field(default_factory=dict)
    warnings: list[str] = dataclasses.field(default_factory=list)


class Source(abc.ABC):
    """A layout of data on disk, read in two steps.

    `read` lists the rows in the main process: it is where splits, duplicates and labels are decided, which needs all
    rows at once and no pictures. `features` then reads one row's pictures on whichever Beam worker got the row. A
    further source is one more subclass with its settings as arguments of `__init__`, and `@register_source`.

    An instance travels to Beam workers, so it holds plain settings only.
    """

    #: Name in the configuration and in `ingest.json`.
    name: str
    #: What `features` gives, in the paper's order: the image or its stand-in comes second.
    modalities: tuple[str, ...] = ("text", "image")
    #: Those of its settings that are paths, relative to the configuration file. They lead to files, which count as
    #: data; a row does not depend on the paths themselves.
    paths: tuple[str, ...] = ()
    #: Path of the raw examples' schema; `None`: the configuration names it, or it is in this project's `schemas/`.
    schema_file: str | None = None
    #: What tells by default that the data changed, see `fingerprint`.
    fingerprint_by: str = "content"
    #: Whom to credit where the data are shown.
    attribution: str = ""
    #: Whether a row may have several labels.
    multi_label: bool = False
    #: Whether one unusable row refuses the whole source, instead of being skipped and counted.
    strict: bool = True
    #: Rows by split that Table I of the paper states for this data set; empty for other data.
    published_rows: Mapping[str, int] = {}
    #: Why the files that are in circulation have other numbers, where it is known.
    published_note: str = ""

    @property
    def inconsistency_policies(self) -> tuple[str, ...]:
        """How texts can be replaced, the usual way first; empty where there are none.

        See `components.multimodal_example_gen.inconsistency.Inconsistency`.
        """
        if "text" not in self.modalities:
            return ()
        return (SHARES_LABEL,) if self.multi_label else (OTHER_LABEL, SHARES_LABEL)

    @abc.abstractmethod
    def read(self) -> Listing:
        """Lists the rows, each with its split.

        Raises:
            FileNotFoundError: when the source is not on this machine.
            ValueError: when the source as a whole is not what it should be.
        """

    def features(self, row: Row) -> dict[str, bytes | list[bytes] | np.ndarray]:
        """Reads what the row's example holds beside `id` and `labels`: one feature a modality, under its name.

        | modality | value |
        | --- | --- |
        | `text` | bytes, UTF-8 |
        | `image` | bytes, RGB PNG or a usual JPEG, without notes |
        | `video` | list of bytes: RGB JPEGs of one size, in the order of time |
        | `depth` | list of bytes: 8-bit single-channel PNGs of one size, in the order of time |
        | `skeleton` | float32 array `(frames, 2 bodies, 25 joints, 3 coordinates)` in metres; written in C order |

        Args:
            row: Row. From `read`.

        Returns:
            dict. Defaults to the row's text and `image(row)`.

        Raises:
            SkipRowError: when the row cannot be used.
        """
        return {"text": row.text.encode("utf-8"), "image": self.image(row)}

    def image(self, row: Row) -> bytes:
        """Returns the row's picture as an encoded RGB PNG or JPEG; for sources that have the modality `image`.

        Raises:
            SkipRowError: when the picture cannot be used.
        """
        raise NotImplementedError(f"The source {self.name!r} has no images but {self.modalities}.")

    def row_files(self, row: Row) -> Sequence[str] | None:
        """Returns the paths of all files that `features` reads for a row, so that unchanged rows are not read again.

        Args:
            row: Row. From `read`.

        Returns:
            sequence of str. Defaults to None: it is not known, and each ingest reads all rows.

        Raises:
            SkipRowError: when a path must not be read.
        """
        return None

    @abc.abstractmethod
    def files(self) -> Iterator[tuple[str, str]]:
        """Yields `(name, path)` of every file that the examples depend on.

        The name goes into the fingerprint and is the same on every machine, the path is read.

        Raises:
            FileNotFoundError: when the source is not on this machine.
        """

    def fingerprint(self, by: str | None = None, digests: dict[str, bytes] | None = None) -> str:
        """Returns a digest that changes when the data behind this source change.

        Args:
            by: str or None. `"content"` reads every byte. `"metadata"` takes size and modification time instead: for
                sources of many gigabytes on a disk that one trusts. Defaults to None: the source's `fingerprint_by`.
            digests: dict or None. Gets the digest of each file whose content was read, by its path. Defaults to None.

        Returns:
            str. The word `by`, a colon, and 32 hexadecimal digits.

        Raises:
            ValueError: for another `by`.
            FileNotFoundError: when the source is not on this machine.
        """
        by = by or self.fingerprint_by
        digest_of = _digest_by(by)
        digest = hashlib.sha256()
        for name, path in sorted(set(self.files())):
            digest.update(name.encode("utf-8", "surrogateescape") + b"\0")
            try:
                # A file that the manifest names and that is not there is a fact about the data too.
                of_file = digest_of(path) if is_file(path) else b"absent"
            except OSError:
                # As it may not be read, no example depends on it; its row is left out.
                of_file = b"unreadable"
            digest.update(of_file)
            if digests is not None and by == "content" and len(of_file) == digest.digest_size:
                digests[path] = of_file
        return f"{by}:{digest.hexdigest()[:32]}"


#: Every source by its name: ours, which `sources.registry` imports, and those of other packages.
SOURCES: Registry[type[Source]] = Registry(
    "source",
    {
        "demo": "the embedded pictures and words",
        "manifest": "the user's own JSON lines or CSV",
        "mmimdb": "MM-IMDB, a JSON and a picture a movie",
        "mmimdb_hdf5": "MM-IMDB as one HDF5 file",
        "harm": "HARM-C or HARM-P",
        "ntu": "NTU RGB+D",
        "egogesture": "EgoGesture",
    },
)


def register_source(source: type[Source]) -> type[Source]:
    """Decorator that makes a `Source` known by its `name`.

    Its configuration follows from its class: the arguments of `__init__` are settings, checked against their
    annotations; `classes` and `multi_label` among them are those of `preparation`.

    Raises:
        ValueError: when the name is taken.
    """
    return SOURCES.register(source.name)(source)


def mounted_root(source: str, data_root: str | os.PathLike) -> str:
    """Returns the folder of a source that looks around in it, which only a file system allows.

    Raises:
        ValueError: for an address.
    """
    if is_address(data_root):
        raise ValueError(
            f"The source {source!r} reads a folder of this machine. Received: {os.fspath(data_root)!r}. Mount the "
            "bucket and give the path of the mount, such as `/gcs/NAME` on Vertex AI, or write a manifest of the data."
        )
    return os.fspath(data_root)


def check_keys(source: str, config: dict[str, Any], known: Iterable[str]) -> None:
    """Refuses settings that a source does not have.

    Raises:
        ValueError: names the unknown settings and lists the known ones.
    """
    unknown = sorted(set(config) - set(known))
    if unknown:
        raise ValueError(f"Unknown settings of the source {source!r}: {unknown}. Known ones: {sorted(known)}.")


def file_digest(path: str, by: str) -> bytes:
    """Returns what tells whether a file changed.

    Args:
        path: str. Path or address.
        by: str. `"content"` or `"metadata"`, see `Source.fingerprint`.

    Raises:
        ValueError: for another `by`.
        OSError: when the file cannot be read.
    """
    return _digest_by(by)(path)


def _digest_by(by: str) -> Callable[[str], bytes]:
    known: dict[str, Callable[[str], bytes]] = {"content": _content_digest, "metadata": _metadata_digest}
    if by not in known:
        raise ValueError(f"`by` must be one of {tuple(known)}. Received: {by!r}.")
    return known[by]


def _content_digest(path: str) -> bytes:
    digest = hashlib.sha256()
    with _os_errors(), tf.io.gfile.GFile(path, "rb") if is_address(path) else open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.digest()


def _metadata_digest(path: str) -> bytes:
    if is_address(path):
        with _os_errors():
            listed = tf.io.gfile.stat(path)
        return f"{listed.length}:{listed.mtime_nsec}".encode()
    status = os.stat(path)
    return f"{status.st_size}:{status.st_mtime_ns}".encode()


@contextlib.contextmanager
def _os_errors() -> Iterator[None]:
    """Lets files in buckets fail as those on disks do."""
    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(error.message or type(error).__name__) from error
