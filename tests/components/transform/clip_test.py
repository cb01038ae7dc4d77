"""The preparation of clips, by the function itself."""

import fractions
import io
import math
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.transform.preprocessing import preprocessing_fn
from tests.components.transform.prepare_clips import SETTINGS, png, prepare, sparse


def decoded(frames):
    return np.stack([tf.io.decode_jpeg(frame).numpy() for frame in frames.numpy()]).astype(int)


@pytest.mark.parametrize("frames", [1, 5, 8])
def test_frames_are_the_middles_of_equal_parts(frames):
    lengths = (1, 2, 3, 7, 8, 20, 100)
    clips = [[png(2 * number) for number in range(length)] for length in lengths]
    videos = prepare(clips, clip_frames=frames)["video"]
    assert videos.shape == (len(lengths), frames)
    for length, video in zip(lengths, videos, strict=True):
        expected = [2 * math.floor(fractions.Fraction(2 * i + 1, 2 * frames) * length) for i in range(frames)]
        assert decoded(video).shape == (frames, 12, 10, 3)
        # JPEG keeps a flat shade but for a rounding.
        np.testing.assert_allclose(decoded(video).mean(axis=(1, 2, 3)), expected, atol=1)


def test_frames_are_resized_like_pictures_and_stay_red_green_blue():
    frame = np.zeros((30, 40, 3), "uint8")
    frame[:15, :, 0], frame[15:, :20, 1], frame[15:, 20:, 2] = 200, 150, 100
    (video,) = prepare([[tf.io.encode_jpeg(frame, quality=100, chroma_downsampling=False).numpy()]])["video"]
    expected = tf.image.resize(frame, (12, 10), antialias=True)
    for shown in decoded(video):
        assert np.abs(shown - expected).mean() < 4
        assert (shown[2, 2] - [200, 0, 0] < 30).all() and shown[9, 2].argmax() == 1 and shown[9, 7].argmax() == 2


def test_empty_strings_fill_up_a_clip():
    clips = [[png(10), png(200)], [png(50)], [png(80)] * 4]
    filled = prepare([clip + [b""] * (4 - len(clip)) for clip in clips])["video"]
    np.testing.assert_array_equal(filled, prepare(clips)["video"])


def large_png(height, width):
    """A PNG that says it is large; some hundred bytes."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def large_jpeg():
    """A JPEG whose header was changed to say that it is large."""
    data = bytearray(tf.io.encode_jpeg(np.zeros((8, 8, 3), "uint8")).numpy())
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 9] = struct.pack(">HH", 60000, 60000)
    return bytes(data)


@pytest.mark.parametrize(
    "clip",
    [
        [],
        [b"", b""],
        [b"neither"],
        [large_png(40000, 40000)],
        [large_png(2**31, 1)],
        [large_jpeg()],
        [png(1)[:30]],
        [png(1)[:6]],
        [b"\xff\xd8\xff\xe0"],
    ],
)
def test_hostile_clips_are_lost_alone(clip):
    before, lost, after = prepare([[png(1)], clip, [png(200)]])["video"]
    assert set(lost.numpy()) == {b""}
    np.testing.assert_allclose(decoded(before), 1, atol=1)
    np.testing.assert_allclose(decoded(after), 200, atol=1)


def test_frames_that_are_not_chosen_are_not_decoded():
    # Of 16 frames, those of odd numbers.
    clip = [png(number) if number % 2 else b"broken" for number in range(16)]
    np.testing.assert_allclose(decoded(prepare([clip])["video"][0])[:, 0, 0, 0], range(1, 16, 2), atol=1)


def prepare_depth(depths, **changes):
    """The transformed depth of some clips, beside videos that are whole."""
    inputs = {
        "id": tf.fill([len(depths), 1], "x"),
        "labels": sparse([[b"a"]] * len(depths), tf.string),
        "video": sparse([[png(0)]] * len(depths), tf.string),
        "depth": sparse(depths, tf.string),
    }
    settings = {**SETTINGS, "modalities": ["depth", "video"], **changes}
    del settings["skeleton_frames"]
    return tf.function(lambda given: preprocessing_fn(given, settings))(inputs)["depth"]


def depth_png(pixels):
    """As another encoder writes it."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def decoded_depth(frames):
    """The frames by another decoder; `L` means one channel of 8 bits."""
    pictures = [Image.open(io.BytesIO(frame)) for frame in frames.numpy()]
    assert {(picture.format, picture.mode) for picture in pictures} == {("PNG", "L")}
    return np.stack([np.asarray(picture) for picture in pictures])


def test_depth_is_kept_exactly():
    clips = [np.random.default_rng(length).integers(0, 256, (length, 12, 10), "uint8") for length in (1, 3, 8, 20)]
    depths = prepare_depth([[depth_png(frame) for frame in clip] for clip in clips])
    assert depths.shape == (4, 8)
    for depth, clip in zip(depths, clips, strict=True):
        chosen = [math.floor(fractions.Fraction(2 * i + 1, 16) * len(clip)) for i in range(8)]
        np.testing.assert_array_equal(decoded_depth(depth), clip[chosen])


def test_depth_is_picked_and_not_averaged():
    # A hand in front of a wall: no pixel lies between them.
    frame = np.where(np.random.default_rng(0).random((48, 37)) < 0.5, 40, 200).astype("uint8")
    (depth,) = prepare_depth([[depth_png(frame)]])
    # The pixels in which the centres of the new ones lie.
    lines, columns = (np.arange(new) * 2 + 1 for new in (12, 10))
    expected = frame[(lines * 48 // 24)[:, None], columns * 37 // 20]
    for shown in decoded_depth(depth):
        np.testing.assert_array_equal(shown, expected)


def test_of_several_channels_depth_takes_the_brightness():
    frame = np.full((12, 10, 3), (200, 100, 50), "uint8")
    jpeg = tf.io.encode_jpeg(frame, quality=100, chroma_downsampling=False).numpy()
    # ITU-R BT.601.
    expected = 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    for depth in prepare_depth([[jpeg], [depth_png(frame)]]):
        np.testing.assert_allclose(decoded_depth(depth), expected, atol=1.5)


@pytest.mark.parametrize(
    "clip",
    [
        [],
        [b"neither"],
        [large_png(40000, 40000)],
        [png(1)[:20]],
        # Millimetres, as sensors give them.
        [depth_png(np.full((12, 10), 1500, "uint16"))],
    ],
)
def test_hostile_depth_is_lost_alone(clip):
    kept, lost = prepare_depth([[png(7)], clip])
    assert set(lost.numpy()) == {b""}
    np.testing.assert_allclose(decoded_depth(kept), 7)
