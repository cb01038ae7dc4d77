"""Operations of edges and nodes, and the inconsistency mitigation, in float64 numpy (HF-MNAS, Eq. 10-23, 26-28).

Written from docs/method.md, sections 4 and 5, not from the layers.

Weights come as a dict by the end of their path, such as `dense/kernel`, with the shapes that the layers' docstrings
state. A normalisation has scale and offset where the dict holds them.
"""

from __future__ import annotations

import math

import numpy as np

from tests.hfmnas_keras.reference_arithmetic import (
    depthwise_convolution,
    neighbourhoods,
    normalize_batch,
    normalize_layer,
    sigmoid,
    silu,
    softmax,
)

STATE_SIZE = 16


def edge_reference(name, inputs, weights, training=True):
    """The edge operation `name` of Eq. 10 on a grid, without dropout."""
    if name == "none":
        return np.zeros_like(inputs)
    if name == "skip":
        return inputs
    if name == "max_pool_3x3":
        return _batch_normalized(_pool(inputs, np.max), weights, "normalization", training)
    if name == "avg_pool_3x3":
        return _batch_normalized(_pool(inputs, np.mean), weights, "normalization", training)
    if name == "sep_conv_3x3":
        for stage in (1, 2):
            filtered = depthwise_convolution(np.maximum(inputs, 0), weights[f"depthwise_kernel_{stage}"])
            projected = filtered @ weights[f"pointwise_kernel_{stage}"]
            inputs = _batch_normalized(projected, weights, f"normalization_{stage}", training)
        return inputs
    if name == "dil_conv_3x3":
        filtered = depthwise_convolution(np.maximum(inputs, 0), weights["depthwise_kernel"], dilation=2)
        return _batch_normalized(filtered @ weights["pointwise_kernel"], weights, "normalization", training)
    activation = {
        "linear_relu": lambda values: np.maximum(values, 0),
        "linear_sigmoid": sigmoid,
        "linear_tanh": np.tanh,
        "linear_elu": lambda values: np.where(values > 0, values, np.expm1(np.minimum(values, 0))),
    }[name]
    activated = activation(inputs @ weights["dense/kernel"] + weights["dense/bias"])
    return _batch_normalized(activated, weights, "normalization", training)


def fusion_reference(name, first, second, weights, training=True, num_heads=4, values="query"):
    """The node operation `name` of Eq. 11-23 on two grids, before the dropout and normalisation that follow it."""
    channels = first.shape[-1]
    rows_1, rows_2 = (grid.reshape(len(grid), -1, channels) for grid in (first, second))
    if name == "sum":
        return first + second
    if name == "multiply":
        return first * second
    if name == "scaled_dot_attention":
        scores = softmax(rows_1 @ rows_2.transpose(0, 2, 1) / np.sqrt(channels))
        return (scores @ rows_2).reshape(first.shape)
    if name == "bidirectional_attention":
        affinity = rows_1 @ weights["affinity_kernel"] @ rows_2.transpose(0, 2, 1) / np.sqrt(channels)
        attended = [softmax(affinity) @ rows_2, softmax(affinity.transpose(0, 2, 1)) @ rows_1]
        fused = np.concatenate(attended, axis=-1) @ weights["dense/kernel"] + weights["dense/bias"]
        return fused.reshape(first.shape)
    if name == "multi_head_attention":
        inner = {path.removeprefix("attention/"): value for path, value in weights.items()}
        return multi_head_reference(first, second, inner, num_heads, values)
    if name == "squeeze_excitation":
        excitation = sigmoid(first.mean(axis=(1, 2)) @ weights["dense/kernel"] + weights["dense/bias"])
        return excitation[:, None, None] * second
    if name == "linear_glu":
        return (first @ weights["value/kernel"]) * sigmoid(second @ weights["gate/kernel"])
    if name == "concat_fc":
        projected = np.concatenate([first, second], axis=-1) @ weights["dense/kernel"]
        return np.maximum(_batch_normalized(projected, weights, "batch_normalization", training), 0)
    if name == "mamba_fusion":
        filtered, gates = [], []
        for index, grid in enumerate((first, second)):
            projected = grid @ weights[f"projection_{index + 1}/kernel"]
            half = slice(index * channels, (index + 1) * channels)
            kernel, bias = weights["depthwise_kernel"][:, :, half], weights["depthwise_bias"][half]
            filtered.append(depthwise_convolution(projected[..., :channels], kernel) + bias)
            gates.append(projected[..., channels:])
        inner = {path.removeprefix("scan/"): value for path, value in weights.items() if path.startswith("scan/")}
        scanned = es2d_reference(silu(filtered[0] * filtered[1]), inner)
        return (scanned * silu(gates[0]) + scanned * silu(gates[1])) @ weights["output_projection/kernel"]
    raise KeyError(name)


def node_reference(name, first, second, weights, training=True, num_heads=4, values="query"):
    """`fusion_reference`, then the layer normalisation that follows every node operation."""
    fused = fusion_reference(name, first, second, weights, training, num_heads, values)
    return _layer_normalized(fused, weights, "normalization")


def multi_head_reference(first, second, weights, num_heads, values="query"):
    """Eq. 14-15 as printed, or with the values of the keys' input; head by head."""
    channels = weights["output_projection/bias"].shape[0]
    rows = [grid.reshape(len(grid), -1, grid.shape[-1]) for grid in (first, second)]
    query, key, value = zip(
        *[np.split(rows[i] @ weights[f"projection_{i + 1}/kernel"], 3, axis=-1) for i in (0, 1)], strict=True
    )
    heads = []
    for own, other in ((0, 1), (1, 0)):
        for head in np.split(np.arange(channels), num_heads):
            logits = query[own][..., head] @ key[other][..., head].transpose(0, 2, 1) / np.sqrt(len(head))
            heads.append(softmax(logits) @ value[own if values == "query" else other][..., head])
    projected = np.concatenate(heads, axis=-1) @ weights["output_projection/kernel"]
    return (projected + weights["output_projection/bias"]).reshape(*first.shape[:-1], channels)


def es2d_reference(grid, weights):
    """The scan of every sequence of the grid put back in its place, then the layer normalisation."""
    return _layer_normalized(scan_reference(grid, weights), weights, "normalization")


def scan_reference(grid, weights):
    """A plain recurrence for each sequence alone, with no padding: the positions in order, then step by step."""
    batch, height, width, channels = grid.shape
    rank = math.ceil(channels / 16)
    outputs = np.full_like(grid, np.nan)
    sequence = 0
    for row_parity in range(min(2, height)):
        for column_parity in range(min(2, width)):
            rows, columns = range(row_parity, height, 2), range(column_parity, width, 2)
            if row_parity == 0:
                positions = [(row, column) for row in rows for column in columns]
            else:
                positions = [(row, column) for column in columns for row in rows]
            decay_rates = -np.exp(weights["decay_log"][sequence])
            state = np.zeros((batch, channels, STATE_SIZE))
            for row, column in positions:
                value = grid[:, row, column]
                selected = value @ weights["select_kernel"][sequence]
                logits = selected[:, :rank] @ weights["step_kernel"][sequence] + weights["step_bias"][sequence]
                step = np.log1p(np.exp(logits))
                into_state, out_of_state = selected[:, rank : rank + STATE_SIZE], selected[:, rank + STATE_SIZE :]
                state = np.exp(step[..., None] * decay_rates) * state
                state = state + (step * value)[..., None] * into_state[:, None]
                output = (state * out_of_state[:, None]).sum(-1)
                outputs[:, row, column] = output + weights["skip"][sequence] * value
            sequence += 1
    return outputs


def canonical_correlations(covariance, regularisation=1e-2):
    """Regularised canonical correlations of a joint covariance, by inverse square roots and an SVD."""
    dim = len(covariance) // 2

    def inverse_root(own):
        own = own + (regularisation * np.trace(own) / dim + 1e-6) * np.eye(dim)
        values, vectors = np.linalg.eigh(own)
        return vectors @ np.diag(values**-0.5) @ vectors.T

    roots = inverse_root(covariance[:dim, :dim]), inverse_root(covariance[dim:, dim:])
    return np.linalg.svd(roots[0] @ covariance[:dim, dim:] @ roots[1])[1]


def joint_covariance(views):
    """Of all positions of all samples as observations, N - 1 in the denominator."""
    return np.cov(np.concatenate([view.reshape(-1, view.shape[-1]) for view in views], axis=1), rowvar=False)


def mitigation_reference(
    inputs,
    weights,
    num_heads,
    correlation_weight,
    running_rate=0.1,
    values="query",
    norm="nuclear",
    around=None,
    read="hidden",
):
    """Eq. 26-28: output, and the correlation loss times its weight; past covariances are among the weights.

    With `around`, the inputs and weights of another point, as the gradient there has it: the batch's covariances count
    as a whole in what they are more than there.
    """
    hidden, views = hidden_and_views(inputs, weights)
    past, present = weights["correlation_loss/running_covariance"], joint_covariance(views)
    there = present if around is None else joint_covariance(hidden_and_views(*around)[1])
    rate = running_rate if past.any() else 1.0
    covariance = (1 - rate) * past + rate * there + present - there
    power = {"nuclear": 1, "frobenius": 2}[norm]
    loss = correlation_weight * (1 - (canonical_correlations(covariance) ** power).mean())
    attention = {path.removeprefix("fusion_attention/"): value for path, value in weights.items()}
    return multi_head_reference(*{"hidden": hidden, "views": views}[read], attention, num_heads, values), loss


def hidden_and_views(inputs, weights):
    hidden, views = [], []
    for branch, grid in zip(("lfbc", "hfbc"), inputs, strict=True):
        hidden.append(np.maximum(grid @ weights[f"{branch}_hidden/kernel"] + weights[f"{branch}_hidden/bias"], 0))
        views.append(hidden[-1] @ weights[f"{branch}_view/kernel"] + weights[f"{branch}_view/bias"])
    return hidden, views


def _pool(inputs, reduce):
    outputs = np.zeros_like(inputs)
    for row, column, neighbours in neighbourhoods(*inputs.shape[1:3]):
        outputs[:, row, column] = reduce([inputs[:, each[0], each[1]] for each in neighbours], axis=0)
    return outputs


def _batch_normalized(values, weights, name, training):
    if training:
        normalized = normalize_batch(values)
    else:
        deviation = np.sqrt(weights[f"{name}/moving_variance"] + 1e-3)
        normalized = (values - weights[f"{name}/moving_mean"]) / deviation
    return _affine(normalized, weights, name)


def _layer_normalized(values, weights, name):
    return _affine(normalize_layer(values), weights, name)


def _affine(values, weights, name):
    return values * weights.get(f"{name}/gamma", 1.0) + weights.get(f"{name}/beta", 0.0)
