from __future__ import annotations

from typing import Any

from hfmnas_keras.cost.layer_rules import no_products
from hfmnas_keras.edge_operations.edge_operation_base import EdgeOperation
from hfmnas_keras.layers.depthwise import kernel_extents
from hfmnas_keras.layers.normalization import batch_normalization


class Pool(EdgeOperation):
    """Base of the pools: something of each 3x3 neighbourhood, then batch normalisation (HF-MNAS, Eq. 10).

    Only weights: those of `normalization`.

    Args:
        channels, affine: see `EdgeOperation`.
        size: int. Extent of the neighbourhood, odd. Defaults to `3`.

    Call arguments:
        inputs: tensor of shape `(batch, height, width, channels)`.

    Returns:
        Tensor of shape `(batch, height, width, channels)`.
    """

    has_weights = False
    multiply_accumulates = no_products

    def __init__(self, channels: int, affine: bool = True, size: int = 3, **kwargs: Any):
        super().__init__(channels=channels, affine=affine, **kwargs)
        self.size = size

    def build_operation(self, height: Any, width: Any) -> None:
        self.pool_size = kernel_extents(height, width, self.size)
        self.normalization = batch_normalization(self.affine, self.dtype_policy, "normalization")
        self.normalization.build((None, height, width, self.channels))

    def pooled(self, inputs: Any) -> Any:
        """The pooled grid, before its normalisation."""
        raise NotImplementedError(f"`{type(self).__name__}` must state `pooled(inputs)`.")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.normalization(self.pooled(inputs), training=training)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}
