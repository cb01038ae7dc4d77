"""The preparation of raw examples: one graph for training and serving."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow_transform as tft

from hfmnas_keras.data.modalities import MODALITIES, SKELETON_FRAME

VOCABULARY = "text_vocabulary"
PADDING_ID = 0
#: Of a frame, before anything of it is decoded; as in the ingest.
MAX_FRAME_PIXELS = 4096 * 2304
#: The spine's middle, which skeletons are centred on.
CENTRE_BODY, CENTRE_JOINT = 0, 1
# Exact PNG frames of photographs take two and a half times the memory.
_JPEG_QUALITY = 95
_SETTINGS = ("classes", "multi_label", "modalities")
# Not among the settings that are used, but allowed: it makes the cache notice a change of this file.
_FINGERPRINT = "code_fingerprint"


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Prepares raw examples; the `preprocessing_fn` of Transform.

    Give Transform `splits_config=transform_pb2.SplitsConfig(analyze=["train"], transform=["train", "dev", "test"])`:
    the vocabulary must not have seen the words of dev and test.

    Pictures: PNG, JPEG, BMP and the first frame of GIF; transparency (PNG) becomes white, as in the ingest, so that a
    served picture is treated as the same picture in training was. Resized with antialiasing to the size of the
    backbone without keeping the aspect ratio, rounded, stored as PNG: exact and small.

    Texts: lower case; a word is a run of letters, marks and digits of any script, each Chinese or Japanese character
    being a word of its own; bytes that are not UTF-8 separate words. A text without any word is all padding.

    Clips: of T frames those of index ((2i+1) T) // (2 clip_frames), the middle of each of so many equal parts, so that
    none is empty however short the clip is; other frames are never decoded. Empty strings at the end count as no
    frames. Frames are PNG or JPEG, of at most `MAX_FRAME_PIXELS`. Colour is resized like pictures, and kept as JPEG.
    Depth has one channel (of several the brightness is taken) of 8 bits, is resized by picking the nearest pixel, since
    between near and far there is nothing, and kept as PNG: exact.

    Skeletons: frames without a body are left out, unless there are no others; each body that a frame has is moved by
    the place where joint 2 of body 1 is first seen, absent ones stay zeros; then T frames are resampled to
    `skeleton_frames` at linspace(0, T-1) by linear interpolation.

    Labels are optional, because a request has none: a row without a known label gets `label` -1, or no class at all.

    Args:
        inputs: dict of raw features: `id` of shape `(batch, 1)`, `labels` sparse or dense, and each modality's own;
            strings.
        custom_config: dict. `classes` (list of names in the order of the label ids), `multi_label` (bool), `modalities`
            (list of names), what `settings_of` names for them, and, unused here, `code_fingerprint`:

            | modality | settings |
            | --- | --- |
            | `image` | `image_size` (height, width) |
            | `text` | `max_tokens` (int), `min_frequency` (int; rarer words are out of vocabulary) |
            | `skeleton` | `skeleton_frames` (int) |
            | `depth`, `video` | `clip_frames` (int), `clip_size` (height, width) |

    Returns:
        dict with `id` string `(batch, 1)`; for each modality its feature:

        | modality | feature |
        | --- | --- |
        | `image` | `image` string `(batch, 1)`, a PNG each |
        | `text` | `tokens` int64 `(batch, max_tokens)`: 0 is padding, then the vocabulary from the most frequent word \
at 1, the last id is any other word |
        | `skeleton` | `skeleton` float32 `(batch, skeleton_frames, 2, 25, 3)`, metres |
        | `depth` | `depth` string `(batch, clip_frames)`, a PNG of one channel each |
        | `video` | `video` string `(batch, clip_frames)`, a JPEG each |

        and `label` int64 `(batch, 1)` or, multi-label, `labels` float32 `(batch, classes)` of 0 and 1.

    Raises:
        ValueError: when `custom_config` lacks a setting or has an unknown one, or names an unknown modality.
    """
    modalities = _checked_modalities(custom_config)
    outputs = {"id": tf.reshape(_dense(inputs["id"]), [-1, 1])}
    for name in modalities:
        preparation = _PREPARATIONS[name]
        settings = {key: custom_config[key] for key in preparation.settings}
        outputs[MODALITIES[name].input_name] = preparation.prepare(inputs[name], **settings)
    multi_hot = _multi_hot(inputs["labels"], custom_config["classes"])
    if custom_config["multi_label"]:
        outputs["labels"] = multi_hot
    else:
        known = tf.reduce_max(multi_hot, axis=1) > 0
        label = tf.where(known, tf.argmax(multi_hot, axis=1, output_type=tf.int64), tf.constant(-1, tf.int64))
        outputs["label"] = tf.reshape(label, [-1, 1])
    return outputs


def vocabulary_size(tf_transform_output: tft.TFTransformOutput) -> int:
    """Returns the number of token ids: padding, the vocabulary's words, and one for all other words.

    Args:
        tf_transform_output: tft.TFTransformOutput of the Transform that ran `preprocessing_fn`.

    Returns:
        int. Ids go from 0 to one less.
    """
    return 1 + tf_transform_output.vocabulary_size_by_name(VOCABULARY) + 1


def words_of(text: tf.Tensor) -> tf.RaggedTensor:
    """Splits texts into lower-case words.

    Args:
        text: string tensor of shape `(batch,)`.

    Returns:
        Ragged string tensor of shape `(batch, words)`.
    """
    # Replaces what is not UTF-8, which the regular expressions below would not match.
    text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace", replacement_char=32)
    text = tf.strings.lower(text, encoding="utf-8")
    # These scripts write no blanks between words.
    text = tf.strings.regex_replace(text, r"([\p{Han}\p{Hiragana}\p{Katakana}])", r" \1 ")
    text = tf.strings.regex_replace(text, r"[^\p{L}\p{M}\p{N}]+", " ")
    return tf.strings.split(text)


def settings_of(modalities: Iterable[str]) -> list[str]:
    """Returns the names of the settings in `custom_config` that the preparation of these modalities takes."""
    # Modalities share some.
    return list(dict.fromkeys(setting for name in modalities for setting in _PREPARATIONS[name].settings))


def _dense(feature: tf.Tensor | tf.SparseTensor) -> tf.Tensor:
    return tf.sparse.to_dense(feature) if isinstance(feature, tf.SparseTensor) else feature


def _checked_modalities(custom_config: dict[str, Any]) -> list[str]:
    custom_config = custom_config or {}
    modalities = list(custom_config.get("modalities") or ())
    if not modalities or not set(modalities) <= set(_PREPARATIONS):
        raise ValueError(
            f"`modalities` in the `custom_config` of Transform must be some of {sorted(_PREPARATIONS)}. "
            f"Received: {modalities}."
        )
    expected = [*_SETTINGS, *settings_of(modalities)]
    if set(custom_config) - {_FINGERPRINT} != set(expected):
        raise ValueError(
            f"`custom_config` of Transform must have {expected} for {modalities} and may have {_FINGERPRINT!r}. "
            f"Received: {sorted(custom_config)}."
        )
    return modalities


def _images(image: tf.Tensor, image_size: Sequence[int]) -> tf.Tensor:
    """Decodes, resizes and encodes again; to `(batch, 1)`."""

    def decode_one(one: tf.Tensor) -> tf.Tensor:
        image = tf.cond(_is_png(one), lambda: _png_on_white(one), lambda: _decode_rgb(one))
        image.set_shape([None, None, 3])
        image = tf.image.resize(image, tuple(image_size), antialias=True)
        return tf.io.encode_png(tf.cast(tf.clip_by_value(tf.round(image), 0.0, 255.0), tf.uint8))

    # One by one: pictures of a batch differ in size.
    encoded = tf.reshape(_dense(image), [-1])
    return tf.reshape(tf.map_fn(decode_one, encoded, fn_output_signature=tf.string), [-1, 1])


def _decode_rgb(encoded: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.io.decode_image(encoded, channels=3, expand_animations=False), tf.float32)


def _png_on_white(encoded: tf.Tensor) -> tf.Tensor:
    image = tf.cast(tf.io.decode_png(encoded, channels=4), tf.float32)
    alpha = image[..., 3:] / 255.0
    return image[..., :3] * alpha + 255.0 * (1.0 - alpha)


def _videos(clip: tf.Tensor | tf.SparseTensor, clip_frames: int, clip_size: Sequence[int]) -> tf.Tensor:
    """Samples frames, decodes, resizes and encodes them again, as JPEG; to `(batch, clip_frames)`."""

    def resize_one(encoded: tf.Tensor) -> tf.Tensor:
        image = _decode_frame(encoded, channels=3)
        image = tf.image.resize(image, tuple(clip_size), antialias=True)
        image = tf.cast(tf.clip_by_value(tf.round(image), 0.0, 255.0), tf.uint8)
        return tf.io.encode_jpeg(image, quality=_JPEG_QUALITY, chroma_downsampling=False)

    return _sampled_frames(clip, clip_frames, resize_one)


def _depth_clips(clip: tf.Tensor | tf.SparseTensor, clip_frames: int, clip_size: Sequence[int]) -> tf.Tensor:
    """Samples frames, decodes, resizes and encodes them again, as PNG; to `(batch, clip_frames)`."""

    def resize_one(encoded: tf.Tensor) -> tf.Tensor:
        # What a PNG says of its bits a channel lies at a fixed place; of 16 the lower 8 would be lost.
        is_deep = _is_png(encoded) & tf.equal(tf.strings.substr(encoded + b"\0" * 25, 24, 1), b"\x10")
        told = ["A frame of depth has 16 bits. Give 8 bits, scaled as those that the model was trained on."]
        with tf.control_dependencies([tf.debugging.Assert(~is_deep, told)]):
            image = _decode_frame(encoded, channels=1)
        return tf.io.encode_png(tf.image.resize(image, tuple(clip_size), method="nearest"))

    return _sampled_frames(clip, clip_frames, resize_one)


def _sampled_frames(
    clip: tf.Tensor | tf.SparseTensor, clip_frames: int, prepare_one: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """Chooses frames, evenly over each clip, and prepares them; to `(batch, clip_frames)`."""
    frames = _ragged(clip)
    lengths = tf.reduce_sum(frames.with_values(tf.cast(tf.strings.length(frames.values) > 0, tf.int64)), axis=1)
    with tf.control_dependencies([tf.debugging.assert_positive(lengths, "A clip has no frame.")]):
        # (batch, clip_frames)
        numbers = (2 * tf.range(clip_frames, dtype=tf.int64) + 1) * lengths[:, tf.newaxis] // (2 * clip_frames)
    chosen = tf.reshape(tf.gather(frames.values, frames.row_starts()[:, tf.newaxis] + numbers), [-1])

    # One by one: a batch of decoded clips may not fit into memory.
    encoded = tf.map_fn(prepare_one, chosen, fn_output_signature=tf.string)
    return tf.ensure_shape(tf.reshape(encoded, [-1, clip_frames]), [None, clip_frames])


def _decode_frame(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes a frame, after a look at its header: what would fill the memory is refused."""
    is_png = _is_png(encoded)
    is_jpeg = tf.equal(tf.strings.substr(encoded, 0, 3), b"\xff\xd8\xff")
    with tf.control_dependencies([tf.debugging.Assert(is_png | is_jpeg, ["A frame is neither PNG nor JPEG."])]):
        # A PNG's width and height lie at a fixed place; with zeros where it is cut off.
        size = tf.cond(
            is_png,
            lambda: tf.io.decode_raw(tf.strings.substr(encoded + b"\0" * 24, 16, 8), tf.int32, little_endian=False),
            lambda: tf.io.extract_jpeg_shape(encoded)[:2],
        )
    pixels = tf.reduce_prod(tf.cast(size, tf.int64))
    is_bounded = tf.reduce_all(size >= 0) & (pixels <= MAX_FRAME_PIXELS)
    told = ["A frame of too many pixels, of which", MAX_FRAME_PIXELS, "are allowed:", size]
    with tf.control_dependencies([tf.debugging.Assert(is_bounded, told)]):
        image = tf.io.decode_image(tf.identity(encoded), channels=channels, expand_animations=False)
    return tf.ensure_shape(image, [None, None, channels])


def _is_png(encoded: tf.Tensor) -> tf.Tensor:
    return tf.equal(tf.strings.substr(encoded, 0, 4), b"\x89PNG")


def _skeletons(skeleton: tf.Tensor | tf.SparseTensor, skeleton_frames: int) -> tf.Tensor:
    """Centres and resamples skeletons, to `(batch, skeleton_frames, 2, 25, 3)`."""
    numbers = _ragged(skeleton)
    frame_size = math.prod(SKELETON_FRAME)
    lengths = numbers.row_lengths()
    told = [f"A skeleton needs {frame_size} numbers a frame, and one frame or more. Received, by row:", lengths]
    is_whole = tf.reduce_all((lengths > 0) & (lengths % frame_size == 0))
    with tf.control_dependencies([tf.debugging.Assert(is_whole, told)]):
        values = tf.debugging.check_numerics(numbers.values, "A skeleton has a number that is not finite")
    frames = tf.RaggedTensor.from_row_splits(
        tf.reshape(values, [-1, *SKELETON_FRAME]), numbers.row_splits // frame_size
    )
    frames = _with_bodies(frames)

    # Of all rows, one after the other: (frames, bodies, joints, coordinates), and (frames, bodies).
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
    resampled = earlier + share[..., tf.newaxis, tf.newaxis, tf.newaxis] * (later - earlier)
    return tf.ensure_shape(resampled, [None, skeleton_frames, *SKELETON_FRAME])


def _with_bodies(frames: tf.RaggedTensor) -> tf.RaggedTensor:
    """Leaves out the frames of zeros; of a row that has no others the first one stays."""
    has_body = tf.reduce_any(frames.values != 0, axis=[1, 2, 3])
    row_has_body = tf.reduce_any(frames.with_values(has_body), axis=1)
    rows = frames.value_rowids()
    is_first = tf.equal(tf.range(tf.size(rows, tf.int64)), tf.gather(frames.row_starts(), rows))
    is_kept = has_body | (is_first & ~tf.gather(row_has_body, rows))
    return tf.ragged.boolean_mask(frames, frames.with_values(is_kept))


def _ragged(feature: tf.Tensor | tf.SparseTensor) -> tf.RaggedTensor:
    """The values of each row, `(batch, values)`."""
    if isinstance(feature, tf.SparseTensor):
        return tf.RaggedTensor.from_sparse(feature)
    return tf.RaggedTensor.from_tensor(tf.reshape(feature, [tf.shape(feature)[0], -1]))


def _tokens(text: tf.Tensor, max_tokens: int, min_frequency: int) -> tf.Tensor:
    """Turns texts to ids, to `(batch, max_tokens)`."""
    ids = tft.compute_and_apply_vocabulary(
        words_of(tf.reshape(_dense(text), [-1])).to_sparse(),
        frequency_threshold=min_frequency,
        num_oov_buckets=1,
        vocab_filename=VOCABULARY,
    )
    # Shifted by one: 0 is padding.
    ids = tf.SparseTensor(ids.indices, ids.values + 1, ids.dense_shape)
    dense = tf.sparse.to_dense(ids, default_value=PADDING_ID)[:, :max_tokens]
    dense = tf.pad(dense, [[0, 0], [0, max_tokens - tf.shape(dense)[1]]], constant_values=PADDING_ID)
    return tf.ensure_shape(dense, [None, max_tokens])


def _multi_hot(labels: tf.Tensor | tf.SparseTensor, classes: list[str]) -> tf.Tensor:
    """Marks the classes of each row, `(batch, classes)`, by comparing: an export would have to track a table."""
    names = tf.constant([name.encode("utf-8") for name in classes])
    # (batch, labels, classes)
    is_class = tf.equal(tf.expand_dims(_dense(labels), -1), names)
    # An empty class name is refused in the ingest, so that the padding of sparse labels matches none.
    return tf.ensure_shape(tf.cast(tf.reduce_any(is_class, axis=1), tf.float32), [None, len(classes)])


class _Preparation(NamedTuple):
    """How a modality is prepared: a function of its raw feature and settings, and the settings' names."""

    prepare: Callable[..., tf.Tensor]
    settings: tuple[str, ...]


_PREPARATIONS = {
    "text": _Preparation(_tokens, ("max_tokens", "min_frequency")),
    "image": _Preparation(_images, ("image_size",)),
    "skeleton": _Preparation(_skeletons, ("skeleton_frames",)),
    "depth": _Preparation(_depth_clips, ("clip_frames", "clip_size")),
    "video": _Preparation(_videos, ("clip_frames", "clip_size")),
}
