import numpy as np
import pytest
from scipy.special import expit, softmax

from hfmnas_keras.layers.weighted_vote import WeightedVote
from tests.hfmnas_keras.layer_test_case import run_layer_test


def make_logits(networks=3, scale=2.0):
    generator = np.random.default_rng(0)
    return [(scale * generator.normal(size=(4, 5))).astype("float32") for _ in range(networks)]


@pytest.mark.parametrize("multi_label", [False, True])
def test_is_a_sound_layer(multi_label):
    run_layer_test(
        lambda: WeightedVote([3, 1, 2], multi_label),
        make_logits(),
        (4, 5),
        expected_num_weights=0,
        mixed_output_dtype="float32",
    )


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("scale", [2.0, 30.0])
def test_its_probabilities_are_the_weighted_mean(multi_label, scale):
    logits = make_logits(scale=scale)
    squash = expit if multi_label else (lambda array: softmax(array, axis=1))
    first, second, third = (squash(array.astype("float64")) for array in logits)
    expected = (3 * first + second + 2 * third) / 6
    output = np.asarray(WeightedVote([3, 1, 2], multi_label)(logits), "float64")
    np.testing.assert_allclose(squash(output), expected, rtol=2e-5, atol=1e-12)


def test_log_probabilities_of_softmax_sum_to_one():
    output = np.asarray(WeightedVote([1, 1, 1])(make_logits()), "float64")
    np.testing.assert_allclose(np.exp(output).sum(axis=1), 1.0, rtol=1e-6)


@pytest.mark.parametrize("multi_label", [False, True])
def test_infinite_logits_give_finite_ones(multi_label):
    logits = [np.array([[np.inf, -np.inf, 0.0]], "float32"), np.zeros((1, 3), "float32")]
    output = np.asarray(WeightedVote([1, 1], multi_label)(logits))
    assert np.isfinite(output).all()
    squash = expit if multi_label else (lambda array: softmax(array, axis=1))
    expected = [[0.75, 0.25, 0.5]] if multi_label else [[2 / 3, 1 / 6, 1 / 6]]
    np.testing.assert_allclose(squash(output), expected, atol=1e-6)


def test_votes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="above 0, one a network. Received: \\[1, 0\\]"):
        WeightedVote([1, 0])
    with pytest.raises(ValueError, match="2 votes and needs as many inputs. Received: 3"):
        WeightedVote([1, 2])(make_logits())
