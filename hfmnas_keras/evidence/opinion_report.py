"""What a served model says beside its answer: the opinions of the modalities (HF-MNAS, section III-A)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.cost.layer_rules import no_products
from hfmnas_keras.evidence.opinion import binary_opinions, combine, conflict, evidence_of_logits, opinion

# Past this a softmax or sigmoid has said all it can, and infinity would make the softmax NaN.
_LARGEST_LOGIT = 1e6


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class OpinionReport(keras.layers.Layer):
    """Probabilities of the fusion network beside belief, uncertainty and conflict of the unimodal heads.

    Softplus of a head's logits is its evidence; two heads are combined by Dempster's rule (docs/method.md,
    section 1). Multi-label: one opinion on yes and no for each label, of which the belief in yes is returned.
    Everything is float32 and finite for every input but NaN.

    Args:
        multi_label: bool. Sigmoid and one opinion a label, instead of softmax and one opinion.
        head_shares: dict of float by modality. `probabilities` are those of the mean of logits in which a head has its
            share and `fusion` what they leave. Defaults to none: those of `fusion` alone.

    Call arguments:
        inputs: dict of logits `(batch, classes)`: `fusion`, and one entry for each modality.

    Returns:
        dict of `probabilities` and `{modality}_belief`, `(batch, classes)`, and `{modality}_uncertainty`, `conflict`
        and the fused `uncertainty`, `(batch,)` or, multi-label, `(batch, classes)`. With one modality the
        conflict is 0 and the uncertainty is its own.

    Raises:
        ValueError: without `fusion` or without a modality, or with more than two.
    """

    multiply_accumulates = no_products

    def __init__(self, multi_label: bool = False, head_shares: Any = None, **kwargs: Any):
        # Probabilities that sum to one, and beliefs, need float32 whatever the policy.
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.multi_label = multi_label
        self.head_shares = dict(head_shares or {})
        if any(share < 0 for share in self.head_shares.values()) or sum(self.head_shares.values()) > 1:
            raise ValueError(
                f"`head_shares` must be 0 or more each, and together 1 at most. Received: {self.head_shares}."
            )

    def build(self, input_shape: Any) -> None:
        if "fusion" not in input_shape or not 2 <= len(input_shape) <= 3:
            raise ValueError(
                "`OpinionReport` needs the logits `fusion` and those of one or two modalities. "
                f"Received: {sorted(input_shape)}."
            )
        unknown = sorted(set(self.head_shares) - set(input_shape))
        if unknown:
            raise ValueError(
                f"`head_shares` names {unknown}. The modalities are {sorted(set(input_shape) - {'fusion'})}."
            )

    def call(self, inputs: Any) -> Any:
        logits = _clipped(inputs["fusion"])
        if self.head_shares:
            logits = logits * (1.0 - sum(self.head_shares.values()))
            for modality, share in self.head_shares.items():
                logits = logits + share * _clipped(inputs[modality])
        outputs = {"probabilities": ops.sigmoid(logits) if self.multi_label else ops.softmax(logits)}
        opinions = []
        for modality in sorted(set(inputs) - {"fusion"}):
            if self.multi_label:
                formed = binary_opinions(inputs[modality])
                outputs[f"{modality}_belief"] = formed.belief[..., 0]
            else:
                formed = opinion(evidence_of_logits(inputs[modality]))
                outputs[f"{modality}_belief"] = formed.belief
            outputs[f"{modality}_uncertainty"] = formed.uncertainty
            opinions.append(formed)
        if len(opinions) == 1:
            outputs["uncertainty"] = opinions[0].uncertainty
            outputs["conflict"] = ops.zeros_like(opinions[0].uncertainty)
        else:
            outputs["uncertainty"] = combine(*opinions).uncertainty
            outputs["conflict"] = conflict(*opinions)
        return outputs

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update({"multi_label": self.multi_label, "head_shares": self.head_shares})
        return config

    def compute_output_shape(self, input_shape: Any) -> Any:
        classes = tuple(input_shape["fusion"])
        scalar = classes if self.multi_label else classes[:1]
        shapes = {"probabilities": classes, "conflict": scalar, "uncertainty": scalar}
        for modality in set(input_shape) - {"fusion"}:
            shapes[f"{modality}_belief"] = classes
            shapes[f"{modality}_uncertainty"] = scalar
        return shapes


def _clipped(logits: Any) -> Any:
    return ops.clip(ops.cast(logits, "float32"), -_LARGEST_LOGIT, _LARGEST_LOGIT)
