import io
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from components.multimodal_example_gen.row import SkipRowError
from components.multimodal_example_gen.sources.mmimdb_source import GENRES, PUBLISHED_ROWS, MmimdbSource
from components.multimodal_example_gen.sources.registry import make_source
from tests.components.multimodal_example_gen import manifest_folder
from tests.layouts import mmimdb_folder

FIRST = mmimdb_folder.movie_id(0)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return mmimdb_folder.write_folder(tmp_path_factory.mktemp("mmimdb"))


@pytest.fixture
def folder(good, tmp_path):
    """A copy to break."""
    return shutil.copytree(good, tmp_path / "mmimdb")


def change(folder, movie=FIRST, **values):
    """Writes other values into a movie's JSON; `...` takes a key away."""
    path = folder / "dataset" / f"{movie}.json"
    content = json.loads(path.read_text()) | values
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))


def skips(folder, **settings):
    return [(skip.reason, skip.id) for skip in MmimdbSource(str(folder), **settings).read().skipped]


def test_the_23_genres_of_the_authors():
    # The most frequent first: 13967 dramas, 338 of film noir. News, Adult, Talk-Show and Reality-TV are not kept.
    assert len(GENRES) == 23 and GENRES[0] == "Drama" and GENRES[-1] == "Film-Noir"
    assert not {"News", "Adult", "Talk-Show", "Reality-TV"} & set(GENRES)
    assert PUBLISHED_ROWS == {"train": 15552, "dev": 2608, "test": 7799} and sum(PUBLISHED_ROWS.values()) == 25959


def test_records_are_those_of_an_independent_reader(good):
    expected = {}
    for split, movies in json.loads((good / "split.json").read_text()).items():
        for movie in movies:
            data = json.loads((good / "dataset" / f"{movie}.json").read_text())
            plot = data["plot"][int(np.argmax([len(text) for text in data["plot"]]))]
            expected[movie] = (split, plot.split("::")[0], tuple(data["genres"]), f"dataset/{movie}.jpeg")
    listing = MmimdbSource(str(good)).read()
    found = {row.id: (row.split, row.text, row.labels, row.media["image"]) for row in listing.rows}
    assert found == expected and len(listing.rows) == 50
    assert listing.skipped == [] and listing.classes == GENRES and listing.observed == {}
    assert all(movie.startswith("00") and len(movie) == 7 for movie in found)


@pytest.mark.parametrize(
    ("plot", "text"),
    [("longest", "Number 0 tells of"), ("first", "A "), ("outline", "Outline: ")],
)
def test_which_plot(good, plot, text):
    row = MmimdbSource(str(good), plot=plot).read().rows[0]
    assert row.text.startswith(text)


def test_without_an_outline_the_longest_plot_is_taken(folder):
    change(folder, **{"plot outline": ...})
    listing = MmimdbSource(str(folder), plot="outline").read()
    assert listing.rows[0].text.startswith("Number 0 tells of")
    assert listing.observed == {"no plot outline, the longest plot is taken": 1}


def test_a_genre_outside_the_classes_is_ignored_and_the_movie_kept(folder):
    change(folder, genres=["News", "Drama", "Drama", "Space-Opera"])
    listing = MmimdbSource(str(folder)).read()
    assert listing.rows[0].id == FIRST and listing.rows[0].labels == ("Drama",)
    assert listing.observed == {"genre ignored: News": 1, "genre ignored: (a name IMDb has not)": 1}


def test_the_vocabulary_is_an_argument(good):
    listing = MmimdbSource(str(good), classes=["Comedy", "Drama"]).read()
    assert {label for row in listing.rows for label in row.labels} == {"Comedy", "Drama"}
    assert {skip.reason for skip in listing.skipped} == {"no_known_genre"}
    # Of five genres in turn, every third movie has a second one.
    assert len(listing.rows) + len(listing.skipped) == 50 and listing.observed["genre ignored: Horror"] > 0


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"genres": ...}, "no_genres"),
        ({"genres": []}, "no_genres"),
        ({"genres": None}, "no_genres"),
        ({"genres": "Drama"}, "wrong_type"),
        ({"genres": [1]}, "wrong_type"),
        ({"genres": {"Drama": 1}}, "wrong_type"),
        ({"genres": ["News"]}, "no_known_genre"),
        ({"genres": ["drama"]}, "no_known_genre"),
        ({"plot": ...}, "empty_text"),
        ({"plot": []}, "empty_text"),
        ({"plot": [""]}, "empty_text"),
        ({"plot": [" \n", None]}, "empty_text"),
        ({"plot": ["::Somebody"]}, "empty_text"),
        ({"plot": "a text"}, "wrong_type"),
        ({"plot": [["a text"]]}, "wrong_type"),
        ({"plot": ["half a pair \ud800"]}, "not_utf8"),
        ({"plot": ["zero \0 byte"]}, "wrong_type"),
    ],
)
def test_a_movie_that_lacks_something_is_left_out(folder, values, reason):
    change(folder, **values)
    assert skips(folder) == [(reason, FIRST)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "broken_row"),
        (b"[]", "broken_row"),
        (b'{"genres": ["Drama"', "broken_row"),
        (b"[" * 100_000, "broken_row"),
        (b'{"votes": ' + b"9" * 5000 + b"}", "broken_row"),
        (b"\xff\xfe{}", "not_utf8"),
        (b'{"rating": NaN}', "no_genres"),
    ],
)
def test_a_broken_json_is_left_out(folder, content, reason):
    (folder / "dataset" / f"{FIRST}.json").write_bytes(content)
    assert skips(folder) == [(reason, FIRST)]


def test_missing_and_oversized_files(folder, monkeypatch):
    second, third = mmimdb_folder.movie_id(1), mmimdb_folder.movie_id(2)
    (folder / "dataset" / f"{FIRST}.json").unlink()
    (folder / "dataset" / f"{second}.jpeg").unlink()
    change(folder, third, title="long " * 2000)
    monkeypatch.setattr("components.multimodal_example_gen.sources.mmimdb_source.MAX_JSON_BYTES", 5000)
    assert skips(folder) == [("missing_file", FIRST), ("missing_image", second), ("file_too_large", third)]


@pytest.mark.parametrize(
    "entry",
    ["../0000001", "/etc/passwd", "tt0114709", "", "a", 114709, None, ["0000001"], {}, 1e400, "１２３", "1" * 9999],
)
def test_an_id_that_is_no_number_is_never_a_path(folder, entry):
    splits = mmimdb_folder.read_splits(folder)
    splits["train"][0] = entry
    (folder / "split.json").write_text(json.dumps(splits))
    source = MmimdbSource(str(folder))
    ((reason, place),) = skips(folder)
    assert reason == "wrong_id" and place == "split.json, train[0]"
    assert len(list(source.files())) == 1 + 2 * 49


def test_a_movie_in_two_splits_is_taken_once(folder):
    splits = mmimdb_folder.read_splits(folder)
    splits["test"].append(FIRST)
    splits["train"].append(FIRST)
    mmimdb_folder.write_splits(folder, splits)
    assert skips(folder) == [("duplicate_id", FIRST)] * 2


@pytest.mark.parametrize("extension", ["json", "jpeg"])
def test_a_link_out_of_the_folder_is_not_followed(folder, tmp_path, extension):
    inner = folder / "dataset" / f"{FIRST}.{extension}"
    outer = tmp_path / f"outer.{extension}"
    inner.rename(outer)
    inner.symlink_to(outer)
    assert skips(folder) == [("path_outside_root", FIRST)]
    assert not [path for _, path in MmimdbSource(str(folder)).files() if "outer" in path]


def test_a_link_that_comes_after_the_listing_is_not_followed(folder, tmp_path):
    source = MmimdbSource(str(folder))
    row = source.read().rows[0]
    inner = folder / row.media["image"]
    inner.rename(tmp_path / "outer.jpeg")
    inner.symlink_to(tmp_path / "outer.jpeg")
    with pytest.raises(SkipRowError) as error:
        source.image(row)
    assert error.value.reason == "path_outside_root"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b"[1]", "JSON object"),
        (b"[" * 100_000, "not JSON"),
        (b'{"train": [], "dev": []}', r"none under \['test'\]"),
        (b'{"train": [], "dev": {}, "test": "0114709"}', r"none under \['dev', 'test'\]"),
    ],
)
def test_a_broken_split_file_is_an_error(folder, content, message):
    (folder / "split.json").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        MmimdbSource(str(folder)).read()


def test_no_split_file_is_an_error_that_helps(tmp_path):
    with pytest.raises(FileNotFoundError, match="Unpack mmimdb.tar.gz"):
        MmimdbSource(str(tmp_path)).read()


def test_a_split_file_elsewhere_is_not_read(folder, tmp_path):
    (folder / "split.json").rename(tmp_path / "split.json")
    (folder / "split.json").symlink_to(tmp_path / "split.json")
    with pytest.raises(ValueError, match="leads out of the data root"):
        MmimdbSource(str(folder)).read()


def test_posters_of_every_colour_mode_become_rgb(good):
    source = MmimdbSource(str(good))
    rows = {row.id: row for row in source.read().rows}
    for number in range(4):
        row = rows[mmimdb_folder.movie_id(number)]
        with Image.open(good / row.media["image"]) as image:
            assert image.mode == mmimdb_folder.MODES[number]
        found = Image.open(io.BytesIO(source.image(row)))
        assert found.mode in ("RGB", "L") and found.size == (64, 96) and found.format in ("PNG", "JPEG")
        found = found.convert("RGB")
        expected = mmimdb_folder.poster(list(row.labels), number)
        if mmimdb_folder.MODES[number] == "L":
            expected = expected.convert("L").convert("RGB")
        difference = np.asarray(found, float) - np.asarray(expected, float)
        assert np.abs(difference).mean() < 8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"plot": "shortest"}, "longest"),
        ({"classes": ["Drama"]}, "two or more"),
        ({"classes": ["Drama", "Drama"]}, "two or more"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        make_source("mmimdb", {"data_root": "x", **settings})


class TestFingerprint:
    @pytest.mark.parametrize("by", ["content", "metadata"])
    @pytest.mark.parametrize("extension", ["json", "jpeg"])
    def test_one_changed_file_is_another_fingerprint(self, folder, extension, by):
        before = MmimdbSource(str(folder)).fingerprint(by)
        path = folder / "dataset" / f"{mmimdb_folder.movie_id(49)}.{extension}"
        path.write_bytes(path.read_bytes() + b" ")
        assert MmimdbSource(str(folder)).fingerprint(by) != before

    def test_another_split_is_another_fingerprint(self, folder):
        before = MmimdbSource(str(folder)).fingerprint()
        splits = mmimdb_folder.read_splits(folder)
        splits["train"].append(splits["dev"].pop())
        mmimdb_folder.write_splits(folder, splits)
        assert MmimdbSource(str(folder)).fingerprint() != before

    def test_a_copy_has_the_same_content(self, good, folder):
        assert MmimdbSource(str(folder)).fingerprint("content") == MmimdbSource(str(good)).fingerprint("content")

    def test_by_default_a_touched_file_is_another(self, folder):
        source = MmimdbSource(str(folder))
        before = source.fingerprint(), source.fingerprint("content")
        assert before[0].startswith("metadata:")
        os.utime(folder / "dataset" / f"{FIRST}.jpeg", ns=(1, 1))
        assert source.fingerprint() != before[0] and source.fingerprint("content") == before[1]


@pytest.fixture(scope="module")
def ingested(good, tmp_path_factory):
    """Two runs over the same files, one poster cut short; reports and examples."""
    folder = shutil.copytree(good, tmp_path_factory.mktemp("cut") / "mmimdb")
    poster = folder / "dataset" / f"{FIRST}.jpeg"
    poster.write_bytes(poster.read_bytes()[:-200])
    source = MmimdbSource(str(folder))
    return [manifest_folder.run_ingest(source, tmp_path_factory.mktemp("examples")) for _ in range(2)]


def test_two_runs_write_the_same(ingested):
    assert ingested[0] == ingested[1]


def test_report(ingested):
    report, by_split = ingested[0]
    assert report["rows"] == {"train": 29, "dev": 5, "test": 15} == {name: len(rows) for name, rows in by_split.items()}
    assert report["published_rows"] == {"train": 15552, "dev": 2608, "test": 7799}
    assert list(report["skipped"]) == ["unreadable_image"]
    assert report["skipped"]["unreadable_image"]["ids"] == [FIRST]
    assert report["multi_label"] and report["classes"] == list(GENRES)
    assert any("differ from the paper's" in warning for warning in report["warnings"])
    assert any(warning.startswith("train has no row of") and "'War'" in warning for warning in report["warnings"])


def test_pictures_texts_and_labels_belong_together(ingested):
    _, by_split = ingested[0]
    numbers = {mmimdb_folder.movie_id(number): number for number in range(50)}
    for split, examples in by_split.items():
        for example in examples:
            number = numbers[manifest_folder.value_of(example, "id").decode()]
            movie = mmimdb_folder.movie(number)
            labels = [label.decode() for label in example.features.feature["labels"].bytes_list.value]
            assert labels == movie["genres"] and mmimdb_folder.split_of(number) == split
            assert manifest_folder.value_of(example, "text").decode().startswith(f"Number {number} tells")
            if mmimdb_folder.MODES[number % 4] == "RGB":
                found = np.asarray(Image.open(io.BytesIO(manifest_folder.value_of(example, "image"))), float)
                expected = np.asarray(mmimdb_folder.poster(labels, number), float)
                # JPEG is not exact; the noise of another poster would differ by more.
                assert np.abs(found - expected).mean() < 8
