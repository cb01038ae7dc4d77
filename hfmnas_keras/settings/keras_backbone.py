"""Settings of the backbone made of any Keras model (docs/extending.md)."""

from __future__ import annotations

import dataclasses
import re
from typing import ClassVar

from hfmnas_keras.settings.checks import require

#: What becomes of a sequence of states.
POOLINGS = ("mean", "first", "grid")
PREPROCESSINGS = ("none", "caffe", "torch", "tf")
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclasses.dataclass(frozen=True)
class KerasBackboneSettings:
    """Any Keras model of texts or pictures, frozen, under a head of its own.

    Its taps see no label, so they need no cross-fitting and are computed once.
    """

    model: str
    """A `.keras` file, or `package.module:function`, called as `function(input_shape=...)` with the shape of a row,
    which returns a functional `keras.Model`."""
    low_tap: str | None = None
    """Name of the output or layer of the low features; `None` for the one that `hfmnas encoder taps` marks."""
    high_tap: str | None = None
    """The same for the high features."""
    pooling: str | None = None
    """What becomes of a sequence of states: their `"mean"`, the `"first"` one, where class tokens are, or means over
    the parts of a `"grid"`. `None`: the mean of a text's, the grid of a picture's. Maps always become a grid."""
    preprocessing: str = "none"
    """What is done to pictures in 0 to 255 before the model: `"none"` (the model does it), or as `keras.applications`
    names it `"caffe"`, `"torch"` or `"tf"`."""
    interpolation: str = "bilinear"
    """How pictures are resized: `"bilinear"` or `"bicubic"`."""
    tokenizer: str | None = None
    """Of a model of texts: an encoder, as of `EncoderBackboneSettings`, or a Hugging Face folder, whose WordPiece makes
    the model's token ids."""
    head_dropout: float = 0.5
    """Rate before the head's last layer."""
    learning_rate: float | None = None
    """Adam's rate; `None` takes that of `PretrainingSettings`."""
    kind: str = "keras"
    """What asks for this kind of backbone."""
    train_trunk: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require(self.kind == "keras", "kind", self.kind, '"keras"')
        require(
            self.is_file or _FUNCTION.fullmatch(self.model) is not None,
            "model",
            self.model,
            "a `.keras` file, or package.module:function",
        )
        for name in ("low_tap", "high_tap", "tokenizer"):
            require(getattr(self, name) != "", name, "", "a name, or None")
        require(self.pooling in (None, *POOLINGS), "pooling", self.pooling, f"None or one of {POOLINGS}")
        require(self.preprocessing in PREPROCESSINGS, "preprocessing", self.preprocessing, f"one of {PREPROCESSINGS}")
        require(
            self.interpolation in ("bilinear", "bicubic"),
            "interpolation",
            self.interpolation,
            '"bilinear" or "bicubic"',
        )
        require(0 <= self.head_dropout < 1, "head_dropout", self.head_dropout, "in [0, 1)")
        rate = self.learning_rate
        require(rate is None or rate > 0, "learning_rate", rate, "above 0, or None")

    @property
    def is_file(self) -> bool:
        """Whether the model is a file, and no function."""
        return self.model.endswith(".keras")
