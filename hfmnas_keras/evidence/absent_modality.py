"""What a model says of rows that lack a modality: the opinion of the other one (docs/method.md, section 1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras import ops

from hfmnas_keras.evidence.opinion import Opinion

BELIEF, UNCERTAINTY = "{}_belief", "{}_uncertainty"


def expected_probabilities(opinion: Opinion, num_classes: int) -> Any:
    """The mean of the Dirichlet distribution that evidence stands for, b + u / c (HF-MNAS, Eq. 1-2).

    Args:
        opinion: `Opinion` with belief `(..., classes)` and uncertainty `(...)`; or, with `num_classes=2` and both of
            one shape, the belief in yes of opinions on yes and no.
        num_classes: int. Classes c of each opinion.

    Returns:
        Tensor of the belief's shape.
    """
    belief, uncertainty = opinion
    if len(uncertainty.shape) < len(belief.shape):
        uncertainty = ops.expand_dims(uncertainty, -1)
    return belief + uncertainty / num_classes


def tells_of_each(outputs: Mapping[str, Any], modalities: list[str]) -> bool:
    """Whether a classifier of these outputs can answer without one of its modalities: each has an opinion."""
    return len(modalities) == 2 and all(
        {BELIEF.format(name), UNCERTAINTY.format(name)} <= set(outputs) for name in modalities
    )


def without_absent(outputs: Mapping[str, Any], absent: Mapping[str, Any]) -> dict[str, Any]:
    """Lets the modality that is there answer in the rows that lack the other one.

    What is not there gives no evidence: its belief is 0 and its uncertainty 1. Dempster's rule makes of such an opinion
    and another one the other one, so that the fused uncertainty is that of the modality that is there, never smaller
    than with both, and the conflict 0. `probabilities` are those that its opinion expects (`expected_probabilities`);
    the fusion network, which needs both, has no say.

    Args:
        outputs: dict of tensors, as of `OpinionReport`.
        absent: bool tensor `(batch,)` for each of the two modalities; no row lacks both.

    Returns:
        dict of tensors of the same names and shapes.
    """
    changed = dict(outputs)
    multi_label = len(outputs["uncertainty"].shape) == 2
    num_classes = 2 if multi_label else outputs["probabilities"].shape[-1]
    for modality, is_absent in absent.items():
        (other,) = set(absent) - {modality}
        belief, uncertainty = outputs[BELIEF.format(other)], outputs[UNCERTAINTY.format(other)]
        values = {
            "probabilities": expected_probabilities(Opinion(belief, uncertainty), num_classes),
            "uncertainty": uncertainty,
            "conflict": ops.zeros_like(uncertainty),
            BELIEF.format(modality): ops.zeros_like(belief),
            UNCERTAINTY.format(modality): ops.ones_like(uncertainty),
        }
        for name, value in values.items():
            rows = ops.reshape(is_absent, [-1] + [1] * (len(value.shape) - 1))
            changed[name] = ops.where(rows, value, changed[name])
    return changed
