"""Clips and skeletons through `preprocessing_fn` itself: it needs no pass over the data."""

import numpy as np
import tensorflow as tf

from components.transform.preprocessing import preprocessing_fn

SETTINGS = {
    "classes": ["a", "b"],
    "multi_label": False,
    "modalities": ["skeleton", "video"],
    "skeleton_frames": 16,
    "clip_frames": 8,
    "clip_size": [12, 10],
}


def sparse(rows, dtype):
    """Rows of any length as `tf.io.parse_example` gives them."""
    ragged = tf.RaggedTensor.from_row_lengths(
        tf.constant([value for row in rows for value in row], dtype), [len(row) for row in rows]
    )
    return ragged.to_sparse()


def prepare(videos=None, skeletons=None, **changes):
    """The transformed features of some clips; each lacks nothing but what is given."""
    number = len(videos if videos is not None else skeletons)
    videos = [[png(0)]] * number if videos is None else videos
    skeletons = [np.ones((1, 2, 25, 3))] * number if skeletons is None else skeletons
    inputs = {
        "id": tf.fill([number, 1], "x"),
        "labels": sparse([[b"a"]] * number, tf.string),
        "video": sparse(videos, tf.string),
        "skeleton": sparse([np.ravel(skeleton) for skeleton in skeletons], tf.float32),
    }
    return tf.function(lambda given: preprocessing_fn(given, {**SETTINGS, **changes}))(inputs)


def png(shade, size=(6, 7)):
    return tf.io.encode_png(np.full((*size, 3), shade, "uint8")).numpy()
