"""The set made from drawings: what gives a label, what a text may say, what stays in one split."""

import collections
import json

import numpy as np
import pytest
from PIL import Image

from benchmarks.openclipart import LARGEST_SERIES, PACKAGES, SPLIT_SHARES, write_manifest

SVG = """<svg xmlns:cc="x" xmlns:dc="y" xmlns:rdf="z"><metadata><cc:Work><dc:title>{title}</dc:title>
<dc:description>{description}</dc:description><dc:subject><rdf:Bag>{keywords}</rdf:Bag></dc:subject>
</cc:Work></metadata><path d="{body}"/></svg>"""


class Packages:
    """Drawings as the unpacked packages have them."""

    def __init__(self, folder):
        self.folder = folder
        self.unpacked = folder / "packages" / "unpacked"
        self.generator = np.random.default_rng(0)
        self.unpacked.mkdir(parents=True)
        for package in PACKAGES:
            (self.unpacked / f".{package}").touch()

    def add(self, name, title="", description="", keywords=(), body=None, pixels=None):
        root = self.unpacked / "usr" / "share" / "openclipart"
        for kind in ("svg", "png"):
            (root / kind / name).parent.mkdir(parents=True, exist_ok=True)
        items = "".join(f"<rdf:li>{keyword}</rdf:li>" for keyword in keywords)
        text = SVG.format(title=title, description=description, keywords=items, body=name if body is None else body)
        (root / "svg" / f"{name}.svg").write_text(text, encoding="utf-8")
        if pixels is None:
            pixels = self.generator.integers(0, 256, (9, 12, 3))
        # Large enough that eight times eight places can be told apart.
        Image.fromarray(np.kron(pixels, np.ones((4, 4, 1))).astype("uint8")).save(root / "png" / f"{name}.png")

    def rows(self):
        lines = write_manifest(self.folder).read_text(encoding="utf-8").splitlines()
        return {row["id"]: row for row in map(json.loads, lines)}


@pytest.fixture
def packages(tmp_path):
    return Packages(tmp_path)


def test_keywords_and_folders_give_labels_and_general_ones_bring_others_along(packages):
    packages.add("animals/birds/robin_a", "Robin", keywords=["Christmas", "nothing known"])
    packages.add("unsorted/pie_b", "A pie", "With &amp; cream", keywords=["cake", "Ice Cream"])
    packages.add("unsorted/thing_c", "A thing", keywords=["unheard of"])
    rows = packages.rows()
    assert set(rows) == {"animals/birds/robin_a", "unsorted/pie_b"}
    assert set(rows["animals/birds/robin_a"]["labels"]) == {"animal", "bird", "holiday"}
    assert set(rows["unsorted/pie_b"]["labels"]) == {"dessert", "food"}
    assert rows["unsorted/pie_b"]["text"] == "A pie. With & cream"
    image = packages.folder / rows["unsorted/pie_b"]["image"]
    assert image.is_file() and not rows["unsorted/pie_b"]["image"].startswith("/")


def test_no_text_names_a_label(packages):
    packages.add("x/a", "The Animals' Flag of a dog", "See http://example.org/x with_birds/now", keywords=["dog"])
    # Nothing is left of these.
    packages.add("x/b", "Animals", keywords=["dog"])
    packages.add("x/c", "untitled", "Clipart by Jo - Flag", keywords=["dog"])
    packages.add("x/d", "Lemon-theme icon", keywords=["dog"])
    rows = packages.rows()
    assert {name: row["text"] for name, row in rows.items()} == {"x/a": "The ' of a dog. See with now"}


def test_a_drawing_in_two_folders_is_one_row(packages):
    packages.add("animals/a", "Robin", keywords=["bird"], body="same")
    packages.add("flags/b", "Another title", keywords=["cake"], body="same")
    (row,) = packages.rows().values()
    assert row["id"] == "animals/a" and row["text"] == "Robin"
    assert set(row["labels"]) == {"animal", "bird", "flag", "dessert", "food"}


def test_what_is_nearly_the_same_stays_in_one_split_and_series_are_short(packages):
    picture = packages.generator.integers(0, 256, (9, 12, 3))
    for number in range(40):
        packages.add(
            f"tools/other{chr(97 + number // 26)}{chr(97 + number % 26)}", f"Word{chr(97 + number % 26)} {number}x"
        )
    for number in range(LARGEST_SERIES + 5):
        packages.add(f"tools/hammer_{number}", f"Hammer number {'abcdefghijklmnop'[number]}q")
    packages.add("tools/first", "Some words", pixels=picture)
    packages.add("tools/second", "Different ones", pixels=picture + 1)
    packages.add("flags/third", "Some  WORDS 3")
    rows = packages.rows()
    series = [row for name, row in rows.items() if name.startswith("tools/hammer")]
    assert len(series) == LARGEST_SERIES and len({row["split"] for row in series}) == 1
    twins = [rows[name]["split"] for name in ("tools/first", "tools/second", "flags/third")]
    assert len(set(twins)) == 1


def test_splits_have_their_shares_of_rows_and_of_every_label(packages):
    for number in range(200):
        letters = "".join(chr(97 + number // 26**place % 26) for place in range(3))
        keywords = ["dog"] if number % 4 else ["dog", "flag"]
        packages.add(f"x/{letters}{letters}", f"{letters}{letters} stands", keywords=keywords)
    rows = packages.rows().values()
    for label in ("animal", "flag"):
        counts = collections.Counter(row["split"] for row in rows if label in row["labels"])
        for split, share in SPLIT_SHARES.items():
            assert counts[split] / counts.total() == pytest.approx(share, abs=0.03)
    # It is found there, not built anew.
    manifest = packages.folder / "openclipart.jsonl"
    manifest.write_text("", encoding="utf-8")
    assert write_manifest(packages.folder) == manifest and not manifest.read_text(encoding="utf-8")


def test_packages_that_cannot_be_fetched_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"Cannot fetch openclipart-png: .*put openclipart-png_\*\.deb into"):
        write_manifest(tmp_path)
