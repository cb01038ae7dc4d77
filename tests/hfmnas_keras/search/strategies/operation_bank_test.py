import numpy as np
import pytest
import tensorflow as tf

from hfmnas_keras.edge_operations import EDGE_OPERATIONS, edge_operation
from hfmnas_keras.node_operations import NODE_OPERATIONS, node_operation
from hfmnas_keras.optimization.weight_decay import is_decayed
from hfmnas_keras.search.strategies.operation_bank import ABSENT, OperationBank, is_seed

CHANNELS = 8
SHAPE = (4, 2, 2, CHANNELS)


def make_edge(name, dropout=0.0):
    layer = edge_operation(name, CHANNELS, dropout=dropout, name=name)
    layer.build(SHAPE)
    return layer


def make_node(name, dropout=0.0):
    layer = node_operation(name, CHANNELS, dropout=dropout, num_heads=2, name=name)
    layer.build([SHAPE, SHAPE])
    return layer


MAKERS = {"edges": (make_edge, EDGE_OPERATIONS[1:], 1), "nodes": (make_node, NODE_OPERATIONS, 2)}


@pytest.fixture(scope="module", params=MAKERS)
def bank(request):
    make, names, num_inputs = MAKERS[request.param]
    return OperationBank({name: make(name) for name in names}, num_inputs), make, names, num_inputs


def grids(count, seed=0):
    generator = np.random.default_rng(seed)
    return [tf.constant(generator.normal(size=SHAPE).astype("float32")) for _ in range(count)]


def random_layer(make, name, seed=1):
    """With all weights other than those of any other layer, norms' too."""
    layer = make(name)
    generator = np.random.default_rng(seed)
    for variable in layer.variables:
        if not is_seed(variable):
            variable.assign(0.5 + 0.1 * generator.normal(size=variable.shape))
    return layer


def test_each_operation_is_its_layer_with_gradients_and_moving_averages(bank):
    bank, make, names, num_inputs = bank
    inputs = grids(num_inputs)
    traces = set()
    for name in names:
        layer = random_layer(make, name)
        row = [tf.constant(part.astype("float32")) for part in bank.row(layer)]
        number = bank.operations.index(name)
        argument = inputs if num_inputs > 1 else inputs[0]
        np.testing.assert_allclose(bank.infer(number, inputs, row), layer(argument), rtol=1e-5, atol=1e-6)

        with tf.GradientTape() as tape:
            tape.watch([*inputs, *row])
            output, kept = bank.train(tf.constant(number), inputs, row, tf.constant([1, 2]))
            loss = tf.reduce_sum(output * tf.sin(tf.range(tf.size(output), dtype=tf.float32)).numpy().reshape(SHAPE))
        received = tape.gradient(loss, [*inputs, *row[:2]], unconnected_gradients="zero")
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            expected_output = layer(argument, training=True)
            loss = tf.reduce_sum(
                expected_output * tf.sin(tf.range(tf.size(output), dtype=tf.float32)).numpy().reshape(SHAPE)
            )
        weights = layer.trainable_variables
        expected = tape.gradient(
            loss, [*inputs, *(variable.value for variable in weights)], unconnected_gradients="zero"
        )
        np.testing.assert_allclose(output, expected_output, rtol=1e-5, atol=1e-6)
        for mine, theirs in zip(received[:num_inputs], expected[:num_inputs], strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)
        for part, decayed in zip(received[num_inputs:], (True, False), strict=True):
            of_layer = [
                np.ravel(gradient)
                for variable, gradient in zip(weights, expected[num_inputs:], strict=True)
                if is_decayed(variable) == decayed
            ]
            length = sum(map(len, of_layer))
            np.testing.assert_allclose(part[:length], np.concatenate([*of_layer, []]), rtol=1e-4, atol=1e-4)
            np.testing.assert_array_equal(part[length:], 0.0)
        # The moving averages after the step.
        np.testing.assert_allclose(kept, bank.row(layer)[2], rtol=1e-5, atol=1e-6)
        traces.add(bank._train.experimental_get_tracing_count())
    assert traces == {1}


def test_an_absent_place_is_zero(bank):
    bank, _, names, num_inputs = bank
    assert bank.operations == (ABSENT, *names)
    row = [tf.ones(size) for size in bank.sizes]
    output, kept = bank.train(tf.constant(0), grids(num_inputs), row, tf.constant([0, 0]))
    assert not np.any(output) and not np.any(bank.infer(0, grids(num_inputs), row))
    np.testing.assert_array_equal(kept, row[2])


def test_rows_go_into_layers_and_back(bank):
    bank, make, names, _ = bank
    for name in names:
        layer, other = random_layer(make, name, 1), random_layer(make, name, 2)
        bank.assign(other, bank.row(layer))
        for mine, theirs in zip(layer.variables, other.variables, strict=True):
            if not is_seed(mine):
                np.testing.assert_array_equal(mine, theirs)


def test_dropout_follows_from_the_seed():
    bank = OperationBank({"sum": make_node("sum", dropout=0.5)}, 2)
    row = [tf.constant(part.astype("float32")) for part in bank.row(make_node("sum", dropout=0.5))]
    first, again, other = (
        np.asarray(bank.train(tf.constant(1), grids(2), row, tf.constant(seed))[0]) for seed in ([3, 4], [3, 4], [3, 5])
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1
