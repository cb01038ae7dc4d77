"""The preparation of skeletons, by the function itself."""

import numpy as np
import pytest
import tensorflow as tf

from tests.components.transform.prepare_clips import prepare


def two_people(frames, seed=0):
    """Somebody all the time, and somebody else in the last two thirds."""
    skeleton = np.random.default_rng(seed).normal(2, 1, (frames, 2, 25, 3)).astype("float32")
    skeleton[: frames // 3, 1] = 0
    return skeleton


def resampled(skeleton, frames=16):
    """The same by numpy, in float64."""
    skeleton = np.asarray(skeleton, "float64")
    is_seen = np.array([[bool(np.count_nonzero(body)) for body in frame] for frame in skeleton])
    if is_seen.any():
        skeleton, is_seen = skeleton[is_seen.any(axis=1)], is_seen[is_seen.any(axis=1)]
    if is_seen[:, 0].any():
        first = int(np.flatnonzero(is_seen[:, 0])[0])
        centre = skeleton[first, 0, 1].copy()
        skeleton = np.array([[body - centre if body.any() else body for body in frame] for frame in skeleton])
    flat = skeleton.reshape(len(skeleton), -1)
    places = np.linspace(0, len(skeleton) - 1, frames)
    columns = [np.interp(places, np.arange(len(skeleton)), column) for column in flat.T]
    return np.stack(columns, axis=1).reshape(frames, 2, 25, 3)


def test_skeletons_are_centred_and_resampled():
    late = two_people(9)
    late[:4, 0] = 0
    late[:4, 1] = 1
    clips = [two_people(length, seed=length) for length in (1, 2, 5, 16, 40, 300)] + [late]
    skeletons = prepare(skeletons=clips)["skeleton"]
    assert skeletons.dtype == tf.float32 and skeletons.shape == (len(clips), 16, 2, 25, 3)
    for skeleton, clip in zip(skeletons, clips, strict=True):
        np.testing.assert_allclose(skeleton, resampled(clip), atol=1e-5)
    # By hand: body 1's joint 2 starts at the origin, and who is absent stays there.
    assert np.abs(skeletons[4, 0, 0, 1]).max() == 0 and np.abs(skeletons[4, 0, 1]).max() == 0


def test_frames_without_a_body_are_left_out():
    clip = two_people(10)
    nobody = np.zeros((3, 2, 25, 3), "float32")
    gaps = np.concatenate([nobody, clip[:5], nobody, clip[5:], nobody])
    filled, plain, empty = prepare(skeletons=[gaps, clip, nobody])["skeleton"]
    np.testing.assert_allclose(filled, plain, atol=1e-6)
    assert np.abs(empty).max() == 0


def test_where_a_clip_stands_does_not_matter():
    clip = two_people(10)
    moved = np.where(np.abs(clip).sum(axis=(2, 3), keepdims=True) > 0, clip + np.float32([3, -2, 1]), 0)
    first, second = prepare(skeletons=[clip, moved])["skeleton"]
    np.testing.assert_allclose(first, second, atol=1e-5)


@pytest.mark.parametrize(
    "skeleton", [np.ones(149), np.ones(0), np.full(150, np.nan), np.full(150, np.inf), np.r_[np.ones(299), np.nan]]
)
def test_broken_skeletons_are_lost_alone(skeleton):
    clip = two_people(5)
    before, lost, after = prepare(skeletons=[clip, skeleton, clip])["skeleton"].numpy()
    assert np.isnan(lost).all()
    np.testing.assert_array_equal(before, after)
    np.testing.assert_allclose(before, resampled(clip), atol=1e-5)
    (alone,) = prepare(skeletons=[skeleton])["skeleton"].numpy()
    assert np.isnan(alone).all()
