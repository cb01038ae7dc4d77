"""Copies the weights of chosen operations out of a supernet's batched layers into layers of one operation each."""

from __future__ import annotations

import numpy as np

from hfmnas_keras.edge_operations import EDGE_OPERATIONS, edge_operation
from hfmnas_keras.node_operations import NODE_OPERATIONS
from tests.hfmnas_keras.reference_arithmetic import weight_values

LINEAR = ("linear_relu", "linear_sigmoid", "linear_tanh", "linear_elu")


def copy_edge(mixed_edges, edge, name, layer):
    """Gives `layer`, the operation `name`, the weights that it has on one edge of `mixed_edges`."""
    if name in LINEAR:
        operation = LINEAR.index(name)
        layer.dense.kernel.assign(np.transpose(mixed_edges.linear_kernel[edge, operation]))
        layer.dense.bias.assign(mixed_edges.linear_bias[edge, operation, :, 0])
        _copy_statistics(mixed_edges.learned_norm, (edge, 2 + operation, slice(None), 0), layer.normalization)
    elif name == "sep_conv_3x3":
        first, second = layer.depthwise_kernels
        _copy_depthwise(mixed_edges.sep_depthwise_kernel[:, edge], first)
        _copy_depthwise(mixed_edges.sep_second_depthwise_kernel[edge], second)
        layer.pointwise_kernels[0].assign(np.transpose(mixed_edges.pointwise_kernel[edge]))
        layer.pointwise_kernels[1].assign(np.transpose(mixed_edges.sep_second_pointwise_kernel[edge]))
        _copy_statistics(mixed_edges.sep_norm, (edge, slice(None), 0), layer.normalizations[0])
        _copy_statistics(mixed_edges.learned_norm, (edge, 0, slice(None), 0), layer.normalizations[1])
    elif name == "dil_conv_3x3":
        _copy_depthwise(mixed_edges.dil_depthwise_kernel[:, edge], layer.depthwise_kernel)
        pointwise = mixed_edges.pointwise_kernel[mixed_edges.num_edges + edge]
        layer.pointwise_kernel.assign(np.transpose(pointwise))
        _copy_statistics(mixed_edges.learned_norm, (edge, 1, slice(None), 0), layer.normalization)
    elif name.endswith("pool_3x3"):
        pool = ("max_pool_3x3", "avg_pool_3x3").index(name)
        _copy_statistics(mixed_edges.pool_norm, (pool, 0, 0), layer.normalization)
    elif name not in EDGE_OPERATIONS:
        further = [operation for operation in mixed_edges.operations if operation not in EDGE_OPERATIONS]
        layer.set_weights(mixed_edges.further_operations[edge * len(further) + further.index(name)].get_weights())


def edge_weights(supernet_cell, node, predecessor, name):
    """Weights of the operation `name` on one edge of a supernet's cell, by the paths of the operation alone."""
    grid = (supernet_cell.edges_of_source[0].height, supernet_cell.edges_of_source[0].width)
    channels = supernet_cell.edges_of_source[0].mixed_channels
    layer = edge_operation(name, channels, affine=False, dtype="float64", name="edge")
    layer.build((None, *grid, channels))
    _copy_cell_edge(supernet_cell, node, predecessor, name, layer)
    return weight_values(layer)


def fusion_weights(supernet_cell, node, name):
    """Weights of the operation `name` on one node of a supernet's cell, by the paths of the operation alone."""
    return weight_values(supernet_cell.nodes[node].operations[NODE_OPERATIONS.index(name)])


def copy_cell(supernet_cell, searched_cell):
    """Gives a searched cell the weights that its chosen operations have in a supernet's cell."""
    choices = zip(searched_cell.cell_genotype.nodes, searched_cell.edges_of_node(), searched_cell.nodes, strict=True)
    for choice, edges, node in choices:
        for predecessor, name, layer in zip(choice.predecessors, choice.edges, edges, strict=True):
            _copy_cell_edge(supernet_cell, choice.index, predecessor, name, layer)
        operation = supernet_cell.nodes[choice.index].operations[supernet_cell.node_operations.index(choice.fusion)]
        source = {_inner_path(weight, operation): weight for weight in operation.weights}
        for weight in node.weights:
            path = _inner_path(weight, node)
            # Scale and offset of norms exist in the searched cell alone.
            if path in source:
                weight.assign(source[path])
            else:
                assert path.split("/")[-1] in ("gamma", "beta"), path


def copy_model(supernet, model):
    """Gives a searched model of one cell a branch the weights that its parts have in a supernet."""
    width = supernet.channels
    for name, cell in supernet.cells.items():
        searched_cell = model.get_layer(f"{name}_cell_1")
        copy_cell(cell, searched_cell)
        for position, feature_grid in enumerate(supernet.feature_grids_of(name)):
            model.get_layer(f"{name}_input_{position}").set_weights(feature_grid.get_weights())
    kept = {name: model.get_layer(f"{name}_cell_1").cell_genotype.kept for name in supernet.cells}
    carried = []
    for weight in supernet.inconsistency_mitigation.weights:
        value = np.asarray(weight)
        name, _, rest = weight.path.split("/")[-2].partition("_")
        if rest == "hidden" and weight.name == "kernel":
            # The rows that read the kept nodes.
            value = value.reshape(-1, width, value.shape[-1])[list(kept[name])].reshape(-1, value.shape[-1])
        carried.append(value)
    model.get_layer("inconsistency_mitigation").set_weights(carried)
    model.get_layer("logits").set_weights(supernet.head.get_weights())


def decide(supernet_cell, gamma_choices, beta_choices, certainty=60.0):
    """Sets the logits of a supernet's cell so that each edge and node has one operation left."""
    gamma = np.zeros(supernet_cell.gamma.shape, "float32")
    for edge, name in enumerate(gamma_choices):
        gamma[edge, EDGE_OPERATIONS.index(name)] = certainty
    beta = np.zeros(supernet_cell.beta.shape, "float32")
    for node, name in enumerate(beta_choices):
        beta[node, NODE_OPERATIONS.index(name)] = certainty
    supernet_cell.gamma.assign(gamma)
    supernet_cell.beta.assign(beta)


def _copy_cell_edge(supernet_cell, node, predecessor, name, layer):
    # Predecessor 2 + i is node i, which only later nodes read.
    first_reader = max(0, predecessor - 1)
    copy_edge(supernet_cell.edges_of_source[predecessor], node - first_reader, name, layer)


def _copy_depthwise(kernel, target):
    """(channels, taps) to (kernel height, kernel width, channels, 1)."""
    target.assign(np.transpose(kernel).reshape(target.shape))


def _copy_statistics(norm, place, target):
    target.moving_mean.assign(np.asarray(norm.moving_mean)[place])
    target.moving_variance.assign(np.asarray(norm.moving_variance)[place])


def _inner_path(weight, layer):
    return weight.path.split(f"{layer.name}/", 1)[-1]
