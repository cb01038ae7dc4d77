"""The preparation of raw examples: one graph for training and serving."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import tensorflow as tf

from components.code_fingerprint import CODE_FINGERPRINT, check_code
from components.transform.clip import prepare_depth_clips, prepare_videos
from components.transform.image import prepare_images
from components.transform.raw_features import as_dense
from components.transform.skeleton import prepare_skeletons
from components.transform.text import prepare_subwords, prepare_texts
from hfmnas_keras.data.modalities import SUBWORDS
from hfmnas_keras.preparation.labels import class_ids, class_marks

_SETTINGS = ("classes", "multi_label", "modalities")
#: What this stage runs. The fingerprint of it is in `custom_config`, the one place that Transform has for it.
CODE = ("components.transform",)


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Prepares raw examples; the `preprocessing_fn` of Transform.

    Give Transform `splits_config=transform_pb2.SplitsConfig(analyze=["train"], transform=["train", "dev", "test"])`:
    the vocabulary must not have seen the words of dev and test.

    Pictures: PNG, JPEG, and BMP of 24 bits, decoded as in the ingest, so that a served picture becomes the same pixels
    as one that was trained on: transparent is white, and what a camera held upright is upright
    (`hfmnas_keras.data.picture_decoding`). Resized with antialiasing to the size of the backbone without keeping the
    aspect ratio, rounded, stored as PNG: exact and small. A picture that is refused or broken becomes an empty string,
    which only requests meet: the ingest keeps no such picture.

    Texts: lower case; a word is a run of letters, marks and digits of any script, each Chinese, Japanese, Thai, Lao,
    Khmer or Burmese letter with its marks being a word of its own; bytes that are not UTF-8 separate words. A text
    without any word is all padding.

    Clips: of T frames those of index ((2i+1) T) // (2 clip_frames), the middle of each of so many equal parts, so that
    none is empty however short the clip is; other frames are never decoded. Empty strings at the end count as no
    frames. Frames are PNG or JPEG, of at most `picture_headers.MAX_FRAME_PIXELS`. Colour is resized like pictures, kept
    as JPEG. A frame that is broken or refused becomes an empty string, which only requests meet. Depth has one channel
    (of several the brightness is taken) of 8 bits, is resized by picking the nearest pixel, since between near and far
    there is nothing, and kept as PNG: exact.

    Skeletons: frames without a body are left out, unless there are no others; each body that a frame has is moved by
    the place where joint 2 of body 1 is first seen, absent ones stay zeros; then T frames are resampled to
    `skeleton_frames` at linspace(0, T-1) by linear interpolation. What is no skeleton becomes NaN.

    Labels are optional, because a request has none: a row without a known label gets `label` -1, or no class at all.

    Args:
        inputs: dict of raw features: `id` of shape `(batch, 1)`, `labels` sparse or dense, and each modality's own;
            strings.
        custom_config: dict. `classes` (list of names in the order of the label ids), `multi_label` (bool), `modalities`
            (list of names), what `settings_of` names for them, and `code_fingerprint`:

            | modality | settings |
            | --- | --- |
            | `image` | `image_size` (height, width); optional `interpolation`, "bilinear" (default) or "bicubic" |
            | `text` | `max_tokens`, `min_frequency` (rarer words are out of vocabulary) and `max_subwords` (0: none), \
ints; optional `tokenizer`, the arguments of `hfmnas_keras.preparation.word_piece.WordPiece` or, with `merges`, of \
`hfmnas_keras.preparation.byte_pair.BytePair`, but `max_tokens` and, unused here, `sha256` |
            | `skeleton` | `skeleton_frames` (int) |
            | `depth`, `video` | `clip_frames` (int), `clip_size` (height, width) |

    Returns:
        dict with `id` string `(batch, 1)`; for each modality its feature:

        | modality | feature |
        | --- | --- |
        | `image` | `image` string `(batch, 1)`, a PNG each, or empty |
        | `text` | `tokens` int64 `(batch, max_tokens)`: 0 is padding, then the vocabulary from the most frequent word \
at 1, the last id is any other word; with a `tokenizer` its ids; with `max_subwords`, `subwords` int64 \
`(batch, max_subwords)` too, see `components.transform.text.prepare_subwords` |
        | `skeleton` | `skeleton` float32 `(batch, skeleton_frames, 2, 25, 3)`, metres |
        | `depth` | `depth` string `(batch, clip_frames)`, a PNG of one channel each |
        | `video` | `video` string `(batch, clip_frames)`, a JPEG each |

        and `label` int64 `(batch, 1)` or, multi-label, `labels` float32 `(batch, classes)` of 0 and 1.

    Raises:
        ValueError: when `custom_config` lacks a setting or has an unknown one, or names an unknown modality.
    """
    check_code(custom_config, CODE)
    modalities = _checked_modalities(custom_config)
    outputs = {"id": tf.reshape(as_dense(inputs["id"]), [-1, 1])}
    for name in modalities:
        for preparation in _PREPARATIONS[name]:
            names = [*preparation.settings, *(key for key in preparation.optional if key in custom_config)]
            feature = preparation.prepare(inputs[name], **{key: custom_config[key] for key in names})
            if feature is not None:
                outputs[preparation.feature] = feature
    # An empty class name is refused in the ingest, so that the padding of sparse labels matches none.
    marks = class_marks(as_dense(inputs["labels"]), custom_config["classes"])
    if custom_config["multi_label"]:
        outputs["labels"] = marks
    else:
        outputs["label"] = class_ids(marks)
    return outputs


def settings_of(modalities: Iterable[str]) -> list[str]:
    """Returns the names of the settings in `custom_config` that the preparation of these modalities takes."""
    # Modalities share some.
    preparations = (preparation for name in modalities for preparation in _PREPARATIONS[name])
    return list(dict.fromkeys(setting for preparation in preparations for setting in preparation.settings))


def _checked_modalities(custom_config: dict[str, Any]) -> list[str]:
    custom_config = custom_config or {}
    modalities = list(custom_config.get("modalities") or ())
    if not modalities or not set(modalities) <= set(_PREPARATIONS):
        raise ValueError(
            f"`modalities` in the `custom_config` of Transform must be some of {sorted(_PREPARATIONS)}. "
            f"Received: {modalities}."
        )
    expected = [*_SETTINGS, *settings_of(modalities)]
    preparations = [preparation for name in modalities for preparation in _PREPARATIONS[name]]
    allowed = {CODE_FINGERPRINT, *(setting for preparation in preparations for setting in preparation.optional)}
    if set(custom_config) - allowed != set(expected):
        raise ValueError(
            f"`custom_config` of Transform must have {expected} for {modalities} and may have {sorted(allowed)}. "
            f"Received: {sorted(custom_config)}."
        )
    return modalities


class _Preparation(NamedTuple):
    """How a feature is prepared: its name, a function of the modality's raw feature and settings, and their names."""

    feature: str
    prepare: Callable[..., tf.Tensor | None]
    settings: tuple[str, ...]
    optional: tuple[str, ...] = ()


_PREPARATIONS = {
    "text": (
        _Preparation("tokens", prepare_texts, ("max_tokens", "min_frequency"), ("tokenizer",)),
        _Preparation(SUBWORDS, prepare_subwords, ("max_subwords",), ("tokenizer",)),
    ),
    "image": (_Preparation("image", prepare_images, ("image_size",), ("interpolation",)),),
    "skeleton": (_Preparation("skeleton", prepare_skeletons, ("skeleton_frames",)),),
    "depth": (_Preparation("depth", prepare_depth_clips, ("clip_frames", "clip_size")),),
    "video": (_Preparation("video", prepare_videos, ("clip_frames", "clip_size")),),
}
