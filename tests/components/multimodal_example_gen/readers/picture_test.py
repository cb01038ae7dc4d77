import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.multimodal_example_gen.readers import picture
from components.multimodal_example_gen.row import SkipRowError

RGB = np.array([[[250, 20, 30], [0, 0, 0]], [[255, 255, 255], [9, 90, 200]]], np.uint8)


def save(path, image, **options):
    image.save(path, **options)
    return str(path)


def stored(path, **bounds):
    """What is stored, as TensorFlow decodes it."""
    return tf.io.decode_image(picture.read_picture(str(path), **bounds)).numpy()


def reason(path, **bounds):
    with pytest.raises(SkipRowError) as error:
        picture.read_picture(str(path), **bounds)
    assert error.value.detail
    return error.value.reason


def png_header(width, height):
    """A PNG that ends where the pixels of the promised size would begin."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + header + struct.pack(">I", 1000) + b"IDAT"


def test_rgb_is_kept_to_the_bit(tmp_path):
    np.testing.assert_array_equal(stored(save(tmp_path / "a.png", Image.fromarray(RGB))), RGB)


def test_transparent_becomes_white(tmp_path):
    alpha = np.array([[255, 0], [128, 51]], np.uint8)
    path = save(tmp_path / "a.png", Image.fromarray(np.dstack([RGB, alpha])))
    weight = alpha[..., None] / 255.0
    np.testing.assert_allclose(stored(path), RGB * weight + 255.0 * (1 - weight), atol=1)


def test_grey_with_alpha_becomes_white(tmp_path):
    path = save(
        tmp_path / "a.png",
        Image.merge("LA", [Image.fromarray(np.array([values], np.uint8)) for values in ([100, 100], [255, 0])]),
    )
    np.testing.assert_array_equal(stored(path), [[[100] * 3, [255] * 3]])


def test_palette_with_a_transparent_colour_becomes_white(tmp_path):
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    # Turns it to mode P.
    image.putpalette([10, 20, 30, 40, 50, 60])
    path = save(tmp_path / "a.png", image, transparency=1)
    np.testing.assert_array_equal(stored(path), [[[10, 20, 30], [255] * 3]])


def test_grey_is_repeated(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(np.array([[7, 200]], np.uint8)))
    np.testing.assert_array_equal(stored(path), [[[7] * 3, [200] * 3]])


def test_black_and_white(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(np.array([[True, False]])))
    np.testing.assert_array_equal(stored(path), [[[255] * 3, [0] * 3]])


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(np.array([[0, 257 * 5, 32768, 65535]], np.uint16)))
    np.testing.assert_array_equal(stored(path)[0, :, 0], [0, 5, 128, 255])


@pytest.mark.parametrize("extension", ["png", "tiff"])
def test_a_dark_sixteen_bit_picture_stays_dark(tmp_path, extension):
    path = save(tmp_path / f"a.{extension}", Image.fromarray(np.array([[0, 200]], np.uint16)))
    np.testing.assert_array_equal(stored(path)[0, :, 0], [0, 1])


def test_floating_point_tiff(tmp_path):
    path = save(tmp_path / "a.tiff", Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32)))
    np.testing.assert_array_equal(stored(path)[0, :, 0], [0, 128, 255])


@pytest.mark.parametrize("extension", ["jpg", "bmp", "gif", "webp", "tiff", "png"])
def test_every_format_is_stored_as_three_channels(tmp_path, extension):
    colour = np.full((16, 12, 3), (200, 60, 20), np.uint8)
    image = stored(save(tmp_path / f"a.{extension}", Image.fromarray(colour)))
    assert image.shape == (16, 12, 3)
    np.testing.assert_allclose(image, colour, atol=8)


def test_cmyk_jpeg(tmp_path):
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    np.testing.assert_allclose(stored(save(tmp_path / "a.jpg", cmyk)), np.full((16, 16, 3), (255, 0, 0)), atol=12)


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "tiff"])
def test_what_a_camera_held_upright_is_upright(tmp_path, extension):
    exif = Image.Exif()
    exif[0x0112] = 6
    # White on the left, which is above when the camera is turned back.
    image = Image.fromarray(np.repeat(np.array([[255] * 16 + [0] * 16] * 8, np.uint8)[..., None], 3, axis=-1))
    pixels = stored(save(tmp_path / f"a.{extension}", image, exif=exif))
    assert pixels.shape == (32, 8, 3)
    np.testing.assert_allclose(pixels[[4, 28], :, 0], [[255] * 8, [0] * 8], atol=10)
    assert b"eXIf" not in picture.read_picture(str(tmp_path / f"a.{extension}"))


def test_missing_and_folder(tmp_path):
    assert reason(tmp_path / "none.png") == "missing_image"
    assert reason(tmp_path) == "missing_image"


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"RIFF\0\0\0\0WEBP"]
)
def test_no_picture(tmp_path, data):
    (tmp_path / "a.png").write_bytes(data)
    assert reason(tmp_path / "a.png") == "unreadable_image"


@pytest.mark.parametrize("extension", ["png", "jpg", "gif", "webp", "bmp"])
def test_truncated(tmp_path, extension):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / f"a.{extension}"
    save(path, Image.fromarray(noise))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert reason(path) == "unreadable_image"


def test_a_flipped_byte_in_a_png(tmp_path):
    path = tmp_path / "a.png"
    save(path, Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    assert reason(path) == "unreadable_image"


def test_size_is_bounded_before_decoding(tmp_path):
    path = tmp_path / "a.png"
    # Holds no pixels at all: a reader that decodes would find the file broken, not large.
    path.write_bytes(png_header(30_000, 30_000))
    assert reason(path) == "image_too_large"
    path.write_bytes(png_header(10, 11))
    assert reason(path, max_pixels=109) == "image_too_large"
    assert reason(path, max_pixels=110) == "unreadable_image"


def test_file_size_is_bounded_before_opening(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(RGB))
    assert reason(path, max_bytes=10) == "image_file_too_large"


@pytest.mark.parametrize("extension", ["gif", "png", "webp", "tiff"])
def test_animated(tmp_path, extension):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    path = save(tmp_path / f"a.{extension}", frames[0], save_all=True, append_images=frames[1:])
    assert reason(path) == "animated_image"


@pytest.mark.parametrize("extension", ["eps", "ico", "ppm", "pdf"])
def test_unsupported_format(tmp_path, extension):
    path = save(tmp_path / f"a.{extension}", Image.fromarray(np.full((32, 32, 3), 100, np.uint8)))
    assert reason(path) == "unsupported_image_format"


def test_bytes_depend_on_pixels_alone(tmp_path):
    image = Image.fromarray(RGB)
    plain, noted = io.BytesIO(), io.BytesIO()
    image.save(plain, format="PNG")
    exif = Image.Exif()
    exif[0x010E] = "a note"
    image.save(noted, format="PNG", exif=exif)
    (tmp_path / "a.png").write_bytes(plain.getvalue())
    (tmp_path / "b.png").write_bytes(noted.getvalue())
    assert plain.getvalue() != noted.getvalue()
    assert picture.read_picture(str(tmp_path / "a.png")) == picture.read_picture(str(tmp_path / "b.png"))


def make_jpeg(**options):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((120, 160)).save(buffer, format="JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 30}])
def test_a_usual_jpeg_is_kept_and_its_notes_and_what_follows_are_not(tmp_path, options):
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    plain = make_jpeg(**options)
    noted = make_jpeg(**options, exif=exif, comment=b"a comment", icc_profile=b"a profile " * 10)
    (tmp_path / "plain.jpg").write_bytes(plain)
    (tmp_path / "noted.jpg").write_bytes(noted + b"a film behind the picture")
    assert picture.read_picture(str(tmp_path / "plain.jpg")) == plain
    assert b"taken at home" in noted
    assert picture.read_picture(str(tmp_path / "noted.jpg")) == plain


@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_a_jpeg_that_is_cut_off_is_not_kept(tmp_path, cut):
    data = make_jpeg()
    (tmp_path / "a.jpg").write_bytes(data[: int(cut * len(data))])
    assert reason(tmp_path / "a.jpg") == "unreadable_image"


@pytest.mark.parametrize("kind", ["turned", "four colours"])
def test_an_unusual_jpeg_is_stored_as_png(tmp_path, kind):
    exif = Image.Exif()
    exif[0x0112] = 6 if kind == "turned" else 1
    image = Image.new("CMYK" if kind == "four colours" else "RGB", (16, 8))
    stored_picture = picture.read_picture(str(save(tmp_path / "a.jpg", image, exif=exif)))
    assert stored_picture.startswith(b"\x89PNG")


def test_a_decoder_that_dies_or_hangs_costs_one_row(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", Image.fromarray(RGB))
    (tmp_path / "dies.py").write_text("import os\n\n\ndef answer(**request):\n    os.abort()\n")
    (tmp_path / "hangs.py").write_text("import time\n\n\ndef answer(**request):\n    time.sleep(600)\n")
    (tmp_path / "lies.py").write_text("def answer(**request):\n    return {}, [b'no PNG']\n")
    for file, expected in (("dies", "decoder_crashed"), ("hangs", "decoder_timeout"), ("lies", "decoder_crashed")):
        monkeypatch.setattr(picture.picture_decoding, "__file__", str(tmp_path / f"{file}.py"))
        assert reason(path, max_seconds=3.0) == expected


def test_a_tiff_of_many_directories_ends_at_the_second(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, format="TIFF")
    data = buffer.getvalue()
    (place,) = struct.unpack("<I", data[4:8])
    (notes,) = struct.unpack("<H", data[place : place + 2])
    end = place + 2 + 12 * notes
    first = data[place:end]
    # The same directory again and again, each naming the next one behind it.
    count, size = 100_000, end - place + 4
    more = b"".join(first + struct.pack("<I", len(data) + size * (number + 1)) for number in range(count))
    (tmp_path / "a.tif").write_bytes(data[:end] + struct.pack("<I", len(data)) + data[end + 4 :] + more)
    assert reason(tmp_path / "a.tif", max_seconds=10.0) == "animated_image"


def test_a_file_that_may_not_be_read(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(RGB))
    answer, _ = picture.picture_decoding.answer(str(tmp_path), 100, 100)
    assert answer["reason"] == "unreadable_image" and "cannot be read" in answer["detail"]
    assert picture.picture_decoding.answer(path, 100, 100_000)[0] == {"foreign": ""}
