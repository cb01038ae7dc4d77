import numpy as np
import pytest
from scipy.special import expit, softmax

from hfmnas_keras.evidence.opinion_report import OpinionReport
from tests.hfmnas_keras.layer_test_case import run_layer_test


def logits(seed=0, shape=(4, 3)):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape).astype("float32") for name in ("fusion", "image", "text")}


@pytest.mark.parametrize("multi_label", [False, True])
def test_is_a_sound_layer(multi_label):
    scalar = (4, 3) if multi_label else (4,)
    expected = {"probabilities": (4, 3), "image_belief": (4, 3), "text_belief": (4, 3)}
    expected |= {"image_uncertainty": scalar, "text_uncertainty": scalar, "conflict": scalar, "uncertainty": scalar}
    run_layer_test(
        lambda: OpinionReport(multi_label), logits(), expected, expected_num_weights=0, mixed_output_dtype="float32"
    )


def dempster(belief_1, u_1, belief_2, u_2):
    lost = sum(
        belief_1[..., i] * belief_2[..., j]
        for i in range(belief_1.shape[-1])
        for j in range(belief_2.shape[-1])
        if i != j
    )
    return u_1 * u_2 / (1 - lost), lost


def test_single_label_against_numpy():
    inputs = logits()
    outputs = OpinionReport()(inputs)
    np.testing.assert_allclose(outputs["probabilities"], softmax(inputs["fusion"].astype("float64"), axis=1), atol=1e-6)
    opinions = []
    for name in ("image", "text"):
        evidence = np.log1p(np.exp(inputs[name].astype("float64")))
        strength = evidence.sum(1, keepdims=True) + 3
        opinions += [evidence / strength, 3 / strength[:, 0]]
        np.testing.assert_allclose(outputs[f"{name}_belief"], opinions[-2], atol=1e-6)
        np.testing.assert_allclose(outputs[f"{name}_uncertainty"], opinions[-1], atol=1e-6)
    uncertainty, lost = dempster(*opinions)
    np.testing.assert_allclose(outputs["uncertainty"], uncertainty, atol=1e-6)
    np.testing.assert_allclose(outputs["conflict"], lost, atol=1e-6)


@pytest.mark.parametrize("multi_label", [False, True])
def test_heads_have_their_share_of_the_answer_and_of_nothing_else(multi_label):
    inputs, shares = logits(2), {"text": 0.3, "image": 0.1}
    alone, mixed = (OpinionReport(multi_label, given)(inputs) for given in (None, shares))
    total = 0.6 * inputs["fusion"].astype("float64") + 0.3 * inputs["text"] + 0.1 * inputs["image"]
    expected = expit(total) if multi_label else softmax(total, axis=1)
    np.testing.assert_allclose(mixed["probabilities"], expected, atol=1e-6)
    for name in set(alone) - {"probabilities"}:
        np.testing.assert_array_equal(mixed[name], alone[name])
    assert OpinionReport.from_config(OpinionReport(multi_label, shares).get_config()).head_shares == shares


def test_shares_of_heads_are_checked():
    for shares in ({"text": -0.1}, {"text": 0.6, "image": 0.5}):
        with pytest.raises(ValueError, match="together 1 at most"):
            OpinionReport(head_shares=shares)
    with pytest.raises(ValueError, match=r"names \['depth'\]"):
        OpinionReport(head_shares={"depth": 0.1})(logits())


def test_multi_label_against_numpy():
    inputs = logits(1)
    outputs = OpinionReport(multi_label=True)(inputs)
    np.testing.assert_allclose(outputs["probabilities"], expit(inputs["fusion"]), atol=1e-6)
    opinions = []
    for name in ("image", "text"):
        score = inputs[name].astype("float64")
        evidence = np.stack([np.log1p(np.exp(score)), np.log1p(np.exp(-score))], axis=-1)
        strength = evidence.sum(-1, keepdims=True) + 2
        opinions += [evidence / strength, 2 / strength[..., 0]]
        np.testing.assert_allclose(outputs[f"{name}_belief"], opinions[-2][..., 0], atol=1e-6)
    uncertainty, lost = dempster(*opinions)
    np.testing.assert_allclose(outputs["uncertainty"], uncertainty, atol=1e-6)
    np.testing.assert_allclose(outputs["conflict"], lost, atol=1e-6)


def test_one_modality_has_no_conflict():
    inputs = logits(2)
    outputs = OpinionReport()({"fusion": inputs["fusion"], "image": inputs["image"]})
    np.testing.assert_array_equal(outputs["conflict"], np.zeros(4))
    np.testing.assert_array_equal(outputs["uncertainty"], outputs["image_uncertainty"])


@pytest.mark.parametrize("multi_label", [False, True])
def test_extreme_logits_stay_finite(multi_label):
    extremes = np.array([[np.inf, -np.inf, 0], [1e30, 1e30, 1e30], [-1e30, -np.inf, -1e30]], "float32")
    outputs = OpinionReport(multi_label)({"fusion": extremes, "image": extremes, "text": extremes[:, ::-1].copy()})
    for name, value in outputs.items():
        assert np.isfinite(value).all(), name
        assert np.min(value) >= 0 and np.max(value) <= 1, name


def test_rejects_inputs_without_fusion_or_modality():
    inputs = logits()
    with pytest.raises(ValueError, match="OpinionReport"):
        OpinionReport()({"fusion": inputs["fusion"]})
    with pytest.raises(ValueError, match="OpinionReport"):
        OpinionReport()({"image": inputs["image"], "text": inputs["text"]})
