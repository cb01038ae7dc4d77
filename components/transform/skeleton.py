"""Skeletons to the backbone's number of frames, centred."""

from __future__ import annotations

import math

import tensorflow as tf

from components.transform.raw_features import as_ragged
from hfmnas_keras.data.modalities import SKELETON_FRAME

#: The spine's middle, which skeletons are centred on.
CENTRE_BODY, CENTRE_JOINT = 0, 1


def prepare_skeletons(skeleton: tf.Tensor | tf.SparseTensor, skeleton_frames: int) -> tf.Tensor:
    """Centres and resamples skeletons, to `(batch, skeleton_frames, 2, 25, 3)`; one that is none becomes NaN."""
    numbers = as_ragged(skeleton)
    frame_size = math.prod(SKELETON_FRAME)
    lengths = numbers.row_lengths()
    is_finite = tf.reduce_all(numbers.with_values(tf.math.is_finite(numbers.values)), axis=1)
    is_good = (lengths > 0) & (lengths % frame_size == 0) & is_finite
    resampled = _resampled(tf.ragged.boolean_mask(numbers, is_good), skeleton_frames)
    shape = tf.stack([tf.size(is_good), skeleton_frames, *SKELETON_FRAME])
    whole = tf.tensor_scatter_nd_update(tf.fill(shape, float("nan")), tf.where(is_good), resampled)
    return tf.ensure_shape(whole, [None, skeleton_frames, *SKELETON_FRAME])


def _resampled(numbers: tf.RaggedTensor, skeleton_frames: int) -> tf.Tensor:
    frames = tf.RaggedTensor.from_row_splits(
        tf.reshape(numbers.values, [-1, *SKELETON_FRAME]), numbers.row_splits // math.prod(SKELETON_FRAME)
    )
    frames = _with_bodies(frames)

    # The frames of all rows in one list: (frames, bodies, joints, coordinates), and (frames, bodies).
    joints, rows = frames.values, frames.value_rowids()
    is_seen = tf.reduce_any(joints != 0, axis=[2, 3])
    total = tf.size(rows, tf.int64)
    first = tf.where(is_seen[:, CENTRE_BODY], tf.range(total), total)
    first = tf.math.unsorted_segment_min(first, rows, frames.nrows())
    # Without the body, nothing is moved.
    centres = tf.concat([joints[:, CENTRE_BODY, CENTRE_JOINT], tf.zeros([1, SKELETON_FRAME[-1]])], axis=0)
    centres = tf.gather(tf.gather(centres, first), rows)[:, tf.newaxis, tf.newaxis]
    centred = tf.where(is_seen[:, :, tf.newaxis, tf.newaxis], joints - centres, 0.0)

    # Places in time as whole numbers of parts, which do not round: (batch, skeleton_frames).
    last = frames.row_lengths()[:, tf.newaxis] - 1
    places, parts = tf.range(skeleton_frames, dtype=tf.int64) * last, skeleton_frames - 1
    before = places // parts
    share = tf.cast(places % parts, tf.float32) / parts
    starts = frames.row_starts()[:, tf.newaxis]
    earlier, later = (tf.gather(centred, starts + frame) for frame in (before, tf.minimum(before + 1, last)))
    return earlier + share[..., tf.newaxis, tf.newaxis, tf.newaxis] * (later - earlier)


def _with_bodies(frames: tf.RaggedTensor) -> tf.RaggedTensor:
    """Leaves out the frames of zeros; of a row that has no others the first one stays."""
    has_body = tf.reduce_any(frames.values != 0, axis=[1, 2, 3])
    row_has_body = tf.reduce_any(frames.with_values(has_body), axis=1)
    rows = frames.value_rowids()
    is_first = tf.equal(tf.range(tf.size(rows, tf.int64)), tf.gather(frames.row_starts(), rows))
    is_kept = has_body | (is_first & ~tf.gather(row_has_body, rows))
    return tf.ragged.boolean_mask(frames, frames.with_values(is_kept))
