"""The inconsistency mitigation of a fusion network, as its settings describe it."""

from __future__ import annotations

from typing import Any

from hfmnas_keras.inconsistency.inconsistency_mitigation import InconsistencyMitigation
from hfmnas_keras.settings.fusion import FusionSettings, MitigationSettings


def mitigation_of(
    channels: int, fusion: FusionSettings, mitigation: MitigationSettings, dtype: Any = None
) -> InconsistencyMitigation:
    """Returns the layer of a supernet or of a searched model.

    Args:
        channels: int. Width of the network.
        fusion: `FusionSettings`.
        mitigation: `MitigationSettings`.
        dtype: policy of the network that owns it. Defaults to Keras's own.
    """
    return InconsistencyMitigation(
        channels,
        correlation_dim=mitigation.correlation_dim,
        correlation_weight=mitigation.correlation_weight,
        attention=mitigation.attention,
        correlation=mitigation.correlation,
        correlation_norm=mitigation.correlation_norm,
        attention_inputs=mitigation.attention_inputs,
        num_heads=fusion.num_heads,
        attention_values=fusion.attention_values,
        dropout=fusion.dropout,
        dtype=dtype,
        name="inconsistency_mitigation",
    )
