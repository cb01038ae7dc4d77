import io
import json
import shutil

import h5py
import numpy as np
import pytest
from PIL import Image

from components.multimodal_example_gen.row import SkipRowError
from components.multimodal_example_gen.sources.mmimdb_hdf5_source import MmimdbHdf5Source
from components.multimodal_example_gen.sources.mmimdb_source import GENRES
from tests.components.multimodal_example_gen import manifest_folder
from tests.layouts import mmimdb_folder, mmimdb_hdf5


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return mmimdb_hdf5.write_file(tmp_path_factory.mktemp("hdf5")).parent


@pytest.fixture
def folder(good, tmp_path):
    """A copy to break."""
    return shutil.copytree(good, tmp_path / "mmimdb")


def opened(folder):
    return h5py.File(folder / mmimdb_hdf5.NAME, "r+")


def replace(folder, name, **dataset):
    """Puts another dataset in the place of one."""
    with opened(folder) as file:
        attributes = dict(file[name].attrs)
        del file[name]
        file.create_dataset(name, **dataset)
        file[name].attrs.update(attributes)


def read(folder, **settings):
    return MmimdbHdf5Source(str(folder), **settings).read()


def test_records_are_those_of_an_independent_reader(good):
    expected = {}
    with h5py.File(good / "multimodal_imdb.hdf5") as file:
        names = np.array(json.loads(file["genres"].attrs["target_names"]))
        for row in file.attrs["split"]:
            if row["source"] == b"imdb_ids":
                for index in range(row["start"], row["stop"]):
                    expected[file["imdb_ids"][index].decode()] = (
                        row["split"].decode(),
                        " ".join(str(word) for word in file["sequences"][index]),
                        tuple(names[file["genres"][index] == 1]),
                    )
    listing = read(good)
    assert {row.id: (row.split, row.text, row.labels) for row in listing.rows} == expected
    assert len(expected) == 50 and listing.skipped == [] and listing.classes == GENRES
    assert tuple(names) == GENRES


def test_the_same_movies_as_in_the_folder(good):
    for row in read(good).rows:
        (number,) = [number for number in range(50) if mmimdb_folder.movie_id(number) == row.id]
        # Most frequent first, not as the movie lists them.
        assert set(row.labels) == set(mmimdb_folder.movie(number)["genres"])
        assert row.split == mmimdb_folder.split_of(number)


def test_images_are_the_posters_again(good):
    source = MmimdbHdf5Source(str(good))
    numbers = mmimdb_hdf5.order(50)
    for row in source.read().rows[::7]:
        number = numbers[row.media["row"]]
        assert mmimdb_folder.movie_id(number) == row.id
        found = np.asarray(Image.open(io.BytesIO(source.image(row))))
        expected = np.array(mmimdb_folder.poster(mmimdb_folder.movie(number)["genres"], number, (40, 64)))
        # Red, green and blue; 1 less where the fraction of the mean made two levels one.
        expected -= expected == (124, 117, 104)
        np.testing.assert_array_equal(found, expected)


def test_every_level_of_every_channel(folder):
    levels = np.arange(256)
    ramps = np.stack([levels, levels[::-1], np.roll(levels, 100)])
    # What float32 less the mean becomes in a dataset of int32, as the authors store it.
    stored = (ramps[::-1].astype("float32") - np.float32([[103.939], [116.779], [123.68]])).reshape(1, 3, 16, 16)
    replace(folder, "images", shape=(50, 3, 16, 16), dtype="i4")
    with opened(folder) as file:
        file["images"][0] = stored[0]
        assert file["images"][0].min() < 0
    source = MmimdbHdf5Source(str(folder))
    found = np.asarray(Image.open(io.BytesIO(source.image(source.read().rows[0])))).reshape(256, 3).T
    assert np.flatnonzero((found != ramps).any(axis=1)).tolist() == [0, 1, 2]
    assert [ramp[one != ramp].tolist() for one, ramp in zip(found, ramps, strict=True)] == [[124], [117], [104]]
    assert (ramps.astype(int) - found).max() == 1


class TestSplit:
    def test_without_it_the_order_of_the_authors_rows_is_known(self, tmp_path, monkeypatch):
        mmimdb_hdf5.write_file(tmp_path, with_split=False)
        # The real 15552, 2608 and 7799 take a minute to write.
        monkeypatch.setattr(
            "components.multimodal_example_gen.sources.mmimdb_hdf5_source.PUBLISHED_ROWS",
            {"train": 20, "dev": 3, "test": 27},
        )
        assert [row.split for row in read(tmp_path).rows] == ["train"] * 20 + ["dev"] * 3 + ["test"] * 27

    def test_without_it_any_other_number_of_rows_is_refused(self, tmp_path):
        mmimdb_hdf5.write_file(tmp_path, with_split=False)
        with pytest.raises(ValueError, match="50 rows and no attribute `split`.*25959"):
            read(tmp_path)

    @pytest.mark.parametrize(
        ("ranges", "message"),
        [
            ({"train": (0, 30), "dev": (30, 35)}, "'test'"),
            ({"train": (0, 30), "dev": (29, 35), "test": (35, 50)}, "overlap"),
            ({"train": (0, 30), "dev": (30, 35), "test": (35, 51)}, "within 50"),
            ({"train": (0, 30), "dev": (35, 30), "test": (35, 50)}, "within 50"),
            ({"train": (-5, 30), "dev": (30, 35), "test": (35, 50)}, "within 50"),
        ],
    )
    def test_wrong_ranges(self, folder, ranges, message):
        with opened(folder) as file:
            file.attrs["split"] = mmimdb_hdf5.split_array(ranges, ("images", "sequences", "genres", "imdb_ids"))
        with pytest.raises(ValueError, match=message):
            read(folder)

    def test_datasets_that_are_split_differently(self, folder):
        with opened(folder) as file:
            table = file.attrs["split"]
            table["stop"][np.flatnonzero(table["source"] == b"images")[0]] -= 1
            file.attrs["split"] = table
        with pytest.raises(ValueError, match="one range of rows for all"):
            read(folder)

    def test_a_list_of_rows_is_refused(self, folder):
        with opened(folder) as file:
            table = file.attrs["split"]
            table["indices"][2] = file["genres"].ref
            file.attrs["split"] = table
        with pytest.raises(ValueError, match="no plain range"):
            read(folder)

    @pytest.mark.parametrize("value", [3, "train", np.zeros(4), np.array([b"train"])])
    def test_something_else(self, folder, value):
        with opened(folder) as file:
            file.attrs["split"] = value
        with pytest.raises(ValueError, match="Fuel"):
            read(folder)

    def test_rows_outside_every_split_are_left_out(self, folder):
        with opened(folder) as file:
            ranges = {"train": (0, 30), "dev": (32, 35), "test": (35, 50)}
            file.attrs["split"] = mmimdb_hdf5.split_array(ranges, ("images", "sequences", "genres", "imdb_ids"))
        listing = read(folder)
        assert [skip.reason for skip in listing.skipped] == ["no_split"] * 2 and len(listing.rows) == 48


def test_rows_that_cannot_be_used(folder):
    with opened(folder) as file:
        ids = [file["imdb_ids"][index].decode() for index in range(11)]
        file["imdb_ids"][0] = b"../etc"
        file["imdb_ids"][1] = b"tt01147"
        file["imdb_ids"][3] = ids[2].encode()
        file["genres"][4] = 0
        file["genres"][5, 0] = 7
        file["sequences"][6] = np.array([], np.int32)
        file["sequences"][7] = np.array([3, -1], np.int32)
        # The lightest blue is 255 - 103.939, the darkest red -123.68.
        file["images"][8, 0, 0, 0] = 152
        file["images"][9, 2, 0, 0] = -124
        file["images"][10, 0, 0, 0] = 2**31 - 1
    listing = read(folder)
    assert [(skip.reason, skip.id) for skip in listing.skipped] == [
        ("wrong_id", "row 0"),
        ("wrong_id", "row 1"),
        ("duplicate_id", ids[2]),
        ("no_genres", ids[4]),
        ("wrong_type", ids[5]),
        ("empty_text", ids[6]),
        ("wrong_type", ids[7]),
    ]
    broken = [row for row in listing.rows if row.id in ids[8:]]
    assert len(broken) == 3
    for row in broken:
        with pytest.raises(SkipRowError, match="no levels of blue, green and red"):
            MmimdbHdf5Source(str(folder)).image(row)


def test_many_rows_that_name_one_list_of_words(folder, monkeypatch):
    with opened(folder) as file:
        file["sequences"][0] = np.arange(1000, dtype=np.int32)
        words = sum(len(sequence) for sequence in file["sequences"][1:])
        place = file["sequences"].id.get_offset()
    monkeypatch.setattr("components.multimodal_example_gen.sources.mmimdb_hdf5_source.MAX_ALL_WORDS", 1000 + words)
    assert len(read(folder).rows) == 50
    # An entry has 16 bytes: how many words there are, and where.
    data = bytearray((folder / mmimdb_hdf5.NAME).read_bytes())
    data[place : place + 50 * 16] = data[place : place + 16] * 50
    (folder / mmimdb_hdf5.NAME).write_bytes(data)
    with pytest.raises(ValueError, match=f"more than {1000 + words} words"):
        read(folder)


def test_the_vocabulary_is_an_argument(good):
    listing = read(good, classes=["Comedy", "Drama"])
    assert {label for row in listing.rows for label in row.labels} == {"Comedy", "Drama"}
    assert {skip.reason for skip in listing.skipped} == {"no_known_genre"}
    assert listing.observed["genre ignored: Horror"] > 0
    with pytest.raises(ValueError, match="no genres.*Polka"):
        read(good, classes=["Drama", "Polka"])


VLEN = h5py.special_dtype(vlen=np.dtype("int32"))


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("imdb_ids", {"data": np.arange(50)}),
        ("imdb_ids", {"shape": (50, 2), "dtype": "S7"}),
        ("imdb_ids", {"shape": (50,), "dtype": "S1000"}),
        ("imdb_ids", {"shape": (2**40,), "dtype": "S7"}),
        ("imdb_ids", {"data": np.bytes_(b"0000001")}),
        ("genres", {"shape": (50, 23), "dtype": "f4"}),
        ("genres", {"shape": (49, 23), "dtype": "i4"}),
        ("genres", {"shape": (50, 22), "dtype": "i4"}),
        ("genres", {"shape": (50, 2**30), "dtype": "i4"}),
        ("sequences", {"shape": (50,), "dtype": "i4"}),
        ("sequences", {"shape": (50,), "dtype": h5py.special_dtype(vlen=str)}),
        ("sequences", {"shape": (49,), "dtype": VLEN}),
        ("images", {"shape": (50, 64, 40, 3), "dtype": "i4"}),
        ("images", {"shape": (50, 3, 64, 40), "dtype": "f4"}),
        ("images", {"shape": (50, 3, 0, 40), "dtype": "i4"}),
        ("images", {"shape": (50, 3, 2**20, 2**20), "dtype": "i4", "chunks": (1, 1, 64, 64)}),
        ("images", {"shape": (50, 3, 6000, 6000), "dtype": "i4", "chunks": (50, 3, 1200, 1200)}),
    ],
)
def test_datasets_of_other_shapes_and_types_are_refused_unread(folder, name, dataset):
    replace(folder, name, **dataset)
    with pytest.raises(ValueError, match=name):
        read(folder)


@pytest.mark.parametrize("names", ["[", '["Drama"]', "[1, 2]", "{}", json.dumps(["Drama"] * 23), 7])
def test_wrong_names_of_genres(folder, names):
    with opened(folder) as file:
        file["genres"].attrs["target_names"] = names
    with pytest.raises(ValueError, match="target_names"):
        read(folder)


@pytest.mark.parametrize("kind", ["soft", "external", "virtual", "storage", "group", "missing"])
def test_nothing_is_read_from_other_files(folder, tmp_path, kind):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other.create_dataset("images", (50, 3, 64, 40), dtype="i4")
    (tmp_path / "raw").write_bytes(b"\0" * 50 * 3 * 64 * 40 * 4)
    with opened(folder) as file:
        file.move("images", "elsewhere")
        if kind == "soft":
            file["images"] = h5py.SoftLink("/elsewhere")
        elif kind == "external":
            file["images"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "images")
        elif kind == "virtual":
            layout = h5py.VirtualLayout((50, 3, 64, 40), "i4")
            layout[...] = h5py.VirtualSource(str(tmp_path / "other.h5"), "images", (50, 3, 64, 40))
            file.create_virtual_dataset("images", layout)
        elif kind == "storage":
            where = [(str(tmp_path / "raw"), 0, h5py.h5f.UNLIMITED)]
            file.create_dataset("images", (50, 3, 64, 40), dtype="i4", external=where)
        elif kind == "group":
            file.create_group("images")
    with pytest.raises(ValueError, match="no dataset 'images' of its own|lies in other files"):
        read(folder)


@pytest.mark.parametrize("content", [b"", b"no HDF5", b"\x89HDF\r\n\x1a\n" + b"\0" * 100])
def test_no_hdf5(tmp_path, content):
    (tmp_path / mmimdb_hdf5.NAME).write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read"):
        read(tmp_path)


def test_cut_short(folder):
    path = folder / mmimdb_hdf5.NAME
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match="cannot be read"):
        read(folder)


def test_no_file_is_an_error_that_helps(tmp_path):
    with pytest.raises(FileNotFoundError, match="source 'mmimdb'"):
        read(tmp_path)


def test_a_link_out_of_the_folder_is_not_followed(good, tmp_path):
    (tmp_path / mmimdb_hdf5.NAME).symlink_to(good / mmimdb_hdf5.NAME)
    with pytest.raises(ValueError, match="leads out of the data root"):
        read(tmp_path)


def test_the_pickle_beside_it_is_not_read(folder):
    (folder / "metadata.npy").write_bytes(b"\x80\x04would run what it says")
    assert [name for name, _ in MmimdbHdf5Source(str(folder)).files()] == ["multimodal_imdb.hdf5"]
    assert len(read(folder).rows) == 50


def test_a_changed_file_is_another_fingerprint(folder):
    source = MmimdbHdf5Source(str(folder))
    before = source.fingerprint(), source.fingerprint("content")
    with opened(folder) as file:
        file["genres"][0] = 1
    assert before[0].startswith("metadata:")
    assert source.fingerprint() != before[0] and source.fingerprint("content") != before[1]


def test_two_runs_write_the_same(good, tmp_path):
    reports = [manifest_folder.run_ingest(MmimdbHdf5Source(str(good)), tmp_path / name) for name in ("a", "b")]
    assert reports[0] == reports[1]
    report, by_split = reports[0]
    assert report["rows"] == {"train": 30, "dev": 5, "test": 15} == {name: len(rows) for name, rows in by_split.items()}
    numbers = {mmimdb_folder.movie_id(number): number for number in range(50)}
    for example in by_split["test"]:
        number = numbers[manifest_folder.value_of(example, "id").decode()]
        words = " ".join(str(word) for word in mmimdb_hdf5.words_of(number))
        assert manifest_folder.value_of(example, "text").decode() == words
