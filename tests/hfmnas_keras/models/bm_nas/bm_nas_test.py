"""BM-NAS: its operations and cells against float64 numpy, the two views of one network, its genotype as data."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from hfmnas_keras.genotype.bm_genotype import BMGenotype, discretise_bm
from hfmnas_keras.models.bm_nas.bm_model import bm_model
from hfmnas_keras.models.bm_nas.bm_supernet import BMSupernet
from hfmnas_keras.models.bm_nas.fusion_cell import FusionCell
from hfmnas_keras.models.bm_nas.fusion_operations import fusion_operation
from hfmnas_keras.operations import FUSION_OPERATIONS
from hfmnas_keras.optimization.losses import task_loss
from tests.hfmnas_keras.models.bm_nas.chosen_weights import copy_bm_model
from tests.hfmnas_keras.network_settings import NetworkSettings

SHAPES = {"text_low": (5,), "image_low": (2, 3, 3), "text_high": (6,), "image_high": (2, 3, 4)}
FUSION = NetworkSettings(channels=4, grid=(2, 3), num_heads=2, dropout=0.0, correlation_dim=3, inner_steps=2)
NAMES = ["text_low", "image_low", "text_high", "image_high"]


def features(rows=3, seed=0):
    random = np.random.default_rng(seed)
    return {name: random.normal(size=(rows, *shape)).astype("float32") for name, shape in SHAPES.items()}


def scattered(model, seed=1):
    """Random weights everywhere, so that no scale is 1 and no offset 0; variances stay positive."""
    random = np.random.default_rng(seed)
    for variable in model.variables:
        if variable.dtype.startswith("float"):
            values = random.normal(size=variable.shape)
            variable.assign(np.abs(values) + 0.5 if "variance" in variable.path else values)
    return model


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def grid_norm(grid, layer):
    gamma, beta = (np.asarray(v, "float64") for v in (layer.gamma, layer.beta))
    centred = grid - grid.mean(axis=(1, 2, 3), keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=(1, 2, 3), keepdims=True) + layer.epsilon) * gamma + beta


def batch_norm(grid, layer):
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    gamma, beta, mean, variance = (np.asarray(getattr(layer, name), "float64") for name in names)
    return (grid - mean) / np.sqrt(variance + layer.epsilon) * gamma + beta


def dense(grid, layer):
    return grid @ np.asarray(layer.kernel, "float64") + np.asarray(layer.bias, "float64")


def operate(layer, x, y):
    """The operation by its definition, at inference."""
    name = type(layer).__name__
    joined = np.concatenate([x, y], axis=-1)
    if name == "Sum":
        return x + y
    if name == "ConcatFC":
        return np.maximum(batch_norm(dense(joined, layer.projection), layer.norm), 0)
    if name == "LinearGLU":
        values, gates = np.split(batch_norm(dense(joined, layer.projection), layer.norm), 2, axis=-1)
        return values / (1 + np.exp(-gates))
    assert name == "ScaledDotAttention"
    batch, height, width, channels = x.shape
    query, key = (grid.reshape(batch, height * width, channels) for grid in (x, y))
    scores = softmax(np.einsum("bqc,bkc->bqk", query, key) / np.sqrt(channels))
    return grid_norm(np.einsum("bqk,bkc->bqc", scores, key).reshape(x.shape), layer.output_norm)


def pair_of_grids(seed=2):
    return list(np.random.default_rng(seed).normal(size=(2, 3, 2, 3, 4)))


@pytest.mark.parametrize("name", FUSION_OPERATIONS)
def test_an_operation_is_its_definition(name):
    x, y = pair_of_grids()
    layer = fusion_operation(name, 4)
    layer.build([(None, 2, 3, 4)] * 2)
    scattered(layer)
    np.testing.assert_allclose(layer([x.astype("f4"), y.astype("f4")]), operate(layer, x, y), atol=1e-5)


@pytest.mark.parametrize("steps", [1, 2])
def test_a_chosen_cell_is_its_definition(steps):
    x, y = pair_of_grids()
    chosen = [{"inputs": [0, 1], "operation": "linear_glu"}, {"inputs": [1, 2], "operation": "scaled_dot_attention"}]
    cell = FusionCell(chosen[:steps], 4)
    cell.build([(None, 2, 3, 4)] * 2)
    scattered(cell)
    first = operate(cell.operations[0], x, y)
    if steps == 1:
        out = first
    else:
        second = operate(cell.operations[1], y, first)
        joined = dense(np.concatenate([first, second], axis=-1), cell.projection)
        out = np.maximum(batch_norm(joined, cell.norm), 0)
    expected = grid_norm(out + x, cell.output_norm)
    np.testing.assert_allclose(cell([x.astype("f4"), y.astype("f4")]), expected, atol=2e-5)


def test_an_open_network_passes_one_sum_twice_and_mixes_four_operations():
    """The whole supernet at inference, in float64, from its logits and its layers' weights."""
    supernet = scattered(BMSupernet(SHAPES, 3, **FUSION.supernet("bm_nas")))
    inputs = features()
    states = [
        np.asarray(grid(inputs[name]), "float64") for name, grid in zip(NAMES, supernet.feature_grids, strict=True)
    ]
    skip = softmax(np.asarray(supernet.upper_gamma, "float64"))[:, 1]
    inner = softmax(np.asarray(supernet.inner_gamma, "float64"))[:, 1]
    beta = softmax(np.asarray(supernet.beta, "float64"))
    outputs = []
    for number, cell in enumerate(supernet.cells):
        own = skip[:4] if number == 0 else skip[4:9]
        x = sum(weight * state for weight, state in zip(own, states, strict=True))
        inside = [x, x]
        for step in range(2):
            edges = inner[5 * number + 2 * step : 5 * number + 2 + 3 * step]
            s = sum(weight * state for weight, state in zip(edges, inside, strict=True))
            operations = cell.operations[4 * step : 4 * step + 4]
            row = beta[2 * number + step]
            inside.append(sum(p * operate(layer, s, s) for p, layer in zip(row, operations, strict=True)))
        joined = dense(np.concatenate(inside[2:], axis=-1), cell.projection)
        outputs.append(grid_norm(np.maximum(batch_norm(joined, cell.norm), 0) + x, cell.output_norm))
        states.append(outputs[-1])
    hidden = np.maximum(grid_norm(np.concatenate(outputs, axis=-1), supernet.output_norm), 0)
    expected = dense(hidden.reshape(3, -1), supernet.head)
    np.testing.assert_allclose(supernet(inputs), expected, atol=1e-4)


def weights_by_path(model):
    return {"/".join(variable.path.split("/")[-3:]): variable for variable in model.variables}


@pytest.mark.parametrize("mitigation", [False, True])
def test_the_model_of_a_genotype_is_the_supernet_with_its_choices(mitigation):
    fusion = FUSION.changed(in_bm_nas=mitigation)
    supernet = scattered(BMSupernet(SHAPES, 3, **fusion.supernet("bm_nas")))
    genotype = supernet.genotype()
    model = bm_model(genotype, SHAPES, 3, **fusion.model)
    copy_bm_model(supernet, model)
    inputs = features()
    expected = supernet.discretised_logits(inputs, supernet.choices_of(genotype))
    np.testing.assert_allclose(model(inputs), expected, atol=1e-4)
    # What is chosen is not what is mixed.
    assert np.abs(np.asarray(supernet(inputs)) - np.asarray(expected)).max() > 1e-2


def test_the_mitigation_takes_two_cells_and_leaves_none_out():
    fusion = FUSION.changed(in_bm_nas=True)
    with pytest.raises(ValueError, match="Two cells of BM-NAS meet .* Received: 3 cells"):
        BMSupernet(SHAPES, 3, **fusion.changed(cells=3).supernet("bm_nas"))
    steps = [{"inputs": [0, 1], "operation": "sum"}]
    high = {"features": ["text_high", "image_high"], "steps": steps}
    with pytest.raises(ValueError, match="Two cells of BM-NAS meet .* Received: 3 cells"):
        bm_model(
            BMGenotype([{"features": ["text_low", "image_low"], "steps": steps}, high, high]), SHAPES, 3, **fusion.model
        )
    alone = bm_model(BMGenotype([high]), SHAPES, 3, **fusion.model)
    assert "inconsistency_mitigation" not in [layer.name for layer in alone.layers]


def test_each_cell_reads_a_feature_that_no_earlier_one_does():
    upper = np.array([[0.9, 0.8, 0.2, 0.1, 0.0, 0.0], [0.9, 0.8, 0.2, 0.1, 1.0, 0.0]])
    inner = np.array([[[0.5, 0.5, 0.0], [0.3, 0.6, 0.4]]] * 2)
    operations = np.array([[[0.1, 0.2, 0.6, 0.1], [0.4, 0.4, 0.1, 0.1]]] * 2)
    genotype = discretise_bm(NAMES, upper, inner, operations, 2)
    assert [cell["features"] for cell in genotype.cells] == [["text_low", "image_low"], ["text_low", "text_high"]]
    assert genotype.cells[0]["steps"] == [
        {"inputs": [0, 1], "operation": "linear_glu"},
        {"inputs": [1, 2], "operation": "sum"},
    ]


def test_a_genotype_comes_back_from_its_text(tmp_path):
    genotype = BMSupernet(SHAPES, 3, **FUSION.supernet("bm_nas")).genotype()
    genotype.save(tmp_path / "genotype.json")
    assert BMGenotype.load(tmp_path / "genotype.json") == genotype


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"version": 1', '"version": 2', "reads genotypes of version 1"),
        ('"operation": "', '"operation": "x', "must be one of sum"),
        ('"model": "bm_nas",', "", "Expected a genotype of the model 'bm_nas'. Received: one of 'hf_mnas'"),
        ('"cells"', '"sells"', "Missing: cells. Not known: sells"),
        ("}", "", "JSON text"),
        ('"features": [\n    "text_low"', '"features": [\n    "image_low"', "distinct names"),
        ('"features": [\n    "text_low",', '"features": [', "not among `features`"),
    ],
)
def test_text_that_is_no_genotype_is_refused(old, new, told):
    cell = {"features": ["text_low", "image_high"], "steps": [{"inputs": [0, 1], "operation": "sum"}]}
    text = BMGenotype([cell], tuple(NAMES)).to_json()
    assert old in text
    with pytest.raises(ValueError, match=told):
        BMGenotype.from_json(text.replace(old, new))


def test_a_state_that_does_not_exist_yet_is_refused():
    with pytest.raises(ValueError, match=r"cells\[0\].steps\[0\].inputs"):
        BMGenotype(({"features": ["a", "b"], "steps": [{"inputs": [0, 2], "operation": "sum"}]},))
    cell = {"features": ["a", "b"], "steps": [{"inputs": [0, 1], "operation": "sum"}]}
    with pytest.raises(ValueError, match="list of 1 to 16 cells"):
        BMGenotype([cell] * 17)
    with pytest.raises(ValueError, match="list of 1 to 16 steps"):
        BMGenotype([{**cell, "steps": cell["steps"] * 17}])
    with pytest.raises(ValueError, match="`cells` must be between 1 and 16. Received: 17"):
        FUSION.changed(cells=17)
    with pytest.raises(ValueError, match="not among the features"):
        bm_model(
            BMGenotype(({"features": ["a", "b"], "steps": [{"inputs": [0, 1], "operation": "sum"}]},)),
            SHAPES,
            3,
            **FUSION.model,
        )


@pytest.mark.parametrize("mitigation", [False, True])
def test_it_learns_32_random_rows_by_heart(mitigation):
    keras.utils.set_random_seed(0)
    fusion = FUSION.changed(channels=16, in_bm_nas=mitigation)
    genotype = BMSupernet(SHAPES, 4, **fusion.supernet("bm_nas")).genotype()
    model = bm_model(genotype, SHAPES, 4, **fusion.model)
    rows, labels = features(32), tf.constant(np.random.default_rng(3).integers(4, size=32))
    optimizer = keras.optimizers.Adam(0.01)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = task_loss(labels, model(rows, training=True)) + sum(model.losses)
        optimizer.apply(tape.gradient(loss, model.trainable_variables, unconnected_gradients="zero"))

    for _ in range(100):
        step()
    assert np.mean(np.argmax(model(rows, training=True), axis=1) == labels) > 0.95
