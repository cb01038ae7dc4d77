"""The gradients that a search follows: those of the batched cell, through its mixtures, P(j, k) and importance."""

import keras
import numpy as np
import tensorflow as tf

from hfmnas_keras.cell.supernet_cell import SupernetCell
from tests.hfmnas_keras.cell.reference_cell import supernet_cell_reference, supernet_logits, supernet_weights
from tests.hfmnas_keras.reference_arithmetic import randomize_weights

SHAPE = (2, 5, 3, 4)
STEP = 2e-6
LOGITS = ("gamma", "beta", "importance")


def weights_where(cell, variables, values):
    """`supernet_weights`, had the variables these values."""
    kept = [variable.numpy() for variable in variables]
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    weights = supernet_weights(cell)
    for variable, value in zip(variables, kept, strict=True):
        variable.assign(value)
    return weights


def test_equal_finite_differences():
    """Along one random direction a variable and input: central differences of the loop in numpy, in float64."""
    keras.utils.set_random_seed(0)
    # Of two nodes the second has three predecessors, whose pairs have probabilities.
    options = {"num_nodes": 2, "attention_values": "key", "num_heads": 2, "dropout": 0.0, "dtype": "float64"}
    cell = SupernetCell(SHAPE[-1], **options)
    cell.build([SHAPE, SHAPE])
    randomize_weights(cell)
    generator = np.random.default_rng(3)
    inputs = list(generator.normal(size=(2, *SHAPE)))
    logit_variables = [getattr(cell, name) for name in LOGITS]
    variables = [variable for variable in cell.trainable_variables if variable.name not in LOGITS]
    names = ["input 0", "input 1", *LOGITS, *[variable.path for variable in variables]]
    assert len(logit_variables) + len(variables) == len(cell.trainable_variables)

    tensors = [tf.constant(grid) for grid in inputs]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        output = cell(tensors, training=True)
        # Any output is weighed, or the sum over a normalised axis would hide its gradient.
        cotangent = generator.normal(size=output.shape)
        loss = tf.reduce_sum(output * cotangent)
    gradients = tape.gradient(loss, [*tensors, *[variable.value for variable in (*logit_variables, *variables)]])

    logits, weights = supernet_logits(cell), supernet_weights(cell)
    directions = [generator.normal(size=gradient.shape) for gradient in gradients]
    # Each entry of an operation's weights is one of a variable's, in another place: what moves along with a variable is
    # told by numbers of the variables in their stead.
    owners = weights_where(cell, variables, [np.full(each.shape, place) for place, each in enumerate(variables, 1000)])
    weight_directions = weights_where(cell, variables, directions[5:])

    def loss_at(place, step):
        moved = [*inputs, *logits]
        moved_weights = weights
        if place < 5:
            moved[place] = moved[place] + step * directions[place]
        else:
            moved_weights = {
                key: {
                    path: value + step * weight_directions[key][path] * (owners[key][path] == 1000 + place - 5)
                    for path, value in each.items()
                }
                for key, each in weights.items()
            }
        return np.sum(supernet_cell_reference(cell, moved[:2], True, moved[2:], moved_weights) * cotangent)

    for place, (name, gradient, direction) in enumerate(zip(names, gradients, directions, strict=True)):
        slope = (loss_at(place, STEP) - loss_at(place, -STEP)) / (2 * STEP)
        received = np.sum(np.asarray(gradient) * direction)
        # The logits and all that is made of them alone are in float32.
        assert abs(received - slope) <= 1e-5 * (1 + abs(slope)), f"{name}: {received}, by finite differences {slope}."
