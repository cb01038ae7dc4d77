"""Files that programs read in different ways: what requests see otherwise than the ingest is counted, each of them."""

from __future__ import annotations

import io
import struct
import zlib
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.multimodal_example_gen.readers import as_requested
from components.multimodal_example_gen.readers.picture import read_picture
from components.multimodal_example_gen.row import SkipRowError
from hfmnas_keras.data.picture_decoding import each_picture
from tests.components import picture_encodings
from tests.components.multimodal_example_gen.mutations import mutated
from tests.components.picture_encodings import chunk

PNG = picture_encodings.png(picture_encodings.drawing()[..., :3], 8, picture_encodings.RGB)
JPEG = picture_encodings.saved(picture_encodings.picture(), "JPEG", quality=90)
BMP = picture_encodings.saved(picture_encodings.picture(), "BMP")
BYTE, TEXT, SHORT, LONG, SIGNED_SHORT, SIGNED_LONG, FLOAT = 1, 2, 3, 4, 8, 9, 11


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
def served(files):
    return each_picture(files, tf.io.encode_png)


def pixels(file):
    """What a request with the file shows the model; None when it is refused."""
    (picture,) = served(tf.constant([file])).numpy()
    return tf.io.decode_png(picture).numpy().astype(int) if picture else None


def outcome(file, path):
    """Says what became of a file in both, and holds that nothing differs untold."""
    path.write_bytes(file)
    seen = pixels(file)
    try:
        stored = read_picture(str(path))
    except SkipRowError as error:
        return f"left out: {error.reason}"
    if stored.foreign:
        return f"told: {stored.foreign}"
    assert seen is not None, "trained on, and refused in requests"
    kept = pixels(bytes(stored))
    assert kept.shape == seen.shape
    assert abs(kept - seen).max() <= 3
    return "same"


def notes(*entries, order="<"):
    """EXIF with one directory of entries (tag, type, number of values, bytes of the value)."""
    directory = b"".join(struct.pack(f"{order}HHI", *entry[:3]) + entry[3] for entry in entries)
    begin = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    return begin + struct.pack(f"{order}H", len(entries)) + directory + bytes(4)


def turned(kind, value, count=1):
    forms = {BYTE: "<Bxxx", SHORT: "<Hxx", LONG: "<I", SIGNED_SHORT: "<hxx", SIGNED_LONG: "<i", FLOAT: "<f"}
    return (0x0112, kind, count, b"6\0\0\0" if kind == TEXT else struct.pack(forms[kind], value))


OTHER = [(0x9000 + number, SHORT, 1, bytes(4)) for number in range(120)]
NOTES = {
    "bytes": notes(turned(BYTE, 6)),
    "text": notes(turned(TEXT, 6)),
    "short": notes(turned(SHORT, 6)),
    "long": notes(turned(LONG, 6)),
    "signed short": notes(turned(SIGNED_SHORT, 6)),
    "signed long": notes(turned(SIGNED_LONG, 6)),
    "float": notes(turned(FLOAT, 6)),
    "no values": notes(turned(SHORT, 6, count=0)),
    "twice": notes(turned(SHORT, 8), turned(SHORT, 3)),
    "after 20 others": notes(*OTHER[:20], turned(SHORT, 6)),
    "after 120 others": notes(*OTHER, turned(SHORT, 6)),
    "after one that lies outside": notes((0x010F, TEXT, 400, struct.pack("<I", 9_999_999)), turned(SHORT, 6)),
    "after one of no known type": notes((0x9000, 77, 1, bytes(4)), turned(SHORT, 6)),
    "with a prefix": b"Exif\0\0" + notes(turned(SHORT, 6)),
    "of another order of bytes": b"II\0*" + notes(turned(SHORT, 6))[4:],
    "that begin nowhere": notes(turned(SHORT, 6))[:4] + struct.pack("<I", 0xFFFFFFFF) + notes(turned(SHORT, 6))[8:],
    "cut": notes(turned(SHORT, 6))[:-8],
}


def with_chunks(before, *chunks, file=PNG):
    place = 33 if before == b"" else file.index(before) - 4
    return file[:place] + b"".join(chunk(name, data) for name, data in chunks) + file[place:]


def with_segment(marker, content, before=b""):
    place = 2 if before == b"" else JPEG.index(before)
    return JPEG[:place] + marker + struct.pack(">H", len(content) + 2) + content + JPEG[place:]


def png_files():
    """Parts in another order, twice, too long, with wrong sums, or of kinds that not every program knows."""
    for name, note in NOTES.items():
        yield f"notes {name}", with_chunks(b"IDAT", (b"eXIf", note))
    yield "notes twice", with_chunks(b"IDAT", (b"eXIf", NOTES["short"]), (b"eXIf", notes(turned(SHORT, 8))))
    yield "notes behind the pixels", with_chunks(b"IEND", (b"eXIf", NOTES["short"]))
    yield "notes behind many texts", with_chunks(b"IDAT", *[(b"tEXt", b"a\0b")] * 1500, (b"eXIf", NOTES["short"]))
    for name, file in picture_encodings.png_encodings():
        if not name.endswith("8 bits transparent"):
            continue
        place = file.index(b"tRNS") - 4
        part = file[place : place + 12 + int.from_bytes(file[place : place + 4], "big")]
        rest, content = file.replace(part, b""), part[8:-4]
        yield f"{name}, behind the pixels", with_chunks(b"IEND", (b"tRNS", content), file=rest)
        yield f"{name}, twice", with_chunks(b"tRNS", (b"tRNS", content), file=file)
        yield f"{name}, empty", with_chunks(b"IDAT", (b"tRNS", b""), file=rest)
        yield f"{name}, too long", with_chunks(b"IDAT", (b"tRNS", content + bytes(300)), file=rest)
        yield f"{name}, wrong sum", file.replace(part, part[:-4] + b"sums")
        yield f"{name}, many texts before", with_chunks(b"tRNS", *[(b"tEXt", b"a\0b")] * 1500, file=file)
    palette = dict(picture_encodings.png_encodings())["png palette 8 bits"]
    place = palette.index(b"PLTE") - 4
    yield "without its palette", palette[:place] + palette[palette.index(b"IDAT") - 4 :]
    yield "with a short palette", palette[:33] + chunk(b"PLTE", bytes(30)) + palette[palette.index(b"IDAT") - 4 :]
    yield "a part that all must know", with_chunks(b"IDAT", (b"ABCD", b"x"))
    yield "a part that nobody must know", with_chunks(b"IDAT", (b"abCd", b"x"))
    yield "an animation of no frame", with_chunks(b"", (b"acTL", bytes(8)))
    yield "an animation told behind the pixels", with_chunks(b"IEND", (b"acTL", struct.pack(">II", 2, 0)))
    yield "a broken profile", with_chunks(b"", (b"iCCP", b"x"))
    yield "a bomb of text", with_chunks(b"", (b"zTXt", b"x\0\0" + zlib.compress(bytes(8 << 20))))
    yield "without its end", PNG[: PNG.index(b"IEND") - 4]
    yield "with a cut end", PNG[:-4]
    yield "pixels of a wrong sum", PNG[: PNG.index(b"IEND") - 8] + b"sums" + PNG[PNG.index(b"IEND") - 4 :]
    pixels_part = zlib.compress(b"".join(b"\0" + bytes(line) for line in picture_encodings.drawing()[..., :3]))
    for name, data in {
        "compressed without a sum": pixels_part[:-4],
        "compressed with a wrong sum": pixels_part[:-4] + b"sums",
        "pixels that end early": zlib.compress(zlib.decompress(pixels_part)[:-1]),
        "pixels that do not end": zlib.compress(zlib.decompress(pixels_part) + bytes(500)),
    }.items():
        yield name, PNG[:33] + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    yield "of Apple", PNG[:8] + chunk(b"CgBI", b"P\0 \2") + PNG[8:]
    yield "a million wide", picture_encodings.png(np.zeros((1, 1_000_001, 1), int), 8, picture_encodings.GREY)


def jpeg_files():
    for name, note in NOTES.items():
        yield f"notes {name}", with_segment(b"\xff\xe1", b"Exif\0\0" + note)
    yield "notes before the pixels", with_segment(b"\xff\xe1", b"Exif\0\0" + NOTES["short"], b"\xff\xda")
    short = NOTES["short"]
    halves = [b"\xff\xe1" + struct.pack(">H", len(half) + 8) + b"Exif\0\0" + half for half in (short[:14], short[14:])]
    yield "notes in two parts", JPEG[:2] + b"".join(halves) + JPEG[2:]
    yield "many comments", JPEG[:2] + b"\xff\xfe\0\2" * 1500 + JPEG[2:]
    yield "a short part of Adobe", with_segment(b"\xff\xee", b"Adobe")
    for marker in range(0xC0, 0xD0):
        place = JPEG.index(b"\xff\xc0")
        yield f"of kind {marker:x}", JPEG[: place + 1] + bytes([marker]) + JPEG[place + 2 :]
    for left in (2, 5, 50, 200):
        yield f"without its last {left} bytes", JPEG[:-left]
        yield f"without its last {left} bytes, ended", JPEG[:-left] + b"\xff\xd9"
    yield "two in a row", JPEG + JPEG
    buffer = io.BytesIO()
    picture_encodings.picture().save(buffer, "MPO", save_all=True, append_images=[picture_encodings.picture()])
    yield "with a preview", buffer.getvalue()


def bmp_files():
    yield "with a gap", BMP[:10] + struct.pack("<I", 154) + BMP[14:54] + bytes(100) + BMP[54:]
    yield "whose pixels begin nowhere", BMP[:10] + bytes(4) + BMP[14:]
    yield "one byte short", BMP[:-1]
    yield "longer than it says", BMP + bytes(50)
    yield "negative width", BMP[:18] + struct.pack("<i", -picture_encodings.WIDTH) + BMP[22:]
    for size in (12, 52, 64, 108, 124):
        header = struct.pack("<I", size) + BMP[18:54] + bytes(max(0, size - 40))
        yield f"header of {size} bytes", BMP[:10] + struct.pack("<I", 14 + len(header)) + header + BMP[54:]


def other_files():
    for extension in ("JPEG2000", "TGA", "PCX", "DDS", "ICO", "AVIF", "QOI", "EPS", "PPM"):
        yield extension, picture_encodings.saved(picture_encodings.picture(), extension)


FILES = {
    f"{kind}: {name}": file
    for kind, files in (("png", png_files), ("jpeg", jpeg_files), ("bmp", bmp_files), ("other", other_files))
    for name, file in files()
}


@pytest.mark.parametrize("name", FILES)
def test_nothing_differs_untold(name, tmp_path):
    outcome(FILES[name], tmp_path / "a")


def test_files_of_many_kinds_are_told_apart_and_most_are_the_same(tmp_path):
    """The table above would also hold if everything were left out, or told."""
    found = Counter(outcome(file, tmp_path / "a") for file in FILES.values())
    assert len(FILES) > 110 and found["same"] > 40, found
    assert found[f"told: {as_requested.OTHERWISE}"] >= 10 and found[f"told: {as_requested.REFUSED}"] >= 10, found


@pytest.mark.parametrize("kind", ["short", "long", "signed short", "signed long"])
def test_turned_pictures_are_turned_in_requests_whatever_the_number_s_type(kind):
    file = with_segment(b"\xff\xe1", b"Exif\0\0" + NOTES[kind])
    np.testing.assert_array_equal(pixels(file), np.rot90(pixels(JPEG), -1))


def other_parts(file, generator):
    """A PNG with a part of other bytes, left out, twice or elsewhere, its sums right again."""
    parts, place = [], 8
    while place < len(file):
        length = int.from_bytes(file[place : place + 4], "big")
        parts.append((file[place + 4 : place + 8], bytearray(file[place + 8 : place + 8 + length])))
        place += 12 + length
    turn = int(generator.integers(len(parts)))
    match generator.integers(5):
        case 0:
            parts.insert(int(generator.integers(len(parts))), parts[turn])
        case 1:
            del parts[turn]
        case 2:
            parts.insert(int(generator.integers(len(parts))), parts.pop(turn))
        case _:
            data = parts[turn][1]
            for number in generator.integers(0, max(1, len(data)), 2)[: len(data)]:
                data[number] = generator.integers(256)
    return file[:8] + b"".join(chunk(name, bytes(data)) for name, data in parts)


@pytest.mark.parametrize("number", [300, pytest.param(5000, marks=pytest.mark.long)])
def test_files_changed_at_random_differ_nowhere_untold(number, tmp_path):
    generator = np.random.default_rng(7)
    files = [file for file in picture_encodings.encodings().values() if len(file) > 100]
    found = Counter()
    for _ in range(number):
        file = files[int(generator.integers(len(files)))]
        if file.startswith(b"\x89PNG"):
            changed = other_parts(file, generator)
        elif generator.random() < 0.7:
            changed = bytearray(file)
            changed[int(generator.integers(3, len(file)))] = generator.integers(256)
            changed = bytes(changed)
        else:
            changed = mutated(file, generator)
        found[outcome(changed, tmp_path / "a")] += 1
    print(number, dict(found))
    assert found["same"] > number / 4


def test_a_large_picture_is_asked_for_too(tmp_path):
    """Of turned or other files all pixels are compared, of usual JPEGs the header."""
    Image.new("RGB", (3000, 2000), "red").save(tmp_path / "a.png")
    assert read_picture(str(tmp_path / "a.png")).foreign == ""
