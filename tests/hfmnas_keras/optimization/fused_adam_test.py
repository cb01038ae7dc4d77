import keras
import numpy as np
import pytest
import tensorflow as tf

from hfmnas_keras.optimization.fused_adam import FusedAdam


@pytest.mark.parametrize("beta_1", [0.9, 0.5])
def test_equals_the_paper_in_float64(beta_1):
    generator = np.random.default_rng(0)
    start = generator.normal(size=(3, 4))
    variable = keras.Variable(start.astype("float32"), name="kernel")
    optimizer = FusedAdam(0.01, beta_1=beta_1, beta_2=0.999, epsilon=1e-7)
    optimizer.build([variable])
    step = tf.function(lambda gradient: optimizer.apply([gradient], [variable]), autograph=False)
    expected, m, v = start.copy(), np.zeros((3, 4)), np.zeros((3, 4))
    for t in range(1, 6):
        gradient = generator.normal(size=(3, 4))
        step(tf.constant(gradient, tf.float32))
        m, v = beta_1 * m + (1 - beta_1) * gradient, 0.999 * v + 0.001 * gradient**2
        expected -= 0.01 * (m / (1 - beta_1**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-7 / np.sqrt(1 - 0.999**t))
    np.testing.assert_allclose(variable, expected, rtol=1e-5, atol=1e-6)


def test_gradient_of_an_embedding_with_a_repeated_row():
    embedding = keras.layers.Embedding(6, 2, embeddings_initializer="ones")
    embedding.build((None,))
    values = embedding.trainable_variables
    optimizer = FusedAdam(0.1)
    optimizer.build(values)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(embedding(np.array([1, 1, 4])) ** 2)
    optimizer.apply(tape.gradient(loss, [value.value for value in values]), values)
    # Adam's first step is the learning rate against the sign. (Keras's Adam squares the parts of a repeated row one
    # by one and goes too far.)
    expected = np.ones((6, 2))
    expected[[1, 4]] = 0.9
    np.testing.assert_allclose(embedding.embeddings, expected, rtol=1e-5)


def test_round_trip_and_amsgrad():
    again = keras.optimizers.deserialize(keras.optimizers.serialize(FusedAdam(0.3, beta_1=0.5, decay_rate=0.2)))
    assert isinstance(again, FusedAdam)
    assert (again.beta_1, again.decay_rate) == (0.5, 0.2)
    with pytest.raises(ValueError, match="decay_rate"):
        FusedAdam(weight_decay=0.1)
    with pytest.raises(ValueError, match="amsgrad"):
        FusedAdam(amsgrad=True)
