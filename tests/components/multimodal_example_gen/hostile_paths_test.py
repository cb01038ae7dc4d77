"""Paths that strangers write, and links in a data folder: nothing outside of it is ever read, in no source."""

from __future__ import annotations

import io
import json
import os
import random

import pytest
from PIL import Image

from components.multimodal_example_gen.record import inside
from components.multimodal_example_gen.row import SkipRowError
from components.multimodal_example_gen.sources.harm_source import HarmSource
from components.multimodal_example_gen.sources.manifest_source import ManifestSource
from components.multimodal_example_gen.sources.mmimdb_source import MmimdbSource
from pipeline import score
from tests.components.multimodal_example_gen import manifest_folder
from tests.layouts import harm_folder, mmimdb_folder

#: Outside of every folder that is read here.
SECRET = (1, 2, 3)
#: Each leads to the secret if it is taken as it stands: `{outside}` is its folder, `{up}` a way up to it.
TO_THE_SECRET = (
    *("{outside}/secret.png", "file://{outside}/secret.png", "//{outside}/secret.png", "{outside}//secret.png"),
    *(
        "../outside/secret.png",
        "./../outside/secret.png",
        "a/../../outside/secret.png",
        "a/b/../../../outside/secret.png",
    ),
    *("..\\outside\\secret.png", "a\\..\\..\\outside\\secret.png", "../outside\\secret.png", "..//outside/secret.png"),
    *("..%2foutside%2fsecret.png", "%2e%2e/outside/secret.png", "..%5coutside%5csecret.png"),
    *(" ../outside/secret.png", "../outside/secret.png ", "\t../outside/secret.png", "../outside/secret.png\0.png"),
    *(
        "~/secret.png",
        "$OUTSIDE/secret.png",
        "${{OUTSIDE}}/secret.png",
        "C:\\outside\\secret.png",
        "\\\\host\\secret.png",
    ),
    *("../data-neighbour/secret.png", "../data/../outside/secret.png", "{up}/{outside}/secret.png"),
    # By links, which `links` makes.
    *(
        "link.png",
        "folder/secret.png",
        "folder/../outside/secret.png",
        "far/secret.png",
        "chain.png",
        "root{outside}/secret.png",
    ),
    *("within.png/../link.png", "absolute.png", "sub/up/outside/secret.png", "neighbour/secret.png"),
)
#: Nothing that is a picture in the folder, and nothing that must be opened.
NOWHERE = (
    *("", " ", ".", "..", "/", "\\", "\0", "a\0b.png", "loop.png", "pipe.png", "a", "/dev/zero", "/proc/self/environ"),
    *("x" * 300 + ".png", "a/" * 3000 + "x.png", "CON", "a.png/b.png", "http://localhost:1/x.png", "gs://bucket/x.png"),
    *(
        "data:image/png;base64,iVBORw0KGgo=",
        "zip://a.zip!x.png",
        "ram://x.png",
        "\u2024\u2024/secret.png",
        "\u202egnp.x",
    ),
)


@pytest.fixture
def outside(tmp_path, monkeypatch):
    folder = tmp_path / "outside"
    for place in (folder, tmp_path / "data-neighbour"):
        place.mkdir()
        Image.new("RGB", (8, 8), SECRET).save(place / "secret.png")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("OUTSIDE", str(folder))
    return folder


def links(root, outside):
    """Links out of a data folder of all kinds, and one that stays in it."""
    (root / "a" / "b").mkdir(parents=True)
    (root / "sub").mkdir()
    Image.new("RGB", (8, 8), "red").save(root / "inner.png")
    os.symlink(outside / "secret.png", root / "absolute.png")
    os.symlink("../outside/secret.png", root / "link.png")
    os.symlink("link.png", root / "chain.png")
    os.symlink("../outside", root / "folder")
    os.symlink("sub/up/outside", root / "far")
    os.symlink("../..", root / "sub" / "up")
    os.symlink("../data-neighbour", root / "neighbour")
    os.symlink("/", root / "root")
    os.symlink("loop.png", root / "loop.png")
    os.symlink("inner.png", root / "within.png")
    os.mkfifo(root / "pipe.png")


def hostile(outside):
    up = "/".join([".."] * 30)
    return [path.format(outside=outside, up=up) for path in TO_THE_SECRET] + list(NOWHERE)


def pictures_read(source):
    """Pixels of all that a source hands out, by id."""
    assert source.fingerprint()
    read = {}
    for row in source.read().rows:
        try:
            picture = source.features(row)["image"]
        except SkipRowError as error:
            assert str(error)
            continue
        if not picture:
            # An empty path is a row without a picture.
            assert not row.media["image"]
            continue
        with Image.open(io.BytesIO(picture)) as image:
            read[row.id] = image.convert("RGB").getpixel((4, 4))
    return read


def test_there_are_32_and_more(outside):
    assert len(set(hostile(outside))) >= 32


def test_the_secret_would_be_found(outside, tmp_path):
    """The paths are what they are said to be: many of them lead there where nobody looks at them."""
    root = tmp_path / "data"
    root.mkdir()
    links(root, outside)
    found = [path for path in hostile(outside) if "\0" not in path and os.path.isfile(os.path.join(root, path))]
    reached = [path for path in found if not os.path.realpath(os.path.join(root, path)).startswith(f"{root}/")]
    assert len(reached) > 16


def test_a_manifest(outside, tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    links(root, outside)
    good = [{**row, "image": "within.png"} for row in manifest_folder.rows(6)]
    records = [{**good[0], "id": f"hostile-{number}", "image": path} for number, path in enumerate(hostile(outside))]
    source = ManifestSource(manifest_folder.write_jsonl(root, [*good, *records]), strict=False)
    read = pictures_read(source)
    assert set(read) == {row["id"] for row in good}
    # A link that comes after the manifest was read.
    rows = source.read().rows
    (root / "within.png").unlink()
    os.symlink("link.png", root / "within.png")
    with pytest.raises(SkipRowError, match="path_outside_root"):
        source.features(rows[0])


def test_rows_to_be_scored(outside, tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    links(root, outside)
    secret = (outside / "secret.png").read_bytes()
    assert score._picture(str(root), {"image": "within.png"})[1] == ""
    for path in hostile(outside):
        picture, error = score._picture(str(root), {"image": path})
        assert error and picture == b"", path
        assert picture != secret


def test_harm(outside, tmp_path):
    root = harm_folder.write_folder(tmp_path / "data", "P", 60)
    pictures = root / HarmSource("P", str(root)).images
    links(pictures, outside)
    (file,) = root.rglob("train_v1.jsonl")
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    lines += [{**lines[0], "id": f"hostile-{n}", "image": path} for n, path in enumerate(hostile(outside))]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    read = pictures_read(HarmSource("P", str(root)))
    assert len(read) == 60 and SECRET not in read.values()
    assert not [name for name in read if name.startswith("hostile")]


def test_mmimdb(outside, tmp_path):
    root = mmimdb_folder.write_folder(tmp_path / "data", 50, size=(16, 24))
    links(root / "dataset", outside)
    splits = json.loads((root / "split.json").read_text(encoding="utf-8"))
    ids = [path.removesuffix(".png") for path in hostile(outside)]
    record = (root / "dataset" / f"{splits['train'][0]}.json").read_text(encoding="utf-8")
    # Beside the secret all that a movie needs.
    (outside / "secret.json").write_text(record, encoding="utf-8")
    Image.new("RGB", (8, 8), SECRET).save(outside / "secret.jpeg")
    splits["train"] += ids
    (root / "split.json").write_text(json.dumps(splits), encoding="utf-8")
    try:
        read = pictures_read(MmimdbSource(str(root)))
    except ValueError as error:
        # Ids have seven digits: a file with others is refused as a whole.
        assert "split.json" in str(error)
    else:
        assert SECRET not in read.values() and len(read) == 50


@pytest.mark.parametrize("number", [2000])
def test_paths_made_at_random_stay_inside_or_are_refused(outside, tmp_path, number):
    root = tmp_path / "data"
    root.mkdir()
    links(root, outside)
    draw = random.Random(3)
    parts = ["..", ".", "", "a", "b", "sub", "up", "folder", "outside", "secret.png", "inner.png", "within.png", "root"]
    parts += [str(outside), "\\", "..\\", "~", "data", "link.png", " ", "\n", "%2e%2e", "C:", "file:", "\ud800"]
    kept = 0
    for _ in range(number):
        path = draw.choice(["/", "//", "\\", "/./"]).join(draw.choices(parts, k=draw.randint(1, 6)))
        try:
            found = inside(str(root), path, "image")
        except SkipRowError as error:
            assert error.reason == "path_outside_root"
        except UnicodeEncodeError:
            # Rows with half a surrogate pair are left out before.
            assert "\ud800" in path
        else:
            kept += 1
            assert os.path.realpath(found) == found and os.path.commonpath([root, found]) == str(root), path
    assert number / 20 < kept < number
