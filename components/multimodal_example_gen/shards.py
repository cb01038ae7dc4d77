"""The rows of a split in parts, each of which is written whole or taken from earlier examples as it is."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tfx.dsl.io import fileio

from components.multimodal_example_gen.row import SPLITS, Row, SkipRowError
from components.multimodal_example_gen.sources.source import Source, file_digest
from hfmnas_keras.addresses import is_address
from hfmnas_keras.data.stored_files import copy_file

#: A part has at most so many rows on average, and at least half as many: what a corrected label costs.
ROWS_PER_SHARD = 128
#: More files would slow down whoever lists them.
MAX_SHARDS = 1024
#: Folder in the artifact with a note for each part that is done: where its records are, and what was seen.
SHARDS_FOLDER = "shards"
#: Folder in the artifact, while it is made, of the rows of each part.
ROWS_FOLDER = "rows.tmp"
#: So many earlier executions are looked at, the newest ones.
MAX_EARLIER = 5


@dataclasses.dataclass(frozen=True)
class Shard:
    """Some rows of a split.

    Args:
        split: str.
        number: int. Position among the split's parts.
        of: int. How many parts the split has.
        rows: tuple of Row. In the order in which they are written.
        key: str. Equal keys, equal records. Defaults to `""`: nothing is known of other records.
    """

    split: str
    number: int
    of: int
    rows: tuple[Row, ...]
    key: str = ""

    @property
    def file(self) -> str:
        """Path of the records in the artifact."""
        return f"Split-{self.split}/data_tfrecord-{self.number:05d}-of-{self.of:05d}.gz"

    def note(self, is_reusable: bool) -> str:
        """Path of the part's note in the artifact: a later run finds it under the key if it may take the records."""
        return f"{SHARDS_FOLDER}/{self.key if is_reusable and self.key else f'{self.split}-{self.number:05d}'}.json"


def shards_of(rows: Sequence[Row]) -> list[Shard]:
    """Divides rows by a hash of their id: neighbours are of different classes, and a row stays in its part.

    Only where the rows of a split pass a power of two times `ROWS_PER_SHARD`, each part becomes two.

    Args:
        rows: sequence of Row.

    Returns:
        list of Shard, without keys. None is empty.
    """
    shards = []
    for split in SPLITS:
        ordered = sorted(((_position(row), row) for row in rows if row.split == split), key=lambda pair: pair[0])
        doublings = math.ceil(math.log2(max(1.0, len(ordered) / ROWS_PER_SHARD)))
        of = min(1 << doublings, MAX_SHARDS)
        by_number: dict[int, list[Row]] = {}
        for position, row in ordered:
            by_number.setdefault(position * of >> 256, []).append(row)
        shards += [Shard(split, number, of, tuple(part)) for number, part in by_number.items()]
    return shards


def with_key(shard: Shard, source: Source, settings: str, by: str, digests: Mapping[str, bytes]) -> Shard:
    """Gives a part the key that follows from all that its records depend on.

    Args:
        shard: Shard.
        source: Source. Names the files that its rows are read from.
        settings: str. Stands for the code and for what is set.
        by: str. `"content"` or `"metadata"`, see `Source.fingerprint`.
        digests: mapping from path to the digest of files that were read already.

    Returns:
        Shard. Without a key where the source does not name a row's files, or they cannot be read.
    """
    digest = hashlib.sha256(f"{settings}\0{shard.split}".encode())
    for row in shard.rows:
        # Where it stands in the manifest is told of rows that are left out, and such parts are not taken again.
        digest.update(json.dumps([row.id, row.labels, row.media, row.text, row.text_donor], sort_keys=True).encode())
        try:
            files = source.row_files(row)
            if files is None:
                return shard
            for file in files:
                digest.update(digests[file] if file in digests else file_digest(file, by))
        except (SkipRowError, OSError):
            return shard
    return dataclasses.replace(shard, key=digest.hexdigest()[:32])


def earlier_notes(uri: str) -> dict[str, str]:
    """Finds parts that earlier executions have written, those that were killed among them.

    Args:
        uri: str. Folder of the artifact that is being made; those of earlier executions are beside it, as
            LocalDagRunner names them.

    Returns:
        dict from key to the folder of the newest artifact that has the part.
    """
    beside, own = os.path.split(uri.rstrip("/"))
    if not own.isdigit():
        return {}
    found: dict[str, str] = {}
    for number in sorted(int(name) for name in _names_in(beside) if name.isdigit() and name != own)[-MAX_EARLIER:]:
        earlier = os.path.join(beside, str(number))
        found |= dict.fromkeys(names_of_notes(earlier), earlier)
    return {name.removesuffix(".json"): earlier for name, earlier in found.items()}


def names_of_notes(uri: str) -> list[str]:
    """Lists the notes of parts that are done, in an artifact's folder."""
    return _names_in(os.path.join(uri, SHARDS_FOLDER))


def taken(shard: Shard, earlier: str, uri: str) -> dict[str, Any] | None:
    """Takes a part's records, and its note, from an earlier artifact.

    Files on one disk are linked, not copied.

    Args:
        shard: Shard. With its key.
        earlier: str. Folder of the earlier artifact.
        uri: str. Folder of the new one.

    Returns:
        dict: what was seen in it; None where the earlier artifact does not have it after all, or not as it was written:
        a damaged part would come back with every artifact that is made anew in its place.
    """
    note = shard.note(is_reusable=True)
    try:
        with fileio.open(os.path.join(earlier, note), "r") as file:
            content = json.loads(file.read())
        records, counts = str(content["records"]), dict(content["counts"])
        if file_digest(os.path.join(earlier, records), "content").hex() != content["digest"]:
            return None
        _link(os.path.join(earlier, records), os.path.join(uri, shard.file))
    # Half a note of an execution that was killed; an artifact that is being removed.
    except (OSError, ValueError, LookupError, TypeError):
        return None
    write_note(shard, counts, uri, is_reusable=True)
    return counts


def write_note(shard: Shard, counts: dict[str, Any], uri: str, is_reusable: bool) -> None:
    """Notes that a part is done. After its records: who finds the note may rely on them."""
    path = os.path.join(uri, shard.note(is_reusable))
    content = {"records": shard.file, "rows": len(shard.rows), "counts": counts}
    if is_reusable:
        content["digest"] = file_digest(os.path.join(uri, shard.file), "content").hex()
    fileio.makedirs(os.path.dirname(path))
    with fileio.open(path, "w") as file:
        file.write(json.dumps(content))


def put_aside(shard: Shard, uri: str) -> str:
    """Writes a part's rows into the artifact's folder, for the worker that gets them.

    Beam would carry rows in the description of its pipeline, which it compresses and reads many times.

    Returns:
        str. The file, for `read_again`.
    """
    path = os.path.join(uri, ROWS_FOLDER, f"{shard.split}-{shard.number:05d}.json")
    fileio.makedirs(os.path.dirname(path))
    with fileio.open(path, "w") as file:
        file.write(json.dumps(dataclasses.asdict(shard)))
    return path


def read_again(path: str) -> Shard:
    """Reads what `put_aside` has written."""
    with fileio.open(path, "r") as file:
        content = json.loads(file.read())
    rows = tuple(Row(**{**row, "labels": tuple(row["labels"])}) for row in content["rows"])
    return Shard(**{**content, "rows": rows})


def number_of_rows(shards: Iterable[Shard]) -> int:
    """Rows of all these parts."""
    return sum(len(shard.rows) for shard in shards)


def _position(row: Row) -> int:
    return int.from_bytes(hashlib.sha256(row.id.encode("utf-8")).digest(), "big")


def _names_in(folder: str) -> list[str]:
    # A bucket has a slash behind the names of folders.
    return [os.fsdecode(name).rstrip("/") for name in fileio.listdir(folder)] if fileio.isdir(folder) else []


def _link(source: str, target: str) -> None:
    fileio.makedirs(os.path.dirname(target))
    if not is_address(source) and not is_address(target):
        try:
            os.link(source, target)
            return
        except FileNotFoundError:
            raise
        except OSError:
            # Another disk, or one without links.
            pass
    copy_file(source, target)
