"""A real multi-label set: the drawings of Debian's openclipart with their titles and keywords, public domain.

2,814 drawings, 24 labels (1.5 a row), train, dev and test 1,676, 296 and 842. The pictures stay in the unpacked
packages and enter no repository. `write_manifest` fetches what it needs, 156 MB, on Debian or Ubuntu:

    apt-get update                                       # as root, once
    cd FOLDER/packages
    apt-get download openclipart-png openclipart-svg
    dpkg-deb -x openclipart-png_*.deb unpacked
    dpkg-deb -x openclipart-svg_*.deb unpacked

There is no chance in it: the same packages give the same rows, and orders come from SHA-1. Another version of Pillow
scales pictures a little otherwise and may see a pair of twins more or less, which moves some groups to other splits.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import html
import json
import os
import pathlib
import re
import subprocess
import warnings
from collections.abc import Iterable, Iterator, Sequence

from PIL import Image

PACKAGES = ("openclipart-png", "openclipart-svg")
LABELS = 24
#: Of a series of drawings with one file name or one text, so many are kept.
LARGEST_SERIES = 8
#: Share of the rows by split.
SPLIT_SHARES = {"train": 0.6, "dev": 0.1, "test": 0.3}
_MOST_PIXELS = 20_000_000
_LEAST_SIDE = 8
_LARGEST_GROUP_TO_DEAL_LATE = 5
# Of two pictures: different bits of 64, and difference of 16 mean colours, below which they show the same.
_SAME_BITS, _SAME_COLOURS = 4, 12 * 48

# Which keywords and names of folders give a label. Those before the bar are general and are cut from the texts, so that
# no text names a label; those behind it may stay, as "dog" would in a caption.
_KEYWORDS = {
    "animal": "animals | dog cat bear penguin dinosaur dinosaurs fish cow horse rodent",
    "mammal": "mammals | dog cat bear cow horse rodent",
    "bird": "birds | penguin",
    "insect": "insects bug bugs | butterfly bee ant",
    "food": "foods menu meats_and_eggs breads_and_carbs dairy protein carbohydrate"
    " | vegetable vegetables meat bread pizza",
    "fruit": "fruits | apple",
    "dessert": "desserts | icecream ice_cream cake cookie",
    "beverage": "beverages drink drinks | coffee wine beer",
    "people": "person persons human bodypart stickmen | woman man child children face smiley smilies girl boy",
    "clothing": "clothes | hat shirt shoe shoes",
    "flag": "flags signalflag | semaphore",
    "europe": "european | spain france germany italy united_kingdom",
    "americas": "america american north_america south_america latin_america central_america caribbean states"
    " | unitedstates canada usa united_states",
    "asia": "asian |",
    "africa": "african |",
    "computer": "computers hardware network networksym internet webpage desktop device filesystem application"
    " mime-types mimetypes stock |",
    "music": "musicstuff musical musical_instrument instrument instruments |",
    "sports": "sport |",
    "holiday": "holidays festive party | christmas valentine valentines halloween easter",
    "transportation": "transport vehicle vehicles boating sailing"
    " | car boat ship airplane aircraft hummer train truck bicycle",
    "building": "buildings | house home homes hotel castle church furniture",
    "tool": "tools equipment |",
    "weapon": "weapons | gun guns gunshot bullet sword",
    "plant": "plants | flower flowers tree trees leaf",
    "office": "stationery education study school | book books",
    "map": "maps mapsym map_symbol map_symbols | coastline",
    "weather": "weathersym | cloud sun rain",
    "astronomy": "space | moon planet lunar",
    "arrow": "arrows arrowshape |",
    "shape": "shapes geometry | flowchart callout callouts jigsaw",
    "pattern": "patterns gradients gradient background texture |",
    "sign": "signs roadsign roadsigns | warning caution hazard traffic",
    "game": "games | card cards chess toy toys dice",
    "religion": "religious christianity | cross",
    "electronics": "electronic | led bulb battery tv telephone dvb satellite phone",
}
# A label that brings a more general one along, as genres overlap in MM-IMDB.
_PARENTS = {
    "mammal": "animal",
    "bird": "animal",
    "insect": "animal",
    "fruit": "food",
    "dessert": "food",
    "beverage": "food",
    "clothing": "people",
    "arrow": "shape",
}
_GENERAL_WORDS = {word for label, words in _KEYWORDS.items() for word in [label, *words.partition("|")[0].split()]}
_LABELS_OF_KEYWORD: dict[str, set[str]] = collections.defaultdict(set)
for _label, _words in _KEYWORDS.items():
    for _word in [_label, *_words.replace("|", " ").split()]:
        _LABELS_OF_KEYWORD[_word].add(_label)

# Series that a program made, which only repeat themselves.
_GENERATED = re.compile(
    r"gramastar|flat icon collection|lemon[ _-]?(svg)?[ _-]?theme|lemon_theme_icon|codifiedivining", re.I
)
# What collections write before a title or as the whole of it, and titles that say nothing.
_BOILERPLATE = re.compile(r"^\s*(?:clipart by [^-]+ - |part of [^.]*?(?:collection|theme)[^.]*$)", re.I)
_EMPTY_TITLES = {"", "card", "map symbols", "unsorted", "untitled", "title", "new image", "drawing", "clipart"}


@dataclasses.dataclass
class Drawing:
    """One drawing.

    Args:
        id: str. Path of the SVG in its package, without its ending.
        png: pathlib.Path.
        title, description: str. As the SVG's metadata say them.
        keywords: set of str. Of its metadata, and the folders that it or a copy of it lies in.
        labels: set of str.
        text: str. Title and description without the words that name labels.
        series: str. What drawings of one series share.
        group: str. What drawings share that must stay in one split.
    """

    id: str
    png: pathlib.Path
    title: str
    description: str
    keywords: set[str]
    labels: set[str] = dataclasses.field(default_factory=set)
    text: str = ""
    series: str = ""
    group: str = ""


def write_manifest(folder: str | os.PathLike[str]) -> pathlib.Path:
    """Builds the set in a folder, or finds it there.

    Args:
        folder: path. Gets `packages/unpacked/` and `openclipart.jsonl`, with paths of pictures relative to it.

    Returns:
        pathlib.Path of the manifest.

    Raises:
        RuntimeError: when the packages cannot be fetched.
    """
    folder = pathlib.Path(folder).absolute()
    manifest = folder / "openclipart.jsonl"
    if manifest.is_file():
        return manifest
    unpacked = _unpacked(folder / "packages") / "usr" / "share" / "openclipart"
    drawings = _with_texts(_with_labels(_read_drawings(unpacked / "svg", unpacked / "png")))
    drawings = _without_long_series(_with_groups(drawings))
    counts = collections.Counter(label for drawing in drawings for label in drawing.labels)
    kept = sorted(counts, key=lambda label: (-counts[label], label))[:LABELS]
    for drawing in drawings:
        drawing.labels &= set(kept)
    drawings = [drawing for drawing in drawings if drawing.labels]
    split_of = _deal(drawings, kept)
    lines = [
        json.dumps(
            {
                "id": drawing.id,
                "split": split_of[drawing.group],
                "image": drawing.png.relative_to(folder).as_posix(),
                "text": drawing.text,
                "labels": [label for label in kept if label in drawing.labels],
            },
            ensure_ascii=False,
        )
        for drawing in sorted(drawings, key=lambda drawing: drawing.id)
    ]
    # Whole or not at all: a file that is there is taken for finished.
    unfinished = manifest.with_suffix(".tmp")
    unfinished.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    unfinished.replace(manifest)
    return manifest


def _unpacked(folder: pathlib.Path) -> pathlib.Path:
    """Fetches and unpacks the packages where that is not done yet."""
    folder.mkdir(parents=True, exist_ok=True)
    unpacked = folder / "unpacked"
    for package in PACKAGES:
        if (unpacked / f".{package}").is_file():
            continue
        try:
            if not list(folder.glob(f"{package}_*.deb")):
                subprocess.run(["apt-get", "download", package], cwd=folder, check=True, capture_output=True, text=True)
            archive = max(folder.glob(f"{package}_*.deb"))
            subprocess.run(["dpkg-deb", "-x", str(archive), str(unpacked)], check=True, capture_output=True, text=True)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            raise RuntimeError(
                f"Cannot fetch {package}: {getattr(error, 'stderr', None) or error}. It is a Debian package: run "
                f"`apt-get update` as root, or put {package}_*.deb into {folder}."
            ) from error
        (unpacked / f".{package}").touch()
    return unpacked


def _read_drawings(svg_root: pathlib.Path, png_root: pathlib.Path) -> list[Drawing]:
    """Reads the SVGs' metadata; a drawing that lies in several folders once, with the keywords of all."""
    drawings: dict[bytes, Drawing] = {}
    for path in _files_in_order(svg_root):
        name = path.relative_to(svg_root).with_suffix("").as_posix()
        png = png_root / f"{name}.png"
        if path.suffix != ".svg" or path.is_symlink() or not png.exists():
            continue
        content = path.read_bytes()
        metadata = re.search(r"<metadata.*?</metadata>", content.decode("utf-8", "replace"), re.DOTALL)
        words = metadata.group() if metadata else ""
        title, description, creator = (_element(words, tag) for tag in ("title", "description", "creator"))
        keywords = _keywords(words)
        if _GENERATED.search(" ".join([name, title, description, creator, *keywords])):
            continue
        keys = {*keywords, *name.lower().split("/")[:-1]}
        body = re.sub(rb"(?s)<metadata.*?</metadata>|<!--.*?-->|\s+", b"", content)
        known = drawings.setdefault(hashlib.sha1(body).digest(), Drawing(name, png, title, description, set()))
        known.keywords |= keys
    return list(drawings.values())


def _files_in_order(root: pathlib.Path) -> Iterator[pathlib.Path]:
    for folder, folders, files in os.walk(root):
        folders.sort()
        yield from (pathlib.Path(folder, file) for file in sorted(files))


def _element(metadata: str, tag: str) -> str:
    found = re.search(rf"<(?:\w+:)?{tag}\b[^>]*>(.*?)</(?:\w+:)?{tag}>", metadata, re.DOTALL)
    text = html.unescape(re.sub(r"<[^>]+>", " ", found.group(1))) if found else ""
    return re.sub(r"\s+", " ", text).strip()


def _keywords(metadata: str) -> list[str]:
    subject = re.search(r"<(?:\w+:)?subject\b.*?</(?:\w+:)?subject>", metadata, re.DOTALL)
    items = re.findall(r"<(?:\w+:)?li\b[^>/]*>(.*?)</(?:\w+:)?li>", subject.group(), re.DOTALL) if subject else []
    return [re.sub(r"\s+", "_", html.unescape(item).strip().lower()) for item in items if item.strip()]


def _with_labels(drawings: Iterable[Drawing]) -> Iterator[Drawing]:
    for drawing in drawings:
        labels = {label for keyword in drawing.keywords for label in _LABELS_OF_KEYWORD.get(keyword, ())}
        drawing.labels = labels | {_PARENTS[label] for label in labels if label in _PARENTS}
        if drawing.labels:
            yield drawing


def _with_texts(drawings: Iterable[Drawing]) -> Iterator[Drawing]:
    general = _any_form_of(_GENERAL_WORDS)
    for drawing in drawings:
        title, description = (_BOILERPLATE.sub("", words).strip() for words in (drawing.title, drawing.description))
        if title.lower() in _EMPTY_TITLES:
            title = ""
        text = title
        if description.lower() not in ("", title.lower()):
            text = f"{title}. {description}" if title else description
        text = re.sub(r"https?://\S+|\bHASH\(0x[0-9a-f]+\)", " ", text)
        text = general.sub(" ", re.sub(r"[_/]+", " ", text))
        text = re.sub(r"\s+", " ", text).strip(" -_.,;:")
        if re.search(r"[^\W\d_]{2,}", text):
            drawing.text = text[:1000]
            yield drawing


def _any_form_of(words: Iterable[str]) -> re.Pattern[str]:
    """Matches words as a whole, in singular, plural and genitive."""
    forms = {
        form
        for word in words
        for form in (word, f"{word}s", f"{word}es", word.rstrip("s"), word.replace("_", " "))
        if len(form) > 1
    }
    longest_first = "|".join(sorted(map(re.escape, forms), key=len, reverse=True))
    return re.compile(rf"(?<![a-z0-9])(?:{longest_first})(?:'s)?(?![a-z0-9])", re.I)


def _with_groups(drawings: Iterable[Drawing]) -> list[Drawing]:
    """Joins what is nearly the same, which must not be in two splits: one series, one text, or one picture."""
    sets = _DisjointSets()
    looks: dict[tuple[int, int], list[tuple[int, str, bytes]]] = collections.defaultdict(list)
    kept = []
    for drawing in drawings:
        look = _look_of(drawing.png)
        if look is None:
            continue
        bits, colours = look
        member = f"id:{drawing.id}"
        drawing.series = _series(drawing.id)
        sets.join(member, drawing.series)
        if words := re.sub(r"[\W\d_]+", " ", drawing.text.lower()).strip():
            sets.join(member, f"t:{words}")
        if bits not in (0, (1 << 64) - 1):
            # Of four parts of 16 bits, two that differ in three bits or fewer share one.
            for part in range(4):
                alike = looks[part, bits >> (16 * part) & 0xFFFF]
                for other_bits, other, other_colours in alike:
                    difference = sum(abs(one - two) for one, two in zip(colours, other_colours, strict=True))
                    if (bits ^ other_bits).bit_count() <= _SAME_BITS and difference < _SAME_COLOURS:
                        sets.join(member, other)
                alike.append((bits, member, colours))
        kept.append(drawing)
    for drawing in kept:
        drawing.group = _sha1(sets.root_of(f"id:{drawing.id}"))[:10]
    return kept


def _series(name: str) -> str:
    """Folder and file name without a number or a letter at its end."""
    folder, _, base = name.rpartition("/")
    stem = re.sub(r"[\W_]*\d+[\W_a-z]?$", "", base.lower())
    stem = re.sub(r"(_[rsbw]+|_0?\d+)$", "", stem)
    return f"f:{folder}/{stem if len(re.sub(r'[^a-z]', '', stem)) > 2 else base}"


def _look_of(png: pathlib.Path) -> tuple[int, bytes] | None:
    """Which of 8 x 8 places are brighter than their right neighbours, and 4 x 4 mean colours; `None`: not usable."""
    with warnings.catch_warnings():
        # The bound is looked at before anything is decoded.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            picture = Image.open(png)
            width, height = picture.size
            if width * height > _MOST_PIXELS or min(width, height) < _LEAST_SIDE:
                return None
            picture = picture.convert("RGBA")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            return None
    white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    white.alpha_composite(picture)
    rgb = white.convert("RGB")
    pixels = rgb.convert("L").resize((9, 8), Image.Resampling.LANCZOS).tobytes()
    bits = 0
    for row in range(8):
        for column in range(8):
            bits = bits << 1 | (pixels[9 * row + column] > pixels[9 * row + column + 1])
    return bits, rgb.resize((4, 4), Image.Resampling.BOX).tobytes()


def _without_long_series(drawings: Sequence[Drawing]) -> list[Drawing]:
    """Keeps the first few of each series and of each text, by the hash of their ids."""
    groups: dict[str, list[Drawing]] = collections.defaultdict(list)
    for drawing in drawings:
        groups[drawing.group].append(drawing)
    kept = []
    for members in groups.values():
        seen: collections.Counter[str] = collections.Counter()
        for drawing in sorted(members, key=lambda one: _sha1(one.id)):
            keys = [drawing.series, drawing.text.lower()]
            if all(seen[key] < LARGEST_SERIES for key in keys):
                seen.update(keys)
                kept.append(drawing)
    return kept


def _deal(drawings: Sequence[Drawing], labels: Sequence[str]) -> dict[str, str]:
    """Deals groups to splits: large ones first, then those of rare labels, each to where its labels lack most."""
    groups: dict[str, list[Drawing]] = collections.defaultdict(list)
    for drawing in drawings:
        groups[drawing.group].append(drawing)
    # "*" stands for the rows. In one order, as sums of fractions depend on it.
    needs = {
        group: collections.Counter(
            label for drawing in members for label in [*labels, "*"] if label in drawing.labels or label == "*"
        )
        for group, members in groups.items()
    }
    total = sum(needs.values(), collections.Counter())
    dealt: dict[str, collections.Counter[str]] = {split: collections.Counter() for split in SPLIT_SHARES}

    def order(group: str) -> tuple[int, int, str]:
        size = len(groups[group])
        rarest = min(total[label] for drawing in groups[group] for label in drawing.labels)
        return (-size if size > _LARGEST_GROUP_TO_DEAL_LATE else 0, rarest, _sha1("split" + group))

    split_of = {}
    for group in sorted(groups, key=order):

        def lack(split: str, group: str = group) -> tuple[float, str]:
            share = SPLIT_SHARES[split]
            missing = (
                count / total[label] * (1 - dealt[split][label] / (share * total[label]))
                for label, count in needs[group].items()
            )
            return sum(missing), _sha1(split + group)

        split_of[group] = max(SPLIT_SHARES, key=lack)
        dealt[split_of[group]].update(needs[group])
    return split_of


class _DisjointSets:
    """Sets that are joined and never parted."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def root_of(self, member: str) -> str:
        parent = self._parents.setdefault(member, member)
        while parent != member:
            self._parents[member] = self._parents[parent]
            member = self._parents[member]
            parent = self._parents[member]
        return member

    def join(self, first: str, second: str) -> None:
        self._parents[self.root_of(first)] = self.root_of(second)


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode("utf-8")).hexdigest()
