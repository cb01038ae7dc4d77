"""The folder of a pre-trained encoder: the network, how its input is prepared, and where it came from."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Sequence

import keras

# The one class of ours that an encoder's file may hold.
from hfmnas_keras.backbones import grouped_convolution  # noqa: F401
from hfmnas_keras.backbones.model_file import read_model_file
from hfmnas_keras.backbones.published_encoders import PUBLISHED_ENCODERS

INTERPOLATIONS = ("bilinear", "bicubic")
_DESCRIPTION, _MODEL, _VOCABULARY, _MERGES = "encoder.json", "encoder.keras", "vocabulary.txt", "merges.txt"
TOKENIZERS = ("wordpiece", "byte_pair")
_VERSION = 1
_LARGEST_DESCRIPTION = 1_000_000


@dataclasses.dataclass(frozen=True)
class EncoderDescription:
    """What is to know of an encoder beside its weights.

    Args:
        kind: str. What it was converted from, such as `"bert"`.
        modality: str. `"text"` or `"image"`.
        taps: names of the network's outputs, from the input on.
        low_tap, high_tap: str. Those to tap by default.
        source_sha256: str. Digest of the file that the weights came from.
        max_tokens: int. Longest text, in pieces of words; texts only.
        lower_case, strip_accents: bools. What the tokenizer does before it looks words up; texts only.
        image_size: pair of ints. Height and width of the pictures that it was trained on, which other sizes may differ
            from; pictures only.
        interpolation: str. How those were resized, one of `INTERPOLATIONS`; pictures only.
        tokenizer: str. What makes a text's tokens, one of `TOKENIZERS`. Defaults to `"wordpiece"`.

    Raises:
        ValueError: when the fields do not fit each other.
    """

    kind: str
    modality: str
    taps: tuple[str, ...]
    low_tap: str
    high_tap: str
    source_sha256: str
    max_tokens: int | None = None
    lower_case: bool | None = None
    strip_accents: bool | None = None
    image_size: tuple[int, int] | None = None
    interpolation: str | None = None
    tokenizer: str = "wordpiece"

    def __post_init__(self) -> None:
        of_text = (self.max_tokens, self.lower_case, self.strip_accents)
        of_image = (self.image_size, self.interpolation)
        complete, absent = (of_text, of_image) if self.modality == "text" else (of_image, of_text)
        if self.modality not in ("text", "image") or None in complete or any(value is not None for value in absent):
            raise ValueError(
                "An encoder of texts has `max_tokens`, `lower_case` and `strip_accents`, one of pictures `image_size` "
                f"and `interpolation`. Received: {self}."
            )
        if {self.low_tap, self.high_tap} - set(self.taps):
            raise ValueError(f"The default taps {self.low_tap!r} and {self.high_tap!r} must be among {self.taps}.")
        if self.tokenizer not in TOKENIZERS:
            raise ValueError(f"`tokenizer` must be one of {TOKENIZERS}. Received: {self.tokenizer!r}.")
        if self.interpolation is not None and self.interpolation not in INTERPOLATIONS:
            raise ValueError(f"`interpolation` must be one of {INTERPOLATIONS}. Received: {self.interpolation!r}.")


def encoder_home() -> pathlib.Path:
    """Where `hfmnas encoder fetch` keeps what it made: beside the installed packages."""
    return pathlib.Path(sys.prefix) / "share" / "hfmnas-keras" / "encoders"


def find_encoder(encoder: str) -> pathlib.Path:
    """The folder of an encoder.

    Args:
        encoder: str. A name in `PUBLISHED_ENCODERS`, or the path of a folder that `hfmnas encoder convert` wrote.

    Raises:
        ValueError: when there is no such folder.
    """
    folder = encoder_home() / encoder if encoder in PUBLISHED_ENCODERS else pathlib.Path(encoder)
    if not (folder / _DESCRIPTION).is_file():
        cure = (
            f"Run `hfmnas encoder fetch {encoder}`."
            if encoder in PUBLISHED_ENCODERS
            else (f"Name a folder that `hfmnas encoder convert` wrote, or one of {', '.join(PUBLISHED_ENCODERS)}.")
        )
        raise ValueError(f"There is no encoder in {str(folder)!r}. {cure}")
    return folder


def write_encoder(
    folder: str | os.PathLike,
    model: keras.Model,
    description: EncoderDescription,
    vocabulary: Sequence[str] | None = None,
    merges: Sequence[str] | None = None,
) -> None:
    """Writes the folder, whole or not at all; an encoder that is there is replaced.

    Args:
        folder: where to.
        model: network of built-in Keras layers, or `GroupedConvolution2D`, from one input to a dict of
            `description.taps`.
        description: `EncoderDescription`.
        vocabulary: pieces of words in the order of their ids; of texts only.
        merges: pairs of pieces, the first to merge first; of the tokenizer `"byte_pair"` only.

    Raises:
        ValueError: when something else is there, or model, vocabulary and description do not fit each other.
    """
    folder = pathlib.Path(folder)
    if folder.exists() and not (folder / _DESCRIPTION).is_file():
        raise ValueError(f"{str(folder)!r} is there and is no encoder's folder. Name another one.")
    if set(model.output) != set(description.taps):
        raise ValueError(f"The model has the outputs {sorted(model.output)}, not the taps {description.taps}.")
    if (vocabulary is None) != (description.modality != "text"):
        raise ValueError("An encoder of texts, and no other, has a vocabulary.")
    if (merges is None) != (description.tokenizer != "byte_pair"):
        raise ValueError("An encoder with the tokenizer byte_pair, and no other, has merges.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = pathlib.Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        model.save(partial / _MODEL)
        content = {"version": _VERSION, **dataclasses.asdict(description)}
        (partial / _DESCRIPTION).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        for name, lines in ((_VOCABULARY, vocabulary), (_MERGES, merges)):
            if lines is not None:
                (partial / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        partial.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read_description(folder: str | os.PathLike) -> EncoderDescription:
    """What `encoder.json` in a folder says.

    Raises:
        ValueError: when the file is damaged, or of another version.
        OSError: when there is none.
    """
    path = pathlib.Path(folder) / _DESCRIPTION
    try:
        if path.stat().st_size > _LARGEST_DESCRIPTION:
            raise ValueError("it is too large")
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("version") != _VERSION:
            raise ValueError("it is of another version")
        for name in ("taps", "image_size"):
            if content[name] is not None:
                content[name] = tuple(content[name])
        return EncoderDescription(**content)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{str(path)!r} does not describe an encoder: {error}. Convert it again.") from error


def read_encoder(folder: str | os.PathLike) -> tuple[keras.Model, EncoderDescription]:
    """The network in a folder, and what is to know of it.

    Raises:
        ValueError: when the folder is damaged, or its network has other outputs than described.
    """
    description = read_description(folder)
    model = read_model_file(str(pathlib.Path(folder) / _MODEL))
    outputs = model.output if isinstance(model.output, dict) else {}
    if set(outputs) != set(description.taps) or len(model.inputs) != 1:
        raise ValueError(
            f"The network in {str(folder)!r} must have one input and the outputs {description.taps}. Received: "
            f"{len(model.inputs)} inputs and {sorted(outputs)}. Convert it again."
        )
    return model, description


def vocabulary_path(folder: str | os.PathLike) -> pathlib.Path:
    """The file with the pieces of words, one a line, in the order of their ids; of an encoder of texts."""
    return pathlib.Path(folder) / _VOCABULARY


def merges_path(folder: str | os.PathLike) -> pathlib.Path:
    """The file with pairs of pieces, one a line, the first to merge first; of the tokenizer byte_pair."""
    return pathlib.Path(folder) / _MERGES
