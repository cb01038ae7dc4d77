"""The inconsistency mitigation of a fusion network, as its settings describe it."""

from __future__ import annotations

from typing import Any

from hfmnas_keras.inconsistency.inconsistency_mitigation import InconsistencyMitigation
from hfmnas_keras.settings.fusion import FusionSettings


def mitigation_of(fusion: FusionSettings, dtype: Any = None) -> InconsistencyMitigation:
    """Returns the layer of a supernet or of a searched model.

    Args:
        fusion: `FusionSettings`.
        dtype: policy of the network that owns it. Defaults to Keras's own.
    """
    return InconsistencyMitigation(
        fusion.channels,
        correlation_dim=fusion.correlation_dim,
        correlation_weight=fusion.correlation_weight,
        attention=fusion.imm_attention,
        correlation=fusion.imm_correlation,
        correlation_norm=fusion.correlation_norm,
        num_heads=fusion.num_heads,
        attention_values=fusion.attention_values,
        dropout=fusion.dropout,
        dtype=dtype,
        name="inconsistency_mitigation",
    )
