import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from hfmnas_keras.cell.searched_cell import SearchedCell
from hfmnas_keras.cell.supernet_cell import SupernetCell
from hfmnas_keras.edge_operations import EDGE_OPERATIONS
from hfmnas_keras.genotype.discretise import discretise
from hfmnas_keras.node_operations import NODE_OPERATIONS
from tests.hfmnas_keras.cell.chosen_weights import copy_cell, decide
from tests.hfmnas_keras.cell.reference_cell import supernet_cell_reference
from tests.hfmnas_keras.layer_test_case import run_layer_test
from tests.hfmnas_keras.reference_arithmetic import normalize_layer, randomize_statistics, randomize_weights

CHANNELS = 8
SHAPE = (3, 4, 4, CHANNELS)


def random_inputs(seed=0):
    generator = np.random.default_rng(seed)
    return [generator.normal(size=SHAPE).astype("float32") for _ in range(2)]


def make_cell(num_nodes=4, node_inputs="pair", seed=0, dtype="float32"):
    keras.utils.set_random_seed(seed)
    cell = SupernetCell(CHANNELS, num_nodes=num_nodes, node_inputs=node_inputs, dropout=0.0, dtype=dtype)
    cell.build([SHAPE, SHAPE])
    return cell


def test_layer():
    run_layer_test(
        lambda: SupernetCell(CHANNELS, num_nodes=2),
        random_inputs(),
        expected_output_shape=(3, 4, 4, 2 * CHANNELS),
    )


def test_architecture_parameters_and_edges():
    cell = make_cell(num_nodes=4)
    assert cell.num_edges == 14
    assert [edges.num_edges for edges in cell.edges_of_source] == [4, 4, 3, 2, 1]
    assert cell.gamma.shape == (14, 10)
    assert cell.beta.shape == (4, 9)
    assert 0 < np.abs(cell.gamma).max() < 0.01
    np.testing.assert_array_equal(cell.importance, np.zeros(4))
    assert [weight.path for weight in cell.trainable_weights if weight.name == "importance"]


@pytest.mark.parametrize("training", [False, True])
def test_decided_supernet_is_the_searched_cell(training):
    # Node 1 is dropped from the output but read by node 3; node 2 is dropped and pruned.
    gamma_choices = [
        *("linear_tanh", "sep_conv_3x3"),
        *("dil_conv_3x3", "none", "max_pool_3x3"),
        *("none", "linear_elu", "none", "skip"),
        *("none", "avg_pool_3x3", "none", "linear_sigmoid", "none"),
    ]
    beta_choices = ["mamba_fusion", "concat_fc", "sum", "bidirectional_attention"]
    importance = [0.7, -0.4, -0.6, 0.3]
    # In double precision: rounding in single precision differs from stack to stack by more than is allowed here.
    supernet_cell = make_cell(dtype="float64")
    decide(supernet_cell, gamma_choices, beta_choices)
    supernet_cell.importance.assign(importance)
    for weight in supernet_cell.weights:
        if weight.name == "moving_mean":
            weight.assign(np.random.default_rng(1).normal(size=weight.shape))
    cell_genotype = discretise(supernet_cell.gamma, supernet_cell.beta, supernet_cell.importance, kept_nodes=2)
    assert cell_genotype.kept == (0, 3)
    assert [node.index for node in cell_genotype.nodes] == [0, 1, 3]
    searched_cell = SearchedCell(cell_genotype, CHANNELS, dropout=0.0, dtype="float64")
    searched_cell.build([SHAPE, SHAPE])
    copy_cell(supernet_cell, searched_cell)

    inputs = random_inputs()
    expected = ops.convert_to_numpy(supernet_cell(inputs, training=training)).reshape(*SHAPE[:-1], 4, CHANNELS)
    received = searched_cell(inputs, training=training)
    np.testing.assert_allclose(received, expected[..., [0, 3], :].reshape(received.shape), atol=1e-5)


@pytest.mark.parametrize(
    ("node_inputs", "partial_channels", "values"),
    [
        ("pair", 1, "query"),
        ("split", 1, "key"),
        ("shared", 1, "query"),
        ("pair", 4, "key"),
        ("split", 2, "query"),
    ],
)
@pytest.mark.parametrize("training", [False, True])
def test_equals_a_loop_over_edges_and_operations(node_inputs, partial_channels, values, training):
    """Eq. 10-25 with all choices open, on a grid of unequal odd sides; in float64 but for the logits."""
    keras.utils.set_random_seed(0)
    channels = 4 if partial_channels == 1 else 8
    shape = (2, 5, 3, channels)
    num_nodes = 3 if (node_inputs, partial_channels) == ("pair", 1) else 2
    options = {"node_inputs": node_inputs, "partial_channels": partial_channels, "attention_values": values}
    cell = SupernetCell(channels, num_nodes=num_nodes, **options, dropout=0.0, num_heads=2, dtype="float64")
    cell.build([shape, shape])
    randomize_weights(cell)
    randomize_statistics(cell)
    inputs = list(np.random.default_rng(3).normal(size=(2, *shape)))
    # Before the call, which moves the moving averages.
    expected = supernet_cell_reference(cell, inputs, training)
    np.testing.assert_allclose(cell(inputs, training=training), expected, rtol=0, atol=1e-5)


def test_node_zero_gets_its_two_edges_whatever_their_strengths():
    """Of one pair alone the probability is 1: with `skip` on both edges, `sum` is the sum of the two inputs."""
    cell = make_cell(num_nodes=1)
    decide(cell, ["skip", "skip"], ["sum"])
    # A `none` of equal probability halves an edge, and its strength.
    gamma = ops.convert_to_numpy(cell.gamma).copy()
    gamma[0, EDGE_OPERATIONS.index("none")] = gamma[0].max()
    cell.gamma.assign(gamma)
    first, second = random_inputs()
    np.testing.assert_allclose(cell([first, second]), normalize_layer(normalize_layer(first / 2 + second)), atol=1e-5)


def test_edges_that_are_all_none_stay_finite():
    cell = make_cell(num_nodes=2)
    decide(cell, ["none"] * 5, ["sum", "sum"], certainty=200.0)
    with tf.GradientTape() as tape:
        outputs = cell(random_inputs(), training=True)
        loss = ops.mean(ops.square(outputs - 1.0))
    assert np.isfinite(outputs).all()
    assert np.isfinite(tape.gradient(loss, cell.gamma.value)).all()


def test_unknown_node_inputs_are_refused():
    with pytest.raises(ValueError, match="'pair', 'split', 'shared'.*'triple'"):
        SupernetCell(CHANNELS, node_inputs="triple")


def test_operations_that_are_not_searched_have_no_part_in_any_mixture():
    shape = (2, 3, 3, 4)
    excluded = ("sep_conv_3x3", "mamba_fusion")
    settings = {"num_nodes": 2, "dropout": 0.0, "num_heads": 2, "dtype": "float64"}
    # In another order than the paper's, too.
    searched = {
        "edge_operations": [name for name in reversed(EDGE_OPERATIONS) if name not in excluded],
        "node_operations": [name for name in reversed(NODE_OPERATIONS) if name not in excluded],
    }
    cell, ruled_out = SupernetCell(4, **settings, **searched), SupernetCell(4, **settings)
    for one in (cell, ruled_out):
        one.build([shape, shape])
    randomize_weights(cell)
    shared = {weight.path.split("/", 1)[1]: weight for weight in cell.weights}
    for weight in ruled_out.weights:
        path = weight.path.split("/", 1)[1]
        if path in ("gamma", "beta"):
            own = searched["edge_operations" if path == "gamma" else "node_operations"]
            every = EDGE_OPERATIONS if path == "gamma" else NODE_OPERATIONS
            values = np.full(weight.shape, -1e6)
            values[:, [every.index(name) for name in own]] = ops.convert_to_numpy(shared[path])
            weight.assign(values)
        elif path in shared:
            weight.assign(shared[path])
    inputs = list(np.random.default_rng(3).normal(size=(2, *shape)))
    with tf.GradientTape() as tape:
        outputs = cell(inputs)
        loss = ops.mean(ops.square(outputs - 1.0))
    np.testing.assert_allclose(outputs, supernet_cell_reference(ruled_out, inputs, False), rtol=0, atol=1e-5)
    for gradient in tape.gradient(loss, [cell.gamma.value, cell.beta.value]):
        assert (np.abs(gradient).max(axis=0) > 0).all()


def test_importance_scales_each_node():
    cell = make_cell(num_nodes=2)
    inputs = random_inputs()
    before = ops.convert_to_numpy(cell(inputs)).reshape(*SHAPE[:-1], 2, CHANNELS)
    # Layer-normalised, and all factors 1 at the start. (Epsilon makes the deviation a little less than 1.)
    np.testing.assert_allclose(before.mean(axis=-1), 0.0, atol=1e-5)
    np.testing.assert_allclose(before.std(axis=-1), 1.0, atol=0.02)
    cell.importance.assign(np.log([3.0, 1.0]))
    after = ops.convert_to_numpy(cell(inputs)).reshape(*SHAPE[:-1], 2, CHANNELS)
    np.testing.assert_allclose(after, before * np.array([1.5, 0.5])[:, None], atol=1e-5)


def test_gradients_reach_every_choice():
    cell = make_cell(num_nodes=3)
    targets = np.random.default_rng(2).normal(size=(*SHAPE[:-1], 3 * CHANNELS)).astype("float32")
    variables = [cell.gamma, cell.beta, cell.importance]
    with tf.GradientTape() as tape:
        loss = ops.mean(ops.square(cell(random_inputs(), training=True) - targets))
    for variable, gradient in zip(variables, tape.gradient(loss, [each.value for each in variables]), strict=True):
        assert np.all(np.abs(gradient) > 0), variable.name


def test_logits_stay_in_full_precision():
    cell = SupernetCell(CHANNELS, num_nodes=2, dtype="mixed_float16")
    cell.build([SHAPE, SHAPE])
    assert cell(random_inputs()).dtype == "float16"
    assert {cell.gamma.dtype, cell.beta.dtype, cell.importance.dtype} == {"float32"}


def test_inputs_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match="two inputs with equal shapes"):
        SupernetCell(CHANNELS).build([SHAPE, (3, 4, 4, 2)])
