"""Real files through the real decoder process; what kills it or hangs is another `answer` in its place."""

import fractions
import io
import os
import re

import av
import numpy as np
import pytest
from PIL import Image

from components.multimodal_example_gen.readers import limited_process, video_decoder, video_frames
from components.multimodal_example_gen.readers.video_decoder import check_video_support, read_clip
from components.multimodal_example_gen.row import SkipRowError
from tests.layouts.ntu_folder import write_video

STEP = 4


def greys(number, size=(48, 64)):
    """Frames whose brightness is their number."""
    frames = np.zeros((number, *size, 3), np.uint8)
    frames += np.arange(20, 20 + STEP * number, STEP, dtype=np.uint8)[:, None, None, None]
    return frames


def numbers_of(frames):
    """The frame numbers that JPEGs of `greys` show."""
    return [round((float(np.asarray(picture(frame)).mean()) - 20) / STEP) for frame in frames]


def picture(frame):
    return Image.open(io.BytesIO(frame))


def read(path, max_frames=24, short_side=256, quality=90, **settings):
    return read_clip(str(path), max_frames, short_side, quality, **settings)


@pytest.fixture(autouse=True)
def fresh_decoder():
    """A decoder process for this test alone."""
    limited_process.stop()
    yield
    limited_process.stop()


@pytest.mark.parametrize("codec", ["mjpeg", "mpeg4", "libx264"])
def test_frames_from_the_first_to_the_last(tmp_path, codec):
    write_video(tmp_path / "clip.avi", greys(50), codec)
    # Of 50 frames 24: index i is i * 49 / 23 to the nearest, in fractions and so without rounding errors.
    expected = [round(fractions.Fraction(index * 49, 23)) for index in range(24)]
    assert numbers_of(read(tmp_path / "clip.avi")) == expected
    assert expected[0] == 0 and expected[-1] == 49
    assert numbers_of(read(tmp_path / "clip.avi", max_frames=2)) == [0, 49]
    assert numbers_of(read(tmp_path / "clip.avi", max_frames=50)) == list(range(50))
    assert numbers_of(read(tmp_path / "clip.avi", max_frames=51)) == list(range(50))


def test_even_indices():
    for count in range(1, 60):
        for at_most in range(2, 30):
            indices = video_frames.even_indices(count, at_most)
            assert len(indices) == min(count, at_most) and indices[0] == 0 and indices[-1] == count - 1
            steps = np.diff(indices)
            assert len(indices) == 1 or (steps.min() >= 1 and steps.max() - steps.min() <= 1)


@pytest.mark.parametrize("codec", ["mjpeg", "mpeg4"])
def test_colours_are_red_green_and_blue(tmp_path, codec):
    colours = np.array([(230, 20, 30), (20, 210, 40), (30, 40, 220)], np.uint8)
    write_video(tmp_path / "clip.avi", np.tile(colours[:, None, None], (1, 48, 64, 1)), codec)
    found = [np.asarray(picture(frame)) for frame in read(tmp_path / "clip.avi")]
    assert [image.shape for image in found] == [(48, 64, 3)] * 3
    np.testing.assert_allclose([image.mean((0, 1)) for image in found], colours, atol=6)


def test_large_frames_are_scaled_to_the_short_side_and_small_ones_are_left(tmp_path):
    frames = np.zeros((3, 120, 192, 3), np.uint8)
    frames[:, :, 96:] = (0, 0, 200)
    write_video(tmp_path / "clip.avi", frames)
    image = picture(read(tmp_path / "clip.avi", short_side=60)[0])
    assert image.size == (96, 60) and image.mode == "RGB" and image.format == "JPEG"
    np.testing.assert_allclose(image.getpixel((90, 30)), (0, 0, 200), atol=8)
    np.testing.assert_allclose(image.getpixel((5, 30)), (0, 0, 0), atol=8)
    assert picture(read(tmp_path / "clip.avi", short_side=256)[0]).size == (192, 120)


def chunks_of(data):
    """Where the chunks of an AVI's frames begin; between the list of frames and the index behind it."""
    return [
        match.start() for match in re.finditer(b"00dc", data) if data.find(b"movi") < match.start() < data.find(b"idx1")
    ]


def test_a_file_that_lost_its_end_ends_with_its_last_frame(tmp_path):
    write_video(tmp_path / "clip.avi", greys(50))
    data = (tmp_path / "clip.avi").read_bytes()
    chunks = chunks_of(data)
    assert len(chunks) == 50
    # In the middle of the 49th frame: 48 are whole.
    (tmp_path / "cut.avi").write_bytes(data[: chunks[48] + 20])
    found = numbers_of(read(tmp_path / "cut.avi"))
    assert len(found) == 24 and found[0] == 0 and found[-1] == 47 and np.all(np.diff(found) >= 1)
    (tmp_path / "half.avi").write_bytes(data[: chunks[25]])
    with pytest.raises(SkipRowError, match="only 25 of 50 frames") as error:
        read(tmp_path / "half.avi")
    assert error.value.reason == "broken_video"


def test_a_frame_that_cannot_be_decoded_is_never_given_for_one(tmp_path):
    write_video(tmp_path / "clip.avi", greys(50))
    data = bytearray((tmp_path / "clip.avi").read_bytes())
    chunks = chunks_of(data)
    assert len(chunks) == 50
    for broken in (0, 20, 49):
        start, size = chunks[broken] + 8, int.from_bytes(data[chunks[broken] + 4 : chunks[broken] + 8], "little")
        data[start : start + size] = bytes(size)
    (tmp_path / "clip.avi").write_bytes(data)
    assert numbers_of(read(tmp_path / "clip.avi", max_frames=64)) == [
        number for number in range(50) if number not in (0, 20, 49)
    ]
    found = numbers_of(read(tmp_path / "clip.avi"))
    assert found[0] == 1 and found[-1] == 48 and len(found) == 24


def test_two_readings_are_equal(tmp_path):
    write_video(tmp_path / "clip.avi", np.random.default_rng(0).integers(0, 255, (30, 48, 64, 3), np.uint8), "mpeg4")
    assert read(tmp_path / "clip.avi") == read(tmp_path / "clip.avi")


def is_refused(path, reason, detail, **settings):
    with pytest.raises(SkipRowError, match=detail) as error:
        read(path, **settings)
    assert error.value.reason == reason


def test_what_is_refused(tmp_path, monkeypatch):
    is_refused(tmp_path / "none.avi", "missing_video", "no file 'none.avi'")
    (tmp_path / "empty.avi").write_bytes(b"")
    is_refused(tmp_path / "empty.avi", "unreadable_video", "decoder says")
    # A playlist could make the decoder open any file or address; only AVI is looked at.
    (tmp_path / "list.avi").write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n")
    is_refused(tmp_path / "list.avi", "unreadable_video", "decoder says")
    (tmp_path / "concat.avi").write_text("ffconcat version 1.0\nfile clip.avi\n")
    is_refused(tmp_path / "concat.avi", "unreadable_video", "decoder says")
    write_video(tmp_path / "ffv1.avi", greys(3), "ffv1")
    is_refused(tmp_path / "ffv1.avi", "unsupported_video", "codec is ffv1, expected one of mpeg4, h264, mjpeg")
    monkeypatch.setattr(video_decoder, "MAX_FILE_BYTES", 100)
    is_refused(tmp_path / "ffv1.avi", "video_too_large", "at most 100 are read")


def test_frames_larger_than_any_of_the_data_are_not_decoded(tmp_path):
    write_video(tmp_path / "clip.avi", greys(3))
    data = bytearray((tmp_path / "clip.avi").read_bytes())
    for place in chunks_of(data):
        # Height and width in the header of the JPEG that the frame is.
        size = data.find(b"\xff\xc0", place) + 5
        assert data[size : size + 4] == bytes([0, 48, 0, 64])
        data[size : size + 4] = (30_000).to_bytes(2, "big") * 2
    (tmp_path / "clip.avi").write_bytes(data)
    is_refused(tmp_path / "clip.avi", "unreadable_video", "none of 3 frames can be decoded")
    write_video(tmp_path / "large.avi", np.zeros((2, 2400, 4096, 3), np.uint8), "mpeg4")
    is_refused(tmp_path / "large.avi", "video_too_large", "4096 x 2400, at most 9437184 pixels")


def test_a_size_that_changes_on_the_way_is_refused(tmp_path):
    def packets(container, size):
        stream = container.add_stream("mjpeg", rate=30)
        stream.width, stream.height, stream.pix_fmt = *size, "yuvj420p"
        return [
            packet
            for _ in range(5)
            for packet in stream.encode(av.VideoFrame.from_ndarray(np.zeros((*size[::-1], 3), np.uint8), "rgb24"))
        ]

    with av.open(str(tmp_path / "large.avi"), "w", format="avi") as other:
        large = [bytes(packet) for packet in packets(other, (96, 64))]
    with av.open(str(tmp_path / "clip.avi"), "w", format="avi") as container:
        small = packets(container, (64, 48))
        container.mux(small)
        for number, data in enumerate(large):
            packet = av.Packet(data)
            packet.stream, packet.time_base = container.streams.video[0], small[0].time_base
            packet.pts = packet.dts = len(small) + number
            container.mux(packet)
    is_refused(tmp_path / "clip.avi", "broken_video", r"size changes from \(64, 48\) to \(96, 64\)")


def test_long_videos_are_refused(tmp_path):
    write_video(tmp_path / "clip.avi", np.zeros((video_frames.MAX_FRAMES + 1, 16, 16, 3), np.uint8), "mpeg4")
    is_refused(tmp_path / "clip.avi", "video_too_long", "more than 10000 frames")


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Puts a file in the place of the decoder's."""

    def put(text):
        path = tmp_path / "decoder.py"
        path.write_text(text)
        limited_process.stop()
        monkeypatch.setattr(video_frames, "__file__", str(path))

    return put


def test_a_decoder_that_dies_costs_its_clip_alone(tmp_path, script, monkeypatch):
    write_video(tmp_path / "clip.avi", greys(3))
    real = video_frames.__file__
    script("import os\ndef answer(**request): os.kill(os.getpid(), 11)\n")
    is_refused(tmp_path / "clip.avi", "decoder_crashed", "ended by SIGSEGV")
    monkeypatch.setattr(video_frames, "__file__", real)
    assert numbers_of(read(tmp_path / "clip.avi")) == [0, 1, 2]


def test_a_decoder_that_hangs_is_given_up(tmp_path, script):
    write_video(tmp_path / "clip.avi", greys(3))
    script("import time\ndef answer(**request): time.sleep(600)\n")
    is_refused(tmp_path / "clip.avi", "decoder_timeout", "more than 0.5 seconds", max_seconds=0.5)


def test_without_pyav_the_extra_is_named(tmp_path, monkeypatch):
    write_video(tmp_path / "clip.avi", greys(3))
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "av.py").write_text("raise ImportError('no libavcodec')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"), prepend=os.pathsep)
    with pytest.raises(RuntimeError, match=r"hfmnas-keras\[video\].*no libavcodec"):
        read(tmp_path / "clip.avi")
    monkeypatch.setattr(video_decoder.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"needs PyAV.*hfmnas-keras\[video\]"):
        check_video_support()
