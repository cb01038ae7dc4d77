"""The checks that every layer goes through in the same way."""

from __future__ import annotations

import json
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

LEARNING_RATE = 0.05


def run_layer_test(
    make_layer: Callable[[], keras.Layer],
    inputs: Any,
    expected_output_shape: Any,
    expected_num_weights: int | None = None,
    *,
    call_arguments: dict[str, Any] | None = None,
    batch_independent: bool = True,
    expect_gradients: bool = True,
    mixed_output_dtype: str = "float16",
    mixed_tolerance: float = 0.05,
) -> keras.Layer:
    """Runs a layer through config, build, calls, a training step, mixed precision and a `.keras` file.

    Args:
        make_layer: function without arguments that returns a new, unbuilt layer of the float32 policy.
        inputs: array, or list, tuple or dict of arrays: the layer's first argument. Float arrays are float32.
        expected_output_shape: tuple of ints with the batch in it, or a list or dict of such tuples, as the layer
            returns. `()` is a scalar.
        expected_num_weights: int. Number of weight tensors, trainable or not, without random seeds.
        call_arguments: dict of further keyword arguments of the call, given as constants.
        batch_independent: bool. Whether the first row alone gives the first row of the output at inference; `False`
            for layers with an input or an output without batch axis. Defaults to `True`.
        expect_gradients: bool. Whether every trainable weight must receive a gradient. Defaults to `True`.
        mixed_output_dtype: str. Type of the output under the policy `mixed_float16`. Defaults to `"float16"`.
        mixed_tolerance: float. Largest distance between the outputs in mixed and in full precision, as a share of
            one plus the largest output. Defaults to `0.05`.

    Returns:
        The layer after one training step, for further checks.
    """
    keras.utils.set_random_seed(0)
    call_arguments = call_arguments or {}
    input_shape = keras.tree.map_structure(lambda array: (None, *array.shape[1:]), inputs)
    tensors = keras.tree.map_structure(ops.convert_to_tensor, inputs)

    layer = make_layer()
    _check_config(layer)
    _check_build(layer, input_shape, tensors, call_arguments, expected_num_weights)

    outputs = layer(tensors, training=False, **call_arguments)
    _check_shape(outputs, expected_output_shape, "the eager call")
    _check_finite(outputs, "the eager call")
    if batch_independent:
        first_row = keras.tree.map_structure(lambda tensor: tensor[:1], tensors)
        alone = layer(first_row, training=False, **call_arguments)
        first = keras.tree.map_structure(lambda tensor: tensor[:1], outputs)
        _check_close(alone, first, 1e-4, "batch 1 and the first row of the batch")

    @tf.function
    def graph_call(tensors):
        return layer(tensors, training=False, **call_arguments)

    _check_close(graph_call(tensors), outputs, 1e-4, "the call in a tf.function and the eager call")

    model = _symbolic_model(layer, inputs, expected_output_shape, call_arguments)
    _check_close(model(tensors, training=False), outputs, 1e-4, "the functional model and the eager call")
    _check_gradients(layer, tensors, call_arguments, expect_gradients)
    _check_mixed_precision(layer, tensors, call_arguments, outputs, mixed_output_dtype, mixed_tolerance)
    _check_training_step(model, inputs)
    _check_saving(model, tensors, len(layer.weights))
    return layer


def _check_config(layer: keras.Layer) -> None:
    config = layer.get_config()
    json.dumps(config)
    assert type(layer).from_config(config).get_config() == config, "The config does not survive a round trip."
    serialized = keras.saving.serialize_keras_object(layer)
    restored = keras.saving.deserialize_keras_object(json.loads(json.dumps(serialized)))
    assert type(restored) is type(layer)
    restored_config = json.loads(json.dumps(restored.get_config()))
    assert restored_config == json.loads(json.dumps(config)), "The serialised config differs."


def _check_build(layer, input_shape, tensors, call_arguments, expected_num_weights) -> None:
    layer.build(input_shape)
    unbuilt = [child.path for child in layer._flatten_layers() if not child.built]
    assert not unbuilt, f"`build` leaves unbuilt: {unbuilt}. Their weights would be lost in a `.keras` file."
    num_weights = len(layer.weights)
    if expected_num_weights is not None:
        assert num_weights == expected_num_weights, [weight.path for weight in layer.weights]
    layer(tensors, training=True, **call_arguments)
    assert len(layer.weights) == num_weights, "The call made new weights."
    paths = [weight.path for weight in layer.weights]
    assert len(set(paths)) == len(paths), f"Weights share a path: {paths}."

    # A copy from the config, built by its first call, has the same weights: no argument is missing in the config.
    copied_layer = type(layer).from_config(layer.get_config())
    copied_layer(tensors, **call_arguments)
    shapes, copied_shapes = ([weight.shape for weight in each.weights] for each in (layer, copied_layer))
    assert copied_shapes == shapes, f"Weights of the copy from the config differ: {copied_shapes} and {shapes}."


def _symbolic_model(layer, inputs, expected_output_shape, call_arguments) -> keras.Model:
    def symbolic(array, name=None):
        return keras.Input(shape=array.shape[1:], dtype=str(array.dtype), name=name)

    if isinstance(inputs, dict):
        # Keras warns of keys that are not the names.
        symbolic_inputs = {name: symbolic(array, name) for name, array in inputs.items()}
    else:
        symbolic_inputs = keras.tree.map_structure(symbolic, inputs)
    symbolic_outputs = layer(symbolic_inputs, **call_arguments)
    input_shape = keras.tree.map_structure(lambda tensor: tuple(tensor.shape), symbolic_inputs)
    expected_leaves = _shape_leaves(expected_output_shape)
    for shape, expected in zip(
        [tuple(tensor.shape) for tensor in keras.tree.flatten(symbolic_outputs)], expected_leaves, strict=True
    ):
        _check_symbolic_shape(shape, expected, "the symbolic call")
    for shape, expected in zip(_shape_leaves(layer.compute_output_shape(input_shape)), expected_leaves, strict=True):
        _check_symbolic_shape(shape, expected, "`compute_output_shape`")
    return _ProbeModel(inputs=symbolic_inputs, outputs=symbolic_outputs, name="probe")


def _check_gradients(layer, tensors, call_arguments, expect_gradients) -> None:
    with tf.GradientTape() as tape:
        loss = _probe_loss(layer(tensors, training=True, **call_arguments))
    gradients = tape.gradient(loss, [weight.value for weight in layer.trainable_weights])
    for weight, gradient in zip(layer.trainable_weights, gradients, strict=True):
        if expect_gradients:
            assert gradient is not None, f"No gradient reaches {weight.path}."
        if gradient is not None:
            _check_finite(gradient, f"the gradient of {weight.path}")


def _check_mixed_precision(layer, tensors, call_arguments, outputs, output_dtype, tolerance) -> None:
    mixed_layer = type(layer).from_config({**layer.get_config(), "dtype": "mixed_float16"})
    mixed_layer.build(keras.tree.map_structure(lambda tensor: tuple(tensor.shape), tensors))
    mixed_layer.set_weights(layer.get_weights())
    mixed_outputs = mixed_layer(tensors, training=False, **call_arguments)
    for tensor in keras.tree.flatten(mixed_outputs):
        assert keras.backend.standardize_dtype(tensor.dtype) == output_dtype
    _check_finite(mixed_outputs, "mixed precision")
    # Several calls in training mode may have moved the running statistics since `outputs` were made: made again.
    outputs = layer(tensors, training=False, **call_arguments)
    _check_close(mixed_outputs, outputs, tolerance, "mixed and full precision")
    with tf.GradientTape() as tape:
        mixed_outputs = mixed_layer(tensors, training=True, **call_arguments)
        loss = _probe_loss(mixed_outputs)
    _check_finite(mixed_outputs, "mixed precision while training")
    for weight in mixed_layer.trainable_weights:
        assert keras.backend.standardize_dtype(weight.dtype) == "float32", weight.path
    for gradient in tape.gradient(loss, [weight.value for weight in mixed_layer.trainable_weights]):
        if gradient is not None:
            _check_finite(gradient, "a gradient in mixed precision")


def _check_training_step(model, inputs) -> None:
    if not model.trainable_weights:
        return
    model.compile(optimizer=keras.optimizers.SGD(LEARNING_RATE), jit_compile=False)
    history = model.fit(x=inputs, batch_size=len(keras.tree.flatten(inputs)[0]), epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"]).all(), history.history
    for weight in model.weights:
        _check_finite(weight.value, f"{weight.path} after a training step")


def _check_saving(model, tensors, num_weights) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "layer.keras"
        model.save(path)
        loaded = keras.saving.load_model(path, custom_objects={"_ProbeModel": _ProbeModel})
    assert len(loaded.weights) == num_weights
    _check_close(
        loaded(tensors, training=False), model(tensors, training=False), 1e-5, "the loaded and the saved model"
    )


def _probe_loss(outputs) -> Any:
    """A loss that is not constant after a normalisation: the outputs against fixed targets."""
    loss = 0.0
    for tensor in keras.tree.flatten(outputs):
        tensor = ops.cast(tensor, "float32")
        targets = ops.cos(ops.arange(int(np.prod(tensor.shape[1:])), dtype="float32"))
        loss += ops.mean(ops.square(ops.reshape(tensor, (-1, targets.shape[0])) - targets))
    return loss


def _shape_leaves(shapes) -> list[tuple[int | None, ...]]:
    """Shapes in the order in which `keras.tree.flatten` gives their tensors."""
    if isinstance(shapes, dict):
        return [leaf for key in sorted(shapes) for leaf in _shape_leaves(shapes[key])]
    if isinstance(shapes, list) or any(isinstance(item, (tuple, list)) for item in shapes):
        return [leaf for item in shapes for leaf in _shape_leaves(item)]
    return [tuple(shapes)]


def _check_shape(outputs, expected_output_shape, where) -> None:
    shapes = [tuple(tensor.shape) for tensor in keras.tree.flatten(outputs)]
    assert shapes == _shape_leaves(expected_output_shape), f"Shapes of {where}: {shapes}."


def _check_symbolic_shape(shape, expected, where) -> None:
    agrees = len(shape) == len(expected) and all(
        size is None or size == known for size, known in zip(shape, expected, strict=True)
    )
    assert agrees, f"Shape of {where}: {shape}, expected {expected}."
    assert shape[1:].count(None) == 0 or expected[:1] != (1,), f"Shape of {where} leaves axes open: {shape}."


def _check_finite(outputs, where) -> None:
    for tensor in keras.tree.flatten(outputs):
        assert np.isfinite(ops.convert_to_numpy(tensor)).all(), f"NaN or infinity in {where}."


def _check_close(left, right, tolerance, what) -> None:
    for one, other in zip(keras.tree.flatten(left), keras.tree.flatten(right), strict=True):
        one, other = ops.convert_to_numpy(one).astype("float64"), ops.convert_to_numpy(other).astype("float64")
        assert one.shape == other.shape, f"Shapes of {what} differ: {one.shape} and {other.shape}."
        if one.size:
            distance, scale = np.abs(one - other).max(), 1.0 + np.abs(other).max()
            assert distance <= tolerance * scale, f"{what} differ by {distance}."


@keras.saving.register_keras_serializable(package="hfmnas_keras_tests")
class _ProbeModel(keras.Model):
    """A functional model that trains against `_probe_loss`, whatever its outputs are."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return sum(self.losses, _probe_loss(y_pred))
