import numpy as np
import pytest

from components.multimodal_example_gen.readers.ntu_skeleton import MAX_METRES, read_skeleton, read_tracks
from components.multimodal_example_gen.row import SkipRowError
from tests.layouts.ntu_folder import BODY, skeleton_text


def read(bodies, max_frames=300):
    """What becomes of a clip; bodies by frame, as `skeleton_text` takes them."""
    return read_skeleton(skeleton_text(bodies).encode(), max_frames)


def moving(step, size=0.1, at=0.0):
    """A person at `at` metres to the side, one hand of which goes up and down by `size`."""
    joints = BODY + np.array([at, 0, 0])
    joints[11, 1] += size * np.sin(step)
    return joints


def second_parser(text):
    """Reads the grammar token by token, as the authors' Matlab function does: `{body id: {frame: (25, 3)}}`."""
    tokens = iter(text.split())
    bodies = {}
    for frame in range(int(next(tokens))):
        for _ in range(int(next(tokens))):
            body_id = next(tokens)
            for _ in range(9):
                next(tokens)
            rows = [[float(next(tokens)) for _ in range(12)] for _ in range(int(next(tokens)))]
            bodies.setdefault(body_id, {})[frame] = np.array(rows)[:, :3]
    assert next(tokens, None) is None
    return bodies


def test_the_grammar_as_a_second_parser_reads_it():
    generator = np.random.default_rng(0)
    bodies = [
        [(100 + body, generator.normal(0, 1, (25, 3)) + (0, 0, 3)) for body in range(6) if generator.random() < 0.5]
        for _ in range(40)
    ]
    # Frames without bodies, too, and one that comes late.
    bodies[0] = bodies[17] = []
    text = skeleton_text(bodies)
    expected = second_parser(text)
    num_frames, tracks = read_tracks(text.encode())
    assert num_frames == 40 and len(tracks) == 6
    # In the order of first appearance, which is that of the second parser's dictionary.
    for track, by_frame in zip(tracks, expected.values(), strict=True):
        assert list(track.frames) == list(by_frame)
        np.testing.assert_array_equal(track.joints, np.stack(list(by_frame.values())))


def test_line_ends_of_windows_and_blank_lines_at_the_end():
    text = skeleton_text([[(1, BODY)]] * 3)
    expected = read_skeleton(text.encode(), 300)
    for variant in (text.replace("\n", "\r\n"), text + "\n \n", text.rstrip("\n")):
        np.testing.assert_array_equal(read_skeleton(variant.encode(), 300), expected)


def test_one_body_is_as_in_the_file_beside_zeros():
    skeleton = read([[(1, moving(step))] for step in range(20)])
    assert skeleton.shape == (20, 2, 25, 3) and skeleton.dtype == np.float32
    expected = np.stack([moving(step) for step in range(20)])
    np.testing.assert_allclose(skeleton[:, 0], expected, atol=1e-6)
    assert not skeleton[:, 1].any()


def test_the_first_body_is_the_one_that_moves_most_whatever_the_file_says_first():
    def clip(order):
        people = {7: lambda step: moving(step, size=0.1), 3: lambda step: moving(step, size=0.9, at=1.0)}
        return [[(body, people[body](step)) for body in order] for step in range(20)]

    expected = np.stack([moving(step, size=0.9, at=1.0) for step in range(20)])
    for order in ((7, 3), (3, 7)):
        skeleton = read(clip(order))
        np.testing.assert_allclose(skeleton[:, 0], expected, atol=1e-6)
        np.testing.assert_allclose(skeleton[:, 1, 0], np.tile(BODY[0], (20, 1)), atol=1e-6)


def test_equal_motion_keeps_the_order_of_the_file():
    # Shifted by a power of two to the side: the variances are equal to the last bit or not at all, so compare twins.
    skeleton = read([[(7, BODY), (3, BODY)] for _ in range(20)])
    tracks = read_tracks(skeleton_text([[(7, BODY), (3, BODY + 0.0)]]).encode())[1]
    assert len(tracks) == 2
    np.testing.assert_array_equal(skeleton[:, 0], skeleton[:, 1])


def test_of_three_bodies_the_third_is_left_out():
    skeleton = read([[(body, moving(step, size=0.2 * body, at=body)) for body in (1, 2, 3)] for step in range(20)])
    np.testing.assert_allclose(skeleton[:, :, 0, 0], np.tile(BODY[0, 0] + np.array([3, 2]), (20, 1)), atol=1e-6)


def test_somebody_found_again_under_another_id_stays_one_person():
    bodies = [[(1 if step < 15 else 2, moving(step)), (9, moving(step, 0.01, at=1.0))] for step in range(30)]
    skeleton = read(bodies)
    np.testing.assert_allclose(skeleton[:, 0], np.stack([moving(step) for step in range(30)]), atol=1e-6)
    np.testing.assert_allclose(skeleton[:, 1], np.stack([moving(step, 0.01, 1.0) for step in range(30)]), atol=1e-6)


def test_frames_without_bodies_are_dropped():
    bodies = [[(1, moving(step))] if step % 3 else [] for step in range(30)]
    skeleton = read(bodies)
    expected = np.stack([moving(step) for step in range(30) if step % 3])
    np.testing.assert_allclose(skeleton[:, 0], expected, atol=1e-6)


def test_a_first_body_is_always_there():
    # Lost in frames 10 to 13, in which the second is seen; it walks a line.
    def walking(step):
        return BODY + np.array([0.1 * step, 0, 0])

    bodies = [
        [(1, walking(step))] * (step not in range(10, 14)) + [(2, moving(step, 0.01, at=-1.0))] for step in range(30)
    ]
    skeleton = read(bodies)
    np.testing.assert_allclose(skeleton[:, 0], np.stack([walking(step) for step in range(30)]), atol=1e-6)


def test_a_second_body_that_comes_late_is_zeros_before():
    bodies = [[(1, moving(step, 0.9))] + [(2, moving(step, 0.1, at=1.0))] * (step >= 10) for step in range(30)]
    skeleton = read(bodies)
    assert not skeleton[:10, 1].any() and skeleton[10:, 1].any(axis=(1, 2)).all()


def test_noise_short_or_wide_gives_way():
    table = np.stack([np.linspace(-3, 3, 25), np.full(25, 0.1) * np.arange(25) / 25, np.full(25, 2.0)], axis=1)
    bodies = [
        [(1, moving(step)), (2, table + 0.3 * np.sin(step))] + [(3, moving(9 * step, 3.0, at=2.0))] * (step < 11)
        for step in range(30)
    ]
    skeleton = read(bodies)
    np.testing.assert_allclose(skeleton[:, 0], np.stack([moving(step) for step in range(30)]), atol=1e-6)
    assert not skeleton[:, 1].any()
    # Twelve frames are enough to stay, and noise that is alone stays too.
    bodies[11] = bodies[11] + [(3, moving(99, 3.0, at=2.0))]
    assert read(bodies)[:, 1].any()
    assert read([[(2, table)] for _ in range(5)]).shape == (5, 2, 25, 3)


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf", "1e400", f"{MAX_METRES + 1}", "-1e30"])
def test_a_joint_that_is_no_place_is_interpolated_in_time(bad):
    # A joint that goes along a line: what lies between is known.
    def walking(step):
        return BODY + np.array([0.1 * step, 0, 0])

    text = skeleton_text([[(1, walking(step))] for step in range(20)])
    lines = text.split("\n")
    for step in (0, 7, 8, 19):
        line = 1 + step * 28 + 3 + 4
        lines[line] = " ".join([bad, *lines[line].split()[1:]])
    skeleton = read_skeleton("\n".join(lines).encode(), 300)
    expected = np.stack([walking(step) for step in range(20)])
    # The ends stay where they are.
    expected[0, 4], expected[19, 4] = expected[1, 4], expected[18, 4]
    np.testing.assert_allclose(skeleton[:, 0], expected, atol=1e-6)


def test_a_body_with_a_joint_that_is_never_there_is_left_out():
    broken = BODY.copy()
    broken[5] = np.nan
    assert not read([[(1, broken), (2, moving(step))] for step in range(20)])[:, 1].any()
    with pytest.raises(SkipRowError, match="none of 1 bodies") as error:
        read([[(1, broken)]] * 20)
    assert error.value.reason == "no_body"


def test_long_clips_are_sampled_from_the_first_frame_to_the_last():
    bodies = [[(1, BODY + np.array([0, 0, 0.01 * step]))] for step in range(101)]
    skeleton = read(bodies, max_frames=5)
    np.testing.assert_allclose(skeleton[:, 0, 0, 2] - BODY[0, 2], [0, 0.25, 0.5, 0.75, 1.0], atol=1e-6)


def replaced(line, value):
    lines = skeleton_text([[(1, BODY)], [(1, BODY), (2, BODY)], []]).split("\n")
    lines[line] = value
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "reason", "detail"),
    [
        ("", "truncated_skeleton", "line 1.*the number of frames"),
        ("3\n", "truncated_skeleton", "line 2.*the number of bodies"),
        ("0\n", "no_body", "none of 0"),
        ("2\n0\n0\n", "no_body", "none of 0"),
        ("10001\n", "broken_skeleton", "line 1: the number of frames is 10001, at most 10000"),
        ("9" * 5000, "broken_skeleton", "line 1: no number"),
        ("-1\n", "broken_skeleton", "line 1: no number"),
        ("1.0\n0\n", "broken_skeleton", "line 1: no number"),
        ("1_0\n" + "0\n" * 10, "broken_skeleton", "line 1: no number"),
        ("1\n1000000\n", "broken_skeleton", "line 2: the number of bodies"),
        (replaced(3, "24"), "broken_skeleton", "line 4: the body has 24 joints"),
        (replaced(3, "26"), "broken_skeleton", "line 4: the number of joints is 26"),
        (replaced(2, "1 0 1"), "broken_skeleton", "line 3: 3 fields, expected 10 of a body"),
        (replaced(9, "a b c 1 1 1 1 1 1 1 1 2"), "broken_skeleton", "line 10: no number among the coordinates"),
        (replaced(9, ""), "broken_skeleton", "line 10: 0 fields, expected 12 of a joint"),
        (replaced(9, "1 2 3"), "broken_skeleton", "line 10: 3 fields"),
        (replaced(9, "1 2 3 1 1 1 1 1 1 1 1 2 2"), "broken_skeleton", "line 10: 13 fields"),
        (replaced(57, "1 0 1 1 0 1 0 -0.0213 0.1325 2"), "broken_skeleton", "same body twice"),
        (replaced(84, "0\nwhat is this"), "broken_skeleton", "goes on after its last frame"),
        (replaced(84, "0")[:-900], "truncated_skeleton", "the file ends at line"),
    ],
)
def test_what_is_refused(text, reason, detail):
    with pytest.raises(SkipRowError, match=detail) as error:
        read_skeleton(text.encode(), 300)
    assert error.value.reason == reason
