import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hfmnas_keras.evidence.opinion import (
    Opinion,
    binary_opinions,
    combine,
    conflict,
    evidence_of_logits,
    opinion,
)

# Two rows are the two opinions; up to seven classes.
evidence_pairs = st.integers(2, 7).flatmap(
    lambda classes: hnp.arrays("float32", (2, classes), elements=st.floats(0, 1000, width=32, allow_subnormal=False))
)


def opinions_of(pair):
    return [opinion(row) for row in pair]


def exact_opinion(evidence):
    """Eq. 1-2 in float64."""
    evidence = evidence.astype("float64")
    strength = evidence.sum() + len(evidence)
    return Opinion(evidence / strength, len(evidence) / strength)


def dempster_by_enumeration(first, second):
    """Mass of every pair of focal sets in float64; a class is {i}, uncertainty the mass of the whole frame."""
    classes = len(first.belief)
    frame = frozenset(range(classes))

    def masses(one):
        belief = np.asarray(one.belief, "float64")
        return {**{frozenset([i]): b for i, b in enumerate(belief)}, frame: float(one.uncertainty)}

    joint, lost = {}, 0.0
    for (set_1, mass_1), (set_2, mass_2) in itertools.product(masses(first).items(), masses(second).items()):
        common = set_1 & set_2
        if common:
            joint[common] = joint.get(common, 0.0) + mass_1 * mass_2
        else:
            lost += mass_1 * mass_2
    belief = np.array([joint.get(frozenset([i]), 0.0) for i in range(classes)])
    return belief / (1 - lost), joint[frame] / (1 - lost), lost


def test_hand_numbers():
    """Three classes, evidence (5, 1, 0): S = 9, so b = (5, 1, 0) / 9 and u = 3 / 9."""
    first = opinion(np.array([5.0, 1.0, 0.0]))
    np.testing.assert_allclose(first.belief, [5 / 9, 1 / 9, 0], atol=1e-7)
    np.testing.assert_allclose(first.uncertainty, 3 / 9, atol=1e-7)
    second = Opinion(np.array([0.2, 0.3, 0.1], "float32"), np.float32(0.4))
    np.testing.assert_allclose(conflict(first, second), 5 / 9 * 0.4 + 1 / 9 * 0.3, atol=1e-7)


@settings(deadline=None, max_examples=100)
@given(evidence_pairs)
def test_an_opinion_sums_to_one(pair):
    for one in opinions_of(pair):
        np.testing.assert_allclose(np.sum(one.belief) + one.uncertainty, 1.0, atol=1e-5)
        assert np.min(one.belief) >= 0 and 0 < float(one.uncertainty) <= 1


@settings(deadline=None, max_examples=100)
@given(evidence_pairs)
def test_dempster_equals_enumeration_over_the_frame(pair):
    first, second = opinions_of(pair)
    # From the evidence on: what `opinion` rounds is held to account too.
    belief, uncertainty, lost = dempster_by_enumeration(*map(exact_opinion, pair))
    fused = combine(first, second)
    np.testing.assert_allclose(fused.belief, belief, rtol=0, atol=1e-5)
    np.testing.assert_allclose(fused.uncertainty, uncertainty, rtol=0, atol=1e-5)
    np.testing.assert_allclose(conflict(first, second), lost, rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.sum(fused.belief) + fused.uncertainty, 1.0, atol=1e-5)


@settings(deadline=None, max_examples=100)
@given(evidence_pairs, st.integers(0, 6))
# So near to 1 that the premise holds up to a rounding of single precision only.
@example(np.array([[0.0, 0.0, 0.0, 744.0], [116.21484] * 4], "float32"), 0)
def test_proposition_1_a_surer_second_opinion_never_lowers_the_true_belief(pair, true_class):
    """If the image's belief in the true class is at least the largest of the text's, fusing cannot lower it."""
    text, image = pair
    true_class = true_class % len(text)
    text_opinion = opinion(text)
    # Raise the image's true-class evidence until the premise holds: e / (rest + e + c) >= largest.
    largest, rest = float(np.max(text_opinion.belief)), float(np.sum(image) - image[true_class])
    needed = largest * (rest + len(text)) / (1 - largest)
    image[true_class] = max(image[true_class], needed * (1 + 1e-5) + 1e-5)
    image_opinion = opinion(image)
    assert float(image_opinion.belief[true_class]) >= largest - 1e-6
    fused = combine(text_opinion, image_opinion)
    assert float(fused.belief[true_class]) >= float(text_opinion.belief[true_class]) - 1e-5


@settings(deadline=None, max_examples=100)
@given(evidence_pairs, st.floats(0.0, 1.0), st.booleans())
def test_proposition_2_fused_uncertainty_grows_with_each_uncertainty(pair, growth, of_text):
    """The shape of the belief is held fixed: evidence divided by a number above one."""
    text, image = opinions_of(pair)
    if np.sum(pair[0 if of_text else 1]) == 0:
        return
    surer = text if of_text else image
    uncertainty = float(surer.uncertainty) + growth * (1 - float(surer.uncertainty))
    scale = (1 - uncertainty) / max(float(np.sum(surer.belief)), 1e-12)
    vaguer = Opinion(surer.belief * np.float32(scale), np.float32(uncertainty))
    fused = combine(text, image)
    fused_vaguer = combine(vaguer, image) if of_text else combine(text, vaguer)
    assert float(fused_vaguer.uncertainty) >= float(fused.uncertainty) - 1e-5


def test_total_conflict_is_full_uncertainty():
    first = Opinion(np.array([[1.0, 0.0]], "float32"), np.array([0.0], "float32"))
    second = Opinion(np.array([[0.0, 1.0]], "float32"), np.array([0.0], "float32"))
    fused = combine(first, second)
    np.testing.assert_array_equal(conflict(first, second), [1.0])
    np.testing.assert_array_equal(fused.belief, [[0.0, 0.0]])
    np.testing.assert_array_equal(fused.uncertainty, [1.0])


def test_total_conflict_has_finite_gradients():
    """The quotient that is not taken must not be 0 / 0 either: its gradient would be NaN."""
    belief = tf.constant([[1.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(belief)
        fused = combine(Opinion(belief, tf.constant([0.0])), Opinion(belief[:, ::-1], tf.constant([0.0])))
        total = tf.reduce_sum(fused.belief) + tf.reduce_sum(fused.uncertainty)
    assert np.isfinite(tape.gradient(total, belief)).all()


@pytest.mark.parametrize("extreme", [0.0, 100.0, -100.0, 1e30, -1e30, np.inf, -np.inf])
def test_extreme_logits_stay_finite(extreme):
    logits = np.array([[extreme, 1.0, -1.0], [0.0, extreme, extreme]], "float32")
    for make in (lambda x: opinion(evidence_of_logits(x)), binary_opinions):
        first, second = make(logits), make(logits[::-1].copy())
        for part in (*combine(first, second), conflict(first, second)):
            assert np.isfinite(part).all()


def test_multi_label_gives_one_binary_opinion_a_label():
    logits = np.array([[0.0, 3.0, -3.0]], "float32")
    answer = binary_opinions(logits)
    yes, no = np.log1p(np.exp([0.0, 3.0, -3.0])), np.log1p(np.exp([0.0, -3.0, 3.0]))
    np.testing.assert_allclose(answer.belief[0, :, 0], yes / (yes + no + 2), rtol=1e-5)
    np.testing.assert_allclose(answer.belief[0, :, 1], no / (yes + no + 2), rtol=1e-5)
    np.testing.assert_allclose(answer.uncertainty[0], 2 / (yes + no + 2), rtol=1e-5)


def test_half_precision_logits_are_widened():
    assert np.asarray(evidence_of_logits(np.float16([1.0]))).dtype == np.float32


def test_no_evidence_is_full_uncertainty_and_changes_no_other_opinion():
    nothing = opinion(np.zeros(3, "float32"))
    np.testing.assert_array_equal(nothing.belief, np.zeros(3))
    assert float(nothing.uncertainty) == 1.0
    other = opinion(np.array([4.0, 1.0, 0.5], "float32"))
    for fused in (combine(nothing, other), combine(other, nothing)):
        np.testing.assert_allclose(fused.belief, other.belief, atol=1e-6)
        np.testing.assert_allclose(fused.uncertainty, other.uncertainty, atol=1e-6)
    assert float(conflict(nothing, other)) == 0.0


def test_multi_label_opinions_combine_label_by_label():
    rng = np.random.default_rng(0)
    first, second = (binary_opinions(3 * rng.normal(size=(4, 5)).astype("float32")) for _ in range(2))
    fused, lost = combine(first, second), conflict(first, second)
    for row, label in np.ndindex(4, 5):
        pair = [Opinion(np.asarray(one.belief)[row, label], one.uncertainty[row, label]) for one in (first, second)]
        belief, uncertainty, expected_lost = dempster_by_enumeration(*pair)
        np.testing.assert_allclose(fused.belief[row, label], belief, atol=1e-5)
        np.testing.assert_allclose(fused.uncertainty[row, label], uncertainty, atol=1e-5)
        np.testing.assert_allclose(lost[row, label], expected_lost, atol=1e-5)


@given(hnp.arrays("float32", st.integers(1, 7), elements=st.floats(0, 2.0**127, width=32, allow_subnormal=False)))
@example(np.full(3, 3e38, "float32"))
@example(np.array([2e30, 4e30, 0], "float32"))
@settings(max_examples=200, deadline=None)
def test_evidence_of_any_size_gives_an_opinion(evidence):
    exact = evidence.astype("float64")
    strength = exact.sum() + len(exact)
    belief, uncertainty = opinion(evidence)
    np.testing.assert_allclose(belief, exact / strength, rtol=1e-5, atol=1e-30)
    np.testing.assert_allclose(uncertainty, len(exact) / strength, rtol=1e-5, atol=1e-30)


def test_infinite_evidence_leaves_no_doubt():
    belief, uncertainty = opinion(np.array([[np.inf, 5.0], [np.inf, np.inf]], "float32"))
    np.testing.assert_allclose(belief, [[1, 0], [0.5, 0.5]], atol=1e-6)
    np.testing.assert_allclose(uncertainty, [0, 0], atol=1e-6)
