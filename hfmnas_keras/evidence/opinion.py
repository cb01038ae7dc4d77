"""Subjective opinions from evidence and Dempster's rule to combine them (HF-MNAS, Eq. 1-5; docs/method.md, section 1).

Everything is computed in float32 and is finite for every finite input: total conflict has a defined result.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

# Below this much agreement two opinions count as in total conflict. Dempster's rule divides by it, and float32 keeps
# about seven digits.
_LEAST_AGREEMENT = 1e-6
# Logits past this say nothing more, and float32 evidence must stay far from overflow.
_LARGEST_EVIDENCE = 1e6
# Float32 ends at 3.4e38: a sum of a few times this is still a number.
_SAFE_TO_ADD = 1e30
_LARGEST_FLOAT = 3.4028235e38


class Opinion(NamedTuple):
    """A belief for each class and what is left, the uncertainty; together they sum to one.

    Args:
        belief: tensor `(..., classes)`, each in [0, 1].
        uncertainty: tensor `(...)`, in [0, 1].
    """

    belief: Any
    uncertainty: Any


def evidence_of_logits(logits: Any) -> Any:
    """Evidence of a unimodal head, the softplus of its logits (docs/method.md, section 1).

    Args:
        logits: tensor `(..., classes)`; infinite logits count as very large ones.

    Returns:
        float32 tensor of the same shape, in [0, 1e6].
    """
    return ops.softplus(ops.clip(ops.cast(logits, "float32"), -_LARGEST_EVIDENCE, _LARGEST_EVIDENCE))


def opinion(evidence: Any) -> Opinion:
    """Belief and uncertainty of evidence: b = e / S and u = c / S with S = sum(e) + c (HF-MNAS, Eq. 1-2).

    Args:
        evidence: tensor `(..., classes)`, not negative; infinite evidence counts as the largest float32.

    Returns:
        `Opinion` with belief `(..., classes)` and uncertainty `(...)`.
    """
    evidence = ops.minimum(ops.cast(evidence, "float32"), _LARGEST_FLOAT)
    largest = ops.max(evidence, axis=-1, keepdims=True)
    # Huge evidence is counted in units of its largest, or its sum would overflow.
    unit = ops.where(largest > _SAFE_TO_ADD, largest, ops.ones_like(largest))
    evidence, num_classes = evidence / unit, float(evidence.shape[-1]) / unit
    strength = ops.sum(evidence, axis=-1, keepdims=True) + num_classes
    return Opinion(evidence / strength, ops.squeeze(num_classes / strength, axis=-1))


def binary_opinions(logits: Any) -> Opinion:
    """One opinion on (yes, no) for each label of a multi-label head.

    A logit's evidence for the label is softplus(logit), against it softplus(-logit): the two scores that a sigmoid
    compares.

    Args:
        logits: tensor `(..., labels)`.

    Returns:
        `Opinion` with belief `(..., labels, 2)`, yes first, and uncertainty `(..., labels)`.
    """
    logits = ops.cast(logits, "float32")
    return opinion(ops.stack([evidence_of_logits(logits), evidence_of_logits(-logits)], axis=-1))


def conflict(first: Opinion, second: Opinion) -> Any:
    """Belief that the two opinions place on different classes, K (HF-MNAS, Eq. 4).

    The paper prints the text's belief in both factors; one of them is the image's.

    Returns:
        float32 tensor `(...)` in [0, 1].
    """
    total = ops.sum(first.belief, axis=-1) * ops.sum(second.belief, axis=-1)
    return ops.clip(total - ops.sum(first.belief * second.belief, axis=-1), 0.0, 1.0)


def combine(first: Opinion, second: Opinion) -> Opinion:
    """Dempster's rule for two opinions over the same classes (HF-MNAS, Eq. 3-5).

    `1 - K` is taken as the sum of the agreeing masses, which does not cancel near total conflict. In total conflict
    (`1 - K` is zero, where the rule is undefined) nothing remains but doubt: no belief, uncertainty one.

    Args:
        first, second: `Opinion` of equal shapes.

    Returns:
        The fused `Opinion`.
    """
    first_uncertainty, second_uncertainty = first.uncertainty[..., None], second.uncertainty[..., None]
    # Unnormalised masses of every class and of the whole frame.
    joint_belief = first.belief * second.belief + first.belief * second_uncertainty + second.belief * first_uncertainty
    joint_uncertainty = first.uncertainty * second.uncertainty
    agreement = ops.sum(joint_belief, axis=-1) + joint_uncertainty
    defined = agreement > _LEAST_AGREEMENT
    agreement = ops.where(defined, agreement, ops.ones_like(agreement))
    belief = ops.where(defined[..., None], joint_belief / agreement[..., None], ops.zeros_like(joint_belief))
    uncertainty = ops.where(defined, joint_uncertainty / agreement, ops.ones_like(joint_uncertainty))
    return Opinion(belief, uncertainty)
