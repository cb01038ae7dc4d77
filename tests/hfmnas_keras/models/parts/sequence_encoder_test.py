import keras
import numpy as np
import pytest
from keras import ops

from hfmnas_keras.models.parts.sequence_encoder import SequenceEncoder
from tests.hfmnas_keras.layer_test_case import run_layer_test


def test_layer_over_tokens():
    tokens = np.array([[3, 1, 2, 0, 0], [4, 4, 0, 0, 0], [1, 2, 3, 4, 1]], "int32")
    run_layer_test(
        lambda: SequenceEncoder(6, vocabulary_size=5),
        tokens,
        expected_output_shape=(3, 6),
        expected_num_weights=1 + 2 * 3 + 2,
    )


def test_layer_over_vectors():
    vectors = np.random.default_rng(0).normal(size=(3, 4, 5)).astype("float32")
    run_layer_test(lambda: SequenceEncoder(6), vectors, expected_output_shape=(3, 6), expected_num_weights=2 * 3 + 2)


def test_padding_and_unknown_words_change_nothing():
    keras.utils.set_random_seed(0)
    encoder = SequenceEncoder(8, vocabulary_size=9)
    short = ops.convert_to_numpy(encoder(np.array([[5, 2, 7]])))
    rows = [[5, 2, 7, 0, 0, 0], [8, 5, 2, 8, 7, 0], [0, 0, 0, 0, 0, 0], [8, 8, 0, 0, 0, 0]]
    padded = ops.convert_to_numpy(encoder(np.array(rows)))
    np.testing.assert_allclose(padded[:2], np.repeat(short, 2, axis=0), atol=1e-6)
    np.testing.assert_array_equal(padded[2:], np.zeros((2, 8)))
    assert np.abs(short).max() > 0


def lstm_last_state(sequence, kernel, recurrent_kernel, bias):
    """Keras's gates, in the order input, forget, candidate, output, in float64."""
    units = recurrent_kernel.shape[0]
    hidden = carry = np.zeros(units)

    def sigmoid(values):
        return 1 / (1 + np.exp(-values))

    for vector in sequence:
        gates = np.split(vector @ kernel + hidden @ recurrent_kernel + bias, 4)
        carry = sigmoid(gates[1]) * carry + sigmoid(gates[0]) * np.tanh(gates[2])
        hidden = sigmoid(gates[3]) * np.tanh(carry)
    return hidden


def test_output_are_the_last_states_of_both_directions_normalised():
    keras.utils.set_random_seed(0)
    encoder = SequenceEncoder(6)
    sequence = np.random.default_rng(1).normal(size=(1, 5, 4))
    received = encoder(sequence.astype("float32"))
    weights = [weight.astype("float64") for weight in encoder.get_weights()]
    expected = [lstm_last_state(sequence[0], *weights[:3]), lstm_last_state(sequence[0, ::-1], *weights[3:6])]
    states = np.concatenate(expected)
    normalised = (states - states.mean()) / np.sqrt(states.var() + 1e-5)
    np.testing.assert_allclose(received[0], normalised, atol=1e-5)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="must be even"):
        SequenceEncoder(7)
    with pytest.raises(ValueError, match="padding and at least one word"):
        SequenceEncoder(8, vocabulary_size=1)
    with pytest.raises(ValueError, match=r"\(batch, steps, any\).*Received: \(None, 5\)"):
        SequenceEncoder(8).build((None, 5))
