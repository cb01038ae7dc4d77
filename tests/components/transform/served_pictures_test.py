"""What a request's picture becomes is what the ingest makes of the same file, encoding by encoding."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.multimodal_example_gen.readers import picture, picture_decoding
from components.multimodal_example_gen.readers.picture import read_picture
from components.multimodal_example_gen.row import SkipRowError
from hfmnas_keras.data import picture_headers
from hfmnas_keras.data.picture_decoding import each_picture
from hfmnas_keras.data.picture_headers import read_headers
from tests.components import picture_encodings

ENCODINGS = picture_encodings.encodings()


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
def served(encoded):
    """What the graph makes of the files at their own size, and why not."""
    return each_picture(encoded, tf.io.encode_png), read_headers(encoded).refusal


@pytest.fixture(scope="module")
def all_served():
    pictures, refusals = served(tf.constant(list(ENCODINGS.values())))
    return dict(zip(ENCODINGS, zip(pictures.numpy(), refusals.numpy(), strict=True), strict=True))


def ingested(path):
    """What training sees of what the ingest stores, and the note it makes; or nothing and the reason."""
    try:
        stored = read_picture(str(path))
    except SkipRowError as error:
        return None, error.reason
    pictures, _ = served(tf.constant([bytes(stored)]))
    return tf.io.decode_png(pictures[0]).numpy().astype(int), stored.foreign


@pytest.mark.parametrize("name", ENCODINGS)
def test_served_is_what_is_ingested(name, all_served, tmp_path):
    data = ENCODINGS[name]
    (tmp_path / "a").write_bytes(data)
    stored, note = ingested(tmp_path / "a")
    picture, refusal = all_served[name]
    if picture:
        assert (note, refusal) == ("", b"")
        expected = picture_encodings.rendered(data)
        in_request = tf.io.decode_png(picture).numpy().astype(int)
        np.testing.assert_allclose(in_request, expected, atol=3)
        # A JPEG is stored as it is, or its pixels as Pillow has them: turned, or in four colours.
        is_kept = read_picture(str(tmp_path / "a")).startswith(b"\xff\xd8")
        np.testing.assert_allclose(stored, in_request, atol=0 if is_kept else 3)
    else:
        # Refused in both, or told.
        assert note and refusal
        if stored is not None:
            np.testing.assert_allclose(stored, picture_encodings.rendered(data), atol=1)


def test_most_encodings_are_served(all_served):
    """The table above would also hold if nothing were served."""
    refused = {name.split()[0] for name, (picture, _) in all_served.items() if not picture}
    assert refused == {"png", "bmp", "gif", "webp", "tiff", "ppm", "ico", "nothing", "text"}
    assert sum(bool(picture) for picture, _ in all_served.values()) >= 80
    assert sum(name.startswith("png") and not picture for name, (picture, _) in all_served.items()) == 9


def large(size, extension):
    """A small file that says it is large."""
    width, height = size
    if extension == "png":
        return picture_encodings.png(np.zeros((1, 1, 3), int), 8, 2).replace(
            picture_encodings.chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)),
            picture_encodings.chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        )
    data = bytearray(picture_encodings.saved(Image.new("RGB", (8, 8)), extension))
    if extension == "bmp":
        data[18:26] = struct.pack("<ii", width, -height)
    else:
        place = data.index(b"\xff\xc0")
        data[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize("extension", ["png", "jpeg", "bmp"])
def test_what_would_fill_the_memory_is_refused_by_its_header(extension):
    pictures, refusals = served(tf.constant([large(size, extension) for size in ((10_000, 10_000), (60_000, 60_000))]))
    assert not any(pictures.numpy())
    for size, refusal in zip(("10000 x 10000", "60000 x 60000"), refusals.numpy(), strict=True):
        assert f"{size} pixels, at most 40000000 are decoded" in refusal.decode()
    bound, empty = read_headers(tf.constant([large(size, extension) for size in ((8000, 5000), (0, 5))])).refusal
    assert bound == b"" and b"no size" in empty.numpy()


def test_the_decoder_is_asked_for_the_size_too():
    """A header that hides the frame from us behind a longer part must not get past the bound."""
    data = large((60_000, 60_000), "jpeg")
    hidden = data[:2] + b"\0" + data[2:]
    pictures, _ = served(tf.constant([hidden, data.replace(b"\xff\xc0", b"\xff\xff\xff\xc0")]))
    assert not any(pictures.numpy())


def test_a_broken_picture_breaks_no_other():
    good = ENCODINGS["png rgb 8 bits"]
    jpeg = ENCODINGS["jpeg grey"]
    cut = [good[: len(good) // 2], good[:-40] + b"x" * 28 + good[-12:], jpeg[: len(jpeg) // 2], b"\xff\xd8\xff", b""]
    pictures, _ = served(tf.constant([good, *cut, good]))
    alone, _ = served(tf.constant([good]))
    assert [bool(picture) for picture in pictures.numpy()] == [True, *[False] * len(cut), True]
    assert pictures[0] == pictures[-1] == alone[0]
    assert served(tf.zeros([0], tf.string))[0].shape == (0,)


def test_a_file_of_endless_parts_ends():
    chunks = picture_encodings.chunk(b"tEXt", b"") * 100_000
    data = ENCODINGS["png rgb 8 bits"]
    pictures, _ = served(tf.constant([data[:33] + chunks + data[33:], b"\xff\xd8\xff" + b"\xff\xfe\0\2" * 100_000]))
    assert not pictures[1].numpy()


def test_bounds_are_those_of_the_ingest():
    assert (picture_decoding.MAX_PIXELS, picture_decoding.MAX_BYTES) == (
        picture_headers.MAX_PIXELS,
        picture_headers.MAX_BYTES,
    )


def test_larger_pictures_than_requests_may_have_are_noted(tmp_path):
    buffer = io.BytesIO()
    Image.new("1", (8001, 5000)).save(buffer, format="PNG")
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    assert (
        picture.read_picture(str(tmp_path / "a.png"), max_pixels=50_000_000).foreign == "larger than a request may be"
    )
    assert b"8001 x 5000" in served(tf.constant([buffer.getvalue()]))[1][0].numpy()
