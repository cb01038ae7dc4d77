"""Nothing is computed that the genotype dropped: what is in the graph of a searched model, by names and by types."""

import re
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from hfmnas_keras.genotype import Genotype, discretise
from hfmnas_keras.models.hf_mnas.searched_model import searched_model
from tests.hfmnas_keras.network_settings import NetworkSettings

SHAPES = {"text_low": (3,), "text_high": (3,), "image_low": (4, 4, 3), "image_high": (4, 4, 3)}
FUSION = NetworkSettings(channels=4, num_heads=2, correlation_dim=2)
# TensorFlow numbers a scope that is opened again: `node_1_edge_0_1`.
SCOPE = re.compile(r"([lh]fbc_cell_\d+)(?:_\d+)?/node_(\d+)_(fusion|edge_\d+)(?:_\d+)?/")
OUTPUT_NORM_SCOPE = re.compile(r"([lh]fbc_cell_\d+)(?:_\d+)?/output_norm(?:_\d+)?/")
# Keras and TensorFlow choose between these by version and shape.
PRODUCTS = {"MatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum"}
# What each operation computes, apart from its normalisation: how often each type of operation stands in a graph.
GRAPHS = {
    "skip": {},
    "max_pool_3x3": {"MaxPool": 1},
    "avg_pool_3x3": {"AvgPool": 1},
    "sep_conv_3x3": {"Relu": 2, "DepthwiseConv2dNative": 2, "product": 2},
    "dil_conv_3x3": {"Relu": 1, "DepthwiseConv2dNative": 1, "product": 1},
    "linear_relu": {"Relu": 1, "product": 1},
    "linear_sigmoid": {"Sigmoid": 1, "product": 1},
    "linear_tanh": {"Tanh": 1, "product": 1},
    "linear_elu": {"Elu": 1, "product": 1},
    "sum": {},
    "multiply": {},
    # Logits and values.
    "scaled_dot_attention": {"Softmax": 1, "product": 2},
    # The kernel, the affinity, both ways, the Dense.
    "bidirectional_attention": {"Softmax": 2, "product": 5},
    # Two projections, logits and values of both directions at once, the Dense.
    "multi_head_attention": {"Softmax": 1, "product": 5},
    "squeeze_excitation": {"Sigmoid": 1, "product": 1},
    "linear_glu": {"Sigmoid": 1, "product": 2},
    "concat_fc": {"Relu": 1, "product": 1},
    # Three Dense; in the scan selection, steps and reading; three SiLU.
    "mamba_fusion": {"DepthwiseConv2dNative": 1, "product": 6, "Softplus": 1, "Sigmoid": 3},
}
COMPUTING = {kind for graph in GRAPHS.values() for kind in graph}


def random_genotype(seed):
    generator = np.random.default_rng(seed)
    cells = [
        discretise(*(generator.normal(size=shape) for shape in ((14, 10), (4, 9), 4)), kept_nodes=1 + seed % 3)
        for _ in range(2)
    ]
    return Genotype(*cells)


def expected_choices(genotype, num_cells=1):
    """The operation of each place of the genotype, by its label, in every cell of a branch."""
    return {
        f"{name}_cell_{number}/{label}": choice
        for name, cell in genotype.cells.items()
        for number in range(1, num_cells + 1)
        for label, choice in cell.to_labels().items()
    }


def expected_graphs(genotype, num_cells=1):
    """What is to be computed in each place of the genotype, by its label."""
    return {label: GRAPHS[choice] for label, choice in expected_choices(genotype, num_cells).items()}


def graphs_by_label(operations):
    """Operations `(name, type)` of a graph by the label of the place that they stand in, those that compute counted."""
    graphs = {}
    for name, kind in operations:
        if match := SCOPE.search(name):
            graph = graphs.setdefault(f"{match[1]}/node_{match[2]}/{match[3]}", Counter())
            kind = "product" if kind in PRODUCTS else kind
            if kind in COMPUTING:
                graph[kind] += 1
    return graphs


def labels_of_variables(names):
    return {f"{match[1]}/node_{match[2]}/{match[3]}" for name in names if (match := SCOPE.search(name))}


def normalized_nodes(graph):
    """How many nodes the output normalisation of each cell has before it: from the elements of its largest tensor."""
    largest = Counter()
    for operation in graph.get_operations():
        if match := OUTPUT_NORM_SCOPE.search(operation.name):
            elements = [output.shape.num_elements() for output in operation.outputs]
            largest[match[1]] = max(largest[match[1]], *elements)
    return {cell: elements / (np.prod(FUSION.fusion.grid) * FUSION.channels) for cell, elements in largest.items()}


def concrete_function(model):
    specs = {tensor.name: tf.TensorSpec((1, *tensor.shape[1:]), tensor.dtype) for tensor in model.inputs}
    return tf.function(lambda inputs: model(inputs, training=False)).get_concrete_function(specs)


# The later cells of a branch prune as the first one does.
@pytest.mark.parametrize(("seed", "num_cells"), [(0, 1), (1, 2), (2, 1), (3, 1), (4, 1), (5, 1)])
def test_the_graph_holds_the_choices_and_nothing_else(seed, num_cells):
    genotype = random_genotype(seed)
    model = searched_model(genotype, SHAPES, 3, **FUSION.changed(num_cells=num_cells).model)
    graph = concrete_function(model).graph
    found = graphs_by_label((operation.name, operation.type) for operation in graph.get_operations())
    expected = expected_graphs(genotype, num_cells)
    # A skip is the tensor itself and leaves no trace.
    assert {label: dict(counted) for label, counted in found.items() if label in expected or counted} == {
        label: graph for label, graph in expected.items() if label in found or graph
    }
    with_weights = {label for label, choice in expected_choices(genotype, num_cells).items() if choice != "skip"}
    assert labels_of_variables(weight.path for weight in model.weights) == with_weights
    assert labels_of_variables(variable.name for variable in graph.variables) <= with_weights
    assert normalized_nodes(graph) == {
        f"{name}_cell_{number}": len(cell.kept)
        for name, cell in genotype.cells.items()
        for number in range(1, num_cells + 1)
    }


def test_the_seeds_prune_nodes_and_meet_every_kind_of_operation():
    genotypes = [random_genotype(seed) for seed in range(6)]
    assert any(len(cell.nodes) < cell.num_nodes for genotype in genotypes for cell in genotype.cells.values())
    chosen = {choice for genotype in genotypes for choice in expected_choices(genotype).values()}
    assert chosen == set(GRAPHS)


def test_an_exported_model_holds_nothing_else_either(tmp_path):
    genotype = next(
        genotype
        for genotype in map(random_genotype, range(6))
        if all(len(cell.nodes) < cell.num_nodes for cell in genotype.cells.values())
    )
    model = searched_model(genotype, SHAPES, 3, **FUSION.model)
    model.export(str(tmp_path / "model"), format="tf_saved_model", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    (function,) = (
        function
        for function in loaded.signatures["serving_default"].graph.as_graph_def().library.function
        if any(SCOPE.search(node.name) for node in function.node_def)
    )
    found = graphs_by_label((node.name, node.op) for node in function.node_def)
    expected = expected_graphs(genotype)
    assert set(found) <= set(expected)
    assert {label: dict(counted) for label, counted in found.items()} == {label: expected[label] for label in found}
