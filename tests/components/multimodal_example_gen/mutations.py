"""Breaks files: bytes, JSON, and what lies at a file's place."""

import copy
import json
import os

import numpy as np

NUMBERS = [b"-1", b"0", b"nan", b"inf", b"1e400", b"9" * 20, b"1_0", b"0x10", b"", b"-0.0", b"\xff", b"1e-320"]
#: What no value of a record should be. Text that stands for itself is put in unquoted.
HOSTILE_VALUES = [
    *(None, True, False, -1, 0, 1.5, "", " ", "\0", "a\0b", "\ud800", "\u202e", "x" * 70_000, [], {}, [None], [[]]),
    *([1, "a"], {"a": 1}, "../secret.png", "..\\secret.png", "/etc/passwd", "/dev/zero", "file:///etc/passwd"),
    *("C:\\x.png", "images/../../x.png", "https://example.org/x.png", ".", "images", "~/x.png", "%2e%2e/x.png"),
]
HOSTILE_TEXTS = [
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"9" * 10_000,
    b"1e999999",
    b"-Infinity",
    b"NaN",
    b"\xff\xfe",
    b'"\xed\xa0\x80"',
    b'"\\u0000"',
    b"",
    b'"',
    b"\0",
]


def mutated(data, generator):
    """A file with some of it changed, cut, doubled or replaced by what no file should hold."""
    data = bytearray(data)
    place = int(generator.integers(0, max(1, len(data))))
    match generator.integers(0, 9):
        case 0:
            for place in generator.integers(0, len(data), generator.integers(1, 40)):
                data[place] = generator.integers(256)
        case 1:
            for place in generator.integers(0, min(len(data), 700), generator.integers(1, 8)):
                data[place] = generator.integers(256)
        case 2:
            del data[place:]
        case 3:
            del data[place : place + int(generator.integers(1, 300))]
        case 4:
            data[place:place] = data[: int(generator.integers(1, 3000))]
        case 5:
            data[place : place + 4] = generator.choice([0xFFFFFFFF, 0x7FFFFFFF, 0, 1 << 16]).astype("<u4").tobytes()
        case 6:
            words = bytes(data).split(b" ")
            words[int(generator.integers(len(words)))] = NUMBERS[int(generator.integers(len(NUMBERS)))]
            data = b" ".join(words)
        case 7:
            lines = bytes(data).split(b"\n")
            lines[int(generator.integers(len(lines)))] = NUMBERS[int(generator.integers(len(NUMBERS)))]
            data = b"\n".join(lines)
        case 8:
            data = generator.integers(0, 256, int(generator.integers(0, 2000)), dtype=np.uint8).tobytes()
    return bytes(data)


def mutated_json(data, generator):
    """One JSON text with one value of it, at any depth, replaced by what should not be there, or with a key twice."""
    content = copy.deepcopy(json.loads(data))
    places = []

    def collect(value):
        for key in value if isinstance(value, dict) else range(len(value)):
            places.append((value, key))
            if isinstance(value[key], dict | list):
                collect(value[key])

    collect(content)
    owner, key = places[int(generator.integers(len(places)))]
    mark = "put something else here"
    if generator.random() < 0.4:
        owner[key] = mark
        text = HOSTILE_TEXTS[int(generator.integers(len(HOSTILE_TEXTS)))]
        return json.dumps(content).encode().replace(json.dumps(mark).encode(), text)
    value = HOSTILE_VALUES[int(generator.integers(len(HOSTILE_VALUES)))]
    if isinstance(owner, dict) and generator.random() < 0.2:
        owner[mark] = value
        return json.dumps(content).encode().replace(json.dumps(mark).encode(), json.dumps(key).encode())
    owner[key] = value
    return json.dumps(content).encode()


def mutated_lines(data, generator):
    """JSON lines, one of them broken as JSON, doubled, or put in another's place."""
    lines = data.split(b"\n")
    filled = [number for number, line in enumerate(lines) if line]
    number, other = (int(generator.choice(filled)) for _ in range(2))
    match generator.integers(0, 6):
        case 0:
            lines.insert(other, lines[number])
        case 1:
            lines[number] = lines[other]
        case 2:
            # Another record under this one's id.
            lines[number] = json.dumps({**json.loads(lines[number]), "id": json.loads(lines[other])["id"]}).encode()
        case _:
            lines[number] = mutated_json(lines[number], generator)
    return b"\n".join(lines)


def replaced(path, target, generator):
    """Puts something else than a file into its place, or gives it another name."""
    match generator.integers(0, 7):
        case 0:
            path.unlink()
        case 1:
            path.unlink()
            path.mkdir()
        case 2:
            path.unlink()
            path.symlink_to(target)
        case 3:
            path.unlink()
            path.symlink_to(path)
        case 4:
            path.unlink()
            os.mkfifo(path)
        case 5:
            os.rename(path, os.fsencode(path.parent) + b"/\xff\n" + os.fsencode(path.name))
        case 6:
            path.unlink()
            path.symlink_to("/dev/zero")
