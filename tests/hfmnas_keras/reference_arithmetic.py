"""The arithmetic of the operations in float64 numpy, written from the equations, loop by loop."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


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


def normalize_layer(values, epsilon=1e-5):
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


def randomize_statistics(layer, seed=1):
    """Gives every moving average of a batch normalisation a value of its own; they start at 0 and 1."""
    generator = np.random.default_rng(seed)
    for weight in layer.non_trainable_weights:
        if weight.name == "moving_mean":
            weight.assign(generator.normal(size=weight.shape))
        elif weight.name == "moving_variance":
            weight.assign(generator.uniform(0.5, 2.0, size=weight.shape))


def weight_values(layer, trainable_only=False):
    """Weights in float64 by the end of their path, such as `dense/kernel`."""
    prefix = f"{layer.path}/"
    weights = layer.trainable_weights if trainable_only else layer.weights
    return {weight.path.removeprefix(prefix): weight.numpy().astype("float64") for weight in weights}


def check_gradients(layer, inputs, reference, step=2e-6, tolerance=1e-6):
    """Compares a layer's gradients while training with finite differences of a reference, tensor by tensor.

    Args:
        layer: built layer of the float64 policy, without dropout, called with one array or with a list of them.
        inputs: list of float64 arrays.
        reference: function `(inputs, weights) -> output` in numpy, `weights` as of `weight_values` before the call.
            For a layer that adds a loss it returns the pair `(output, loss)`.
        step: float. Half the distance of the two points of a difference.
        tolerance: float. Allowed distance, as a share of one plus the slope.
    """
    generator = np.random.default_rng(0)
    weights = weight_values(layer)
    tensors = [tf.constant(array) for array in inputs]
    variables = [weight.value for weight in layer.trainable_weights]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        output = layer(tensors if len(tensors) > 1 else tensors[0], training=True)
        # Any output is weighed, or the sum over a normalised axis would hide its gradient.
        cotangent = generator.normal(size=output.shape)
        loss = tf.reduce_sum(output * cotangent) + sum(layer.losses)
    gradients = tape.gradient(loss, tensors + variables, unconnected_gradients="zero")

    paths = list(weight_values(layer, trainable_only=True))
    points = [*inputs, *[weights[path] for path in paths]]

    def loss_at(place, value):
        moved = [*points[:place], value, *points[place + 1 :]]
        moved_weights = {**weights, **dict(zip(paths, moved[len(inputs) :], strict=True))}
        expected = reference(moved[: len(inputs)], moved_weights)
        output, added = expected if isinstance(expected, tuple) else (expected, 0.0)
        return np.sum(output * cotangent) + added

    for place, (gradient, name) in enumerate(
        zip(gradients, [*[f"input {i}" for i in range(len(inputs))], *paths], strict=True)
    ):
        direction = generator.normal(size=points[place].shape)
        ahead, behind = (loss_at(place, points[place] + sign * step * direction) for sign in (1, -1))
        slope = (ahead - behind) / (2 * step)
        received = np.sum(np.asarray(gradient) * direction)
        assert abs(received - slope) <= tolerance * (1 + abs(slope)), (
            f"The slope along {name} is {received}, by finite differences {slope}."
        )
