from __future__ import annotations

from typing import Any, ClassVar

import keras


class EdgeOperation(keras.layers.Layer):
    """Base of the edge operations: maps a grid to a grid of the same shape (HF-MNAS, Eq. 10).

    A subclass states `call` and `multiply_accumulates(shape)`, what it costs on a grid `(height, width, channels)`;
    `build_operation` where it has weights; `has_weights = False` where it learns nothing but a normalisation, of which
    too many in a genotype are a warning. It takes `dropout` if its `__init__` names it.
    `register_edge_operation` gives it a name.

    Args:
        channels: int. Channels C of the input and of the output.
        affine: bool. Whether batch normalisations have scale and offset: `True` (default) in a searched model,
            `False` while searching (method section 4).

    Call arguments:
        inputs: tensor of shape `(batch, height, width, channels)`.
        training: bool.

    Returns:
        Tensor of shape `(batch, height, width, channels)`.

    Raises:
        ValueError: when the input is not a grid of that many channels.
    """

    has_weights: ClassVar[bool] = True

    def __init__(self, channels: int, affine: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        if channels < 1:
            raise ValueError(f"`channels` must be positive. Received: channels={channels}.")
        self.channels = channels
        self.affine = affine

    def build(self, input_shape: Any) -> None:
        if len(input_shape) != 4 or input_shape[-1] != self.channels:
            raise ValueError(
                f"`{type(self).__name__}` needs an input of shape (batch, height, width, {self.channels}). "
                f"Received: {tuple(input_shape)}. Bring the feature into the grid first, with `FeatureGrid`."
            )
        self.build_operation(input_shape[1], input_shape[2])

    def build_operation(self, height: int | None, width: int | None) -> None:
        """Makes the weights and builds every sublayer; operations without any leave it as it is."""

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels, "affine": self.affine}

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)
