"""HDF5 files changed at random, and those that take down HDF5's library.

What comes out is right, or a counted skip, or a clear error; never a crash of the worker, a hang or a wrong pair.
Datasets of such a file have no checksums: a changed byte of a value is another value. What must hold is that rows whose
bytes were left alone are what they were.
"""

import pathlib
import time
from collections import Counter

import h5py
import numpy as np
import pytest

from components.multimodal_example_gen.readers import limited_process
from components.multimodal_example_gen.readers.mmimdb_hdf5_rows import MAX_MEMORY
from components.multimodal_example_gen.row import SPLITS, SkipRowError
from components.multimodal_example_gen.sources import mmimdb_hdf5_source
from components.multimodal_example_gen.sources.mmimdb_hdf5_source import MmimdbHdf5Source
from tests.components.multimodal_example_gen.mutations import mutated
from tests.layouts import mmimdb_hdf5

ROWS = 50
#: For one tiny file; a machine under load is slow.
MAX_SECONDS = 60.0


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return mmimdb_hdf5.write_file(tmp_path_factory.mktemp("good"), ROWS, size=(8, 8))


@pytest.fixture
def source(good, tmp_path):
    """Source of a copy to break."""
    (tmp_path / mmimdb_hdf5.NAME).write_bytes(good.read_bytes())
    yield MmimdbHdf5Source(str(tmp_path))
    limited_process.stop()


def rows_of_bytes(path):
    """The number of the row that each byte of the file is a value of, in its id, genres or image; -1 elsewhere."""
    rows = np.full(path.stat().st_size, -1)
    with h5py.File(path) as file:
        for name in ("imdb_ids", "genres", "images"):
            start, size = file[name].id.get_offset(), file[name].id.get_storage_size()
            rows[start : start + size] = np.repeat(np.arange(ROWS), size // ROWS)
    return rows


def one_changed_byte(place):
    def change(data, generator):
        changed = bytearray(data)
        changed[int(generator.choice(place))] = generator.integers(256)
        return bytes(changed)

    return change


@pytest.mark.parametrize("number", [60, pytest.param(1000, marks=pytest.mark.long)])
def test_mutations(good, source, monkeypatch, number):
    # A file that stalls costs so long.
    monkeypatch.setattr(mmimdb_hdf5_source, "MAX_SECONDS", 10.0)
    generator = np.random.default_rng(5)
    path, data = pathlib.Path(source.data_root, mmimdb_hdf5.NAME), good.read_bytes()
    rows_by_byte = rows_of_bytes(path)
    places = np.arange(len(data))
    # Headers, trees and heaps, where the library goes wrong, are a small part of the file.
    structure = places[(rows_by_byte < 0) & (np.frombuffer(data, np.uint8) != 0) & (places < 14_000)]
    kinds = [mutated, one_changed_byte(structure), one_changed_byte(places[rows_by_byte >= 0])]
    before = {row.media["row"]: row for row in source.read().rows}
    images = {number: source.image(row) for number, row in before.items()}
    outcomes, slowest = Counter(), 0.0
    for turn in range(number):
        content = kinds[turn % len(kinds)](data, generator)
        path.write_bytes(content)
        # None where not only values changed.
        changed = None
        if len(content) == len(data):
            differing = np.flatnonzero(np.frombuffer(content, np.uint8) != np.frombuffer(data, np.uint8))
            changed = None if (rows_by_byte[differing] < 0).any() else set(rows_by_byte[differing])
        started = time.monotonic()
        assert source.fingerprint("content").startswith("content:")
        try:
            listing = source.read()
        except ValueError as error:
            assert not isinstance(error, SkipRowError) and mmimdb_hdf5.NAME in str(error)
            assert changed is None
            outcomes["refused" if "the process that reads it" not in str(error) else "library taken down"] += 1
        else:
            outcomes.update(f"listed: {skip.reason}" for skip in listing.skipped)
            found = {row.media["row"]: row for row in listing.rows}
            assert len({row.id for row in listing.rows}) == len(found) == len(listing.rows)
            assert all(row.split in SPLITS and row.labels and row.text for row in listing.rows)
            ids = {row.id: index for index, row in before.items()}
            some = sorted(found)[:: max(1, len(found) // 5)] + sorted((changed or set()) & set(found))[:5]
            for index in some:
                try:
                    image = source.image(found[index])
                except SkipRowError as error:
                    outcomes[error.reason] += 1
                    continue
                outcomes["kept"] += 1
                if changed is not None and index not in changed:
                    assert found[index] == before[index] and image == images[index]
                # An image of another movie is a wrong pair.
                assert image not in [other for movie, other in images.items() if movie != ids.get(found[index].id)]
        slowest = max(slowest, time.monotonic() - started)
    assert slowest < MAX_SECONDS
    path.write_bytes(data)
    assert source.read().rows == list(before.values())
    print(number, dict(outcomes), f"slowest {slowest:.1f} s")
    assert outcomes["refused"] and outcomes["unreadable_image"] and outcomes["listed: wrong_type"] and outcomes["kept"]


class TestFilesThatTakeTheLibraryDown:
    """Found by changing bytes at random; what each does to HDF5 2.0 is said. Other versions may refuse it unharmed."""

    def changed(self, source, change):
        """Changes the bytes of the file."""
        path = pathlib.Path(source.data_root, mmimdb_hdf5.NAME)
        with h5py.File(path) as file:
            words = file["sequences"]
            header, entries = h5py.h5o.get_info(words.id).addr, words.id.get_offset()
        data = bytearray(path.read_bytes())
        change(data, header, entries)
        path.write_bytes(data)

    def test_crash(self, source):
        def change(data, header, entries):
            # The type of `sequences`: lists, of a kind that there is not.
            place = data.index(b"\x19\0\0\0\x10\0\0\0", header)
            data[place + 1] = 0xE6

        self.changed(source, change)
        with pytest.raises(ValueError, match=r"multimodal_imdb.hdf5' cannot be read: .*(ended by SIGSEGV|HDF5 says)"):
            source.read()

    def test_stall(self, source, monkeypatch):
        monkeypatch.setattr(mmimdb_hdf5_source, "MAX_SECONDS", 3.0)

        def change(data, header, entries):
            # The free space behind a heap's last list gets the size 0: the way to the next one leads back to it.
            place = data.index(b"GCOL") + 16
            while number := int.from_bytes(data[place : place + 2], "little"):
                size = int.from_bytes(data[place + 8 : place + 16], "little")
                place += 16 + -(-size // 8) * 8
                assert number < 1000
            data[place + 8 : place + 16] = bytes(8)

        self.changed(source, change)
        started = time.monotonic()
        with pytest.raises(ValueError, match=r"cannot be read: .*(took more than 3 seconds|HDF5 says)"):
            source.read()
        assert time.monotonic() - started < MAX_SECONDS

    @pytest.mark.parametrize("length", [0x1A << 24, 0x7F << 24])
    def test_memory(self, source, length):
        def change(data, header, entries):
            # A list of so many words of four bytes.
            data[entries : entries + 4] = length.to_bytes(4, "little")

        self.changed(source, change)
        with pytest.raises(ValueError, match="cannot be read: .*(allocat|memory|ended by)"):
            source.read()
        (process,) = limited_process._processes().values()
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines()
        (peak,) = [int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM")]
        assert peak < MAX_MEMORY < 4 * length


def test_the_worker_itself_never_opens_the_file(source, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(h5py, "File", None)
        listing = source.read()
        assert len(listing.rows) == ROWS and source.image(listing.rows[3]) and source.fingerprint("content")


def test_a_crash_while_an_image_is_read_is_an_error(source, tmp_path, monkeypatch):
    rows = source.read().rows
    script = tmp_path / "crash.py"
    script.write_text("import os\ndef answer(**request): os.kill(os.getpid(), 11)\n")
    monkeypatch.setattr(mmimdb_hdf5_source.mmimdb_hdf5_rows, "__file__", str(script))
    with pytest.raises(ValueError, match=r"ended by SIGSEGV, asked for its image {'row': 7}.*copy it again") as error:
        source.image(rows[7])
    assert not isinstance(error.value, SkipRowError)


@pytest.mark.parametrize(
    "answer",
    [
        "{'height': 8, 'width': 8}, [bytes(10)]",
        "{'height': 8, 'width': 8}, []",
        "{'height': 2**40, 'width': 2**40}, [bytes(10)]",
        "{'height': -8, 'width': -8}, [bytes(192)]",
    ],
)
def test_answers_are_not_trusted(source, tmp_path, monkeypatch, answer):
    row = source.read().rows[0]
    (tmp_path / "liar.py").write_text(f"def answer(**request): return {answer}\n")
    monkeypatch.setattr(mmimdb_hdf5_source.mmimdb_hdf5_rows, "__file__", str(tmp_path / "liar.py"))
    with pytest.raises(ValueError):
        source.image(row)
