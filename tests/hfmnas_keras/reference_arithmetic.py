"""The arithmetic of the operations in float64 numpy, written from the equations, loop by loop."""

from __future__ import annotations

import numpy as np


def sigmoid(values):
    return 1.0 / (1.0 + np.exp(-values))


def silu(values):
    return values * sigmoid(values)


def softmax(logits, axis=-1):
    exponentials = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return exponentials / exponentials.sum(axis=axis, keepdims=True)


def normalize_batch(values, epsilon=1e-3):
    """Batch normalisation with the statistics of the batch, no scale and offset."""
    axes = tuple(range(values.ndim - 1))
    return (values - values.mean(axis=axes)) / np.sqrt(values.var(axis=axes) + epsilon)


def normalize_layer(values, epsilon=1e-3):
    return (values - values.mean(axis=-1, keepdims=True)) / np.sqrt(values.var(axis=-1, keepdims=True) + epsilon)


def neighbourhoods(height, width, dilation=1):
    """For each position, its neighbours inside the grid: (row, column, kernel row, kernel column)."""
    for row in range(height):
        for column in range(width):
            neighbours = []
            for kernel_row in range(3):
                for kernel_column in range(3):
                    source_row = row + (kernel_row - 1) * dilation
                    source_column = column + (kernel_column - 1) * dilation
                    if 0 <= source_row < height and 0 <= source_column < width:
                        neighbours.append((source_row, source_column, kernel_row, kernel_column))
            yield row, column, neighbours


def depthwise_convolution(grid, kernel, dilation=1):
    """Same-padded depthwise 3x3; an axis of the kernel that has one tap has the middle one."""
    full_kernel = np.zeros((3, 3, grid.shape[-1]))
    rows = slice(None) if kernel.shape[0] == 3 else slice(1, 2)
    columns = slice(None) if kernel.shape[1] == 3 else slice(1, 2)
    full_kernel[rows, columns] = kernel[..., 0]
    outputs = np.zeros_like(grid)
    for row, column, neighbours in neighbourhoods(*grid.shape[1:3], dilation):
        for source_row, source_column, kernel_row, kernel_column in neighbours:
            outputs[:, row, column] += grid[:, source_row, source_column] * full_kernel[kernel_row, kernel_column]
    return outputs


def random_grid(seed, shape):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def randomize_weights(layer, seed=0):
    """Gives every trainable weight values of its own, biases too, so that none of them hides at zero or one."""
    generator = np.random.default_rng(seed)
    for weight in layer.trainable_weights:
        weight.assign(0.5 * generator.normal(size=weight.shape))


def weight_values(layer):
    """Weights in float64 by the end of their path, such as `dense/kernel`."""
    prefix = f"{layer.path}/"
    return {weight.path.removeprefix(prefix): weight.numpy().astype("float64") for weight in layer.weights}
