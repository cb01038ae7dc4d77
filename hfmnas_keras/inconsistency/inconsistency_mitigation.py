"""The inconsistency mitigation module over the two branch outputs (HF-MNAS, Eq. 26-28)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.attention.multi_head_fusion_attention import MultiHeadFusionAttention
from hfmnas_keras.cost.layer_rules import multiply_accumulates
from hfmnas_keras.inconsistency.dcca import CorrelationLoss
from hfmnas_keras.settings.fusion import ATTENTION_INPUTS, ATTENTION_VALUES, CORRELATION_NORMS


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class InconsistencyMitigation(keras.layers.Layer):
    """Aligns two branches by canonical correlation, then fuses them by attention.

    Each branch passes a `Dense(channels)` with ReLU, its hidden output. A further `Dense(correlation_dim)` makes the
    view O whose correlation with the other branch's view is a loss while training. The attention reads the two views
    (Fig. 9), or the hidden outputs, which are wider; the views then take no part in inference.
    One layer that any fusion network with two grids can embed (the paper puts it into BM-NAS, Fig. 5).

    Args:
        channels: int. Width C of the hidden outputs.
        correlation_dim: int. Width d of the correlated views. Defaults to `16`.
        correlation_weight: float. Lambda of the correlation loss, added by `add_loss`. Defaults to `0.1`.
        attention: bool. Fuse by multi-head attention (section IV-C-2, Fig. 9); otherwise the hidden outputs are
            concatenated. Defaults to `True`.
        correlation: bool. Use the correlation loss (Eq. 26-28). Defaults to `True`.
        num_heads: int. Heads of the attention. Defaults to `4`.
        attention_values: str. Whose values the attention reads: `"query"` (default) or `"key"`, as of
            `MultiHeadFusionAttention`.
        correlation_norm: str. `"nuclear"` (default) or `"frobenius"`, as of `CorrelationLoss`.
        dropout: float. Rate on the output. Defaults to `0.1`.
        attention_inputs: str. What the attention reads: `"views"` (default) or `"hidden"`.

    Call arguments:
        inputs: pair `[lfbc_output, hfbc_output]` of grids `(batch, height, width, channels_i)`, or sequences, of any
            numbers of channels but with the same positions: each position of one is correlated with the same of the
            other.
        training: bool. The correlation loss is computed and added only when `True`.

    Returns:
        Grid `(batch, height, width, channels)` with attention, `(batch, height, width, 2 * channels)` without.

    Raises:
        ValueError: for grids of unequal height or width. Pool the larger one first, with `AdaptiveMaxPool`.

    Reference:
     - [Long et al., 2025, Eq. 26-28]; docs/method.md, section 5
    """

    def __init__(
        self,
        channels: int,
        correlation_dim: int = 16,
        correlation_weight: float = 0.1,
        attention: bool = True,
        correlation: bool = True,
        num_heads: int = 4,
        dropout: float = 0.1,
        attention_values: str = "query",
        correlation_norm: str = "nuclear",
        attention_inputs: str = "views",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if channels < 1 or correlation_dim < 1:
            raise ValueError(
                "`channels` and `correlation_dim` must be at least 1. "
                f"Received: channels={channels}, correlation_dim={correlation_dim}."
            )
        if attention_values not in ATTENTION_VALUES:
            raise ValueError(f"`attention_values` must be one of {ATTENTION_VALUES}. Received: {attention_values!r}.")
        if correlation_norm not in CORRELATION_NORMS:
            raise ValueError(f"`correlation_norm` must be one of {CORRELATION_NORMS}. Received: {correlation_norm!r}.")
        if attention_inputs not in ATTENTION_INPUTS:
            raise ValueError(f"`attention_inputs` must be one of {ATTENTION_INPUTS}. Received: {attention_inputs!r}.")
        self.attention_inputs = attention_inputs
        self.channels = channels
        self.correlation_dim = correlation_dim
        self.correlation_weight = correlation_weight
        self.attention = attention
        self.correlation = correlation
        self.num_heads = num_heads
        self.dropout = dropout
        self.attention_values = attention_values
        self.correlation_norm = correlation_norm

    def build(self, input_shape: Any) -> None:
        if len(input_shape) != 2 or tuple(input_shape[0][:-1]) != tuple(input_shape[1][:-1]):
            raise ValueError(
                "`InconsistencyMitigation` needs two grids that are equal but for their channels. "
                f"Received shapes: {input_shape}. Pool the larger one first, with `AdaptiveMaxPool`."
            )
        hidden_shape = (*input_shape[0][:-1], self.channels)
        self.hidden_layers = []
        self.view_layers = []
        for branch, shape in zip(("lfbc", "hfbc"), input_shape, strict=True):
            hidden = keras.layers.Dense(
                self.channels, activation="relu", dtype=self.dtype_policy, name=f"{branch}_hidden"
            )
            hidden.build(shape)
            self.hidden_layers.append(hidden)
            if self.correlation or self._attends_to_views:
                view = keras.layers.Dense(self.correlation_dim, dtype=self.dtype_policy, name=f"{branch}_view")
                view.build(hidden_shape)
                self.view_layers.append(view)
        if self.correlation:
            self.correlation_loss = CorrelationLoss(
                norm=self.correlation_norm, dtype=self.dtype_policy, name="correlation_loss"
            )
            self.correlation_loss.build([(*hidden_shape[:-1], self.correlation_dim)] * 2)
        if self.attention:
            self.fusion_attention = MultiHeadFusionAttention(
                self.channels,
                num_heads=self.num_heads,
                values=self.attention_values,
                dtype=self.dtype_policy,
                name="fusion_attention",
            )
            width = self.correlation_dim if self._attends_to_views else self.channels
            self.fusion_attention.build([(*hidden_shape[:-1], width)] * 2)
        self.output_dropout = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy, name="output_dropout")
        self.output_dropout.build(self.compute_output_shape(input_shape))

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        hidden_outputs = [layer(branch) for layer, branch in zip(self.hidden_layers, inputs, strict=True)]
        views = hidden_outputs
        if self._attends_to_views or (self.correlation and training):
            views = [layer(hidden) for layer, hidden in zip(self.view_layers, hidden_outputs, strict=True)]
        if self.correlation and training:
            self.add_loss(self.correlation_weight * self.correlation_loss(views, training=True))
        if self.attention:
            fused = self.fusion_attention(views if self._attends_to_views else hidden_outputs)
        else:
            fused = ops.concatenate(hidden_outputs, axis=-1)
        return self.output_dropout(fused, training=training)

    @property
    def _attends_to_views(self) -> Any:
        return self.attention and self.attention_inputs == "views"

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            {
                "channels": self.channels,
                "correlation_dim": self.correlation_dim,
                "correlation_weight": self.correlation_weight,
                "attention": self.attention,
                "correlation": self.correlation,
                "num_heads": self.num_heads,
                "dropout": self.dropout,
                "attention_values": self.attention_values,
                "correlation_norm": self.correlation_norm,
                "attention_inputs": self.attention_inputs,
            }
        )
        return config

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[0][:-1], self.channels if self.attention else 2 * self.channels)

    def multiply_accumulates(self, shapes: Any) -> int:
        # Views that the attention does not read are of the training alone.
        total = sum(
            multiply_accumulates(hidden, shape) for hidden, shape in zip(self.hidden_layers, shapes, strict=True)
        )
        if self.attention:
            grid = (*shapes[0][:-1], self.channels)
            if self._attends_to_views:
                total += sum(multiply_accumulates(view, grid) for view in self.view_layers)
                grid = (*grid[:-1], self.correlation_dim)
            total += multiply_accumulates(self.fusion_attention, [grid, grid])
        return total
