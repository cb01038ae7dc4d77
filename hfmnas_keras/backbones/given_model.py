"""The Keras model that somebody gives as a backbone: from a file or a function, and what can be tapped of it."""

from __future__ import annotations

import difflib
import importlib
import os
import re
from collections.abc import Iterator
from typing import Any

import keras

from hfmnas_keras.backbones.model_file import read_model_file

# Of taps that an error names.
_NAMED = 30
_LARGEST_RANK = 4
# How blocks of transformers are called; of other sequences, every layer counts.
_BLOCK = re.compile(r"(transformer_layer|encoder_block|layer|block)_\d+")


def given_model(model: str, input_shape: tuple[int, ...]) -> keras.Model:
    """The model that a configuration names.

    Args:
        model: str. A `.keras` file, in which nothing is run, or `package.module:function`, which is called as
            `function(input_shape=input_shape)`.
        input_shape: tuple of ints. A row without the batch.

    Raises:
        ValueError: when there is no such file or function, or it gives no functional model, or one with a `Lambda`,
            which no file can hold safely.
    """
    is_file = model.endswith(".keras")
    given = read_model_file(model) if is_file else function_of(model)(input_shape=tuple(input_shape))
    if isinstance(given, keras.Sequential) and given.built:
        given = keras.Model(given.inputs, given.outputs[0])
    if not isinstance(given, keras.Model) or not getattr(given, "operations", None):
        raise ValueError(
            f"{model!r} must give a functional `keras.Model`, whose layers can be tapped. Received: "
            f"{type(given).__module__}.{type(given).__name__}. Call a model of another kind inside of one: "
            "`keras.Model(inputs, {'low': ..., 'high': ...})`."
        )
    if found := [layer.name for layer in _all_layers(given) if isinstance(layer, keras.layers.Lambda)]:
        raise ValueError(
            f"{model!r} has layers `Lambda`, which hold code and do not come back from a file: {', '.join(found)}. "
            "Call `keras.ops` on the tensors, or write a layer and register it with Keras."
        )
    return given


def function_of(model: str) -> Any:
    """The function that `package.module:function` names.

    Raises:
        ValueError: when there is none.
    """
    module, _, name = model.partition(":")
    try:
        function = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise ValueError(
            f"{model!r}: the module {module!r} cannot be imported: {error}. Install its package, or start where it is "
            "on Python's path."
        ) from error
    if not callable(function):
        raise ValueError(f"{model!r}: there is no function {name!r} in the module {module!r}.")
    return function


def require_given_model(model: str) -> None:
    """Raises a `ValueError` when there is no such file or function; reads no weights."""
    if not model.endswith(".keras"):
        function_of(model)
    elif not os.path.isfile(model):
        raise ValueError(f"There is no file {model!r}, which the settings of a backbone name as its `model`.")


def source_file(model: str) -> str:
    """The `.keras` file, or the file of the function's module."""
    return model if model.endswith(".keras") else str(importlib.import_module(model.partition(":")[0]).__file__)


def taps_of(model: keras.Model) -> dict[str, Any]:
    """What can be tapped of a functional model: outputs of a dict by their keys, then layers by their names.

    Returns:
        dict from names to symbolic tensors: vectors, sequences or maps, from the input on. Layers that are called more
        than once, or give something else, are left out.
    """
    # The configuration is where Keras tells publicly how often a layer is called.
    once = {entry["name"] for entry in model.get_config()["layers"] if len(entry["inbound_nodes"]) == 1}
    taps = {layer.name: layer.output for layer in model.layers if layer.name in once and _is_tap(layer.output)}
    outputs = model.output if isinstance(model.output, dict) else {}
    return {**taps, **{name: output for name, output in outputs.items() if _is_tap(output)}}


def default_taps(model: keras.Model) -> tuple[str, str]:
    """The taps, low and high, of a model for which none are named.

    Of a model with maps, high is the last map, and low the last larger one where branches meet: the end of the stage
    before. Of sequences, or vectors, high is the last one and low the one a third of the way there. Where outputs are a
    dict of more than one, they alone count; of a transformer's sequences, its blocks.
    """
    taps = taps_of(model)
    if isinstance(model.output, dict) and len(outputs := [name for name in model.output if name in taps]) > 1:
        taps = {name: taps[name] for name in outputs}
    for rank in (4, 3, 2):
        names = [name for name, tensor in taps.items() if len(tensor.shape) == rank]
        if rank == 3:
            names = [name for name in names if _BLOCK.fullmatch(name)] or names
        if not names:
            continue
        high, low = names[-1], names[(len(names) - 1) // 3]
        if rank == 4:
            side = taps[high].shape[1]
            larger = [name for name in names if side is not None and (taps[name].shape[1] or 0) > side]
            low = next(reversed([name for name in larger if _is_end(model, name)] or larger), low)
        return low, high
    raise ValueError(f"`{model.name}` has no layer that can be tapped: none gives a vector, a sequence or a map.")


def tap_of(model: keras.Model, setting: str, tap: str) -> Any:
    """The symbolic tensor of a tap.

    Raises:
        ValueError: when there is none of that name; it lists those that there are.
    """
    taps = taps_of(model)
    if tap not in taps:
        names = list(taps)
        if len(names) > _NAMED:
            # The likeliest, and the end, where taps mostly are.
            close = difflib.get_close_matches(tap, names, n=_NAMED // 2, cutoff=0.0)
            kept = {*close, *names[-_NAMED // 2 :]}
            names = [*(name for name in names if name in kept), f"and {len(taps) - len(kept)} more"]
        raise ValueError(
            f"`{setting}` must be an output or a layer of `{model.name}`: {', '.join(names)}. Received: {tap!r}. "
            "`hfmnas encoder taps MODEL` lists them all."
        )
    return taps[tap]


def _is_end(model: keras.Model, name: str) -> Any:
    """Whether branches meet in a layer, or right before it in those that keras.applications call `..._out`."""
    layers = {layer.name: layer for layer in model.layers}
    ends = (keras.layers.Add, keras.layers.Concatenate)
    return isinstance(layers.get(name), ends) or name.endswith("_out")


def _is_tap(output: Any) -> Any:
    return (
        isinstance(output, keras.KerasTensor)
        and 2 <= len(output.shape) <= _LARGEST_RANK
        and "float" in str(output.dtype)
        and output.shape[-1] is not None
    )


def _all_layers(model: Any) -> Iterator[keras.layers.Layer]:
    for layer in getattr(model, "layers", ()):
        yield layer
        yield from _all_layers(layer)
        if isinstance(layer, keras.layers.Wrapper):
            yield layer.layer
            yield from _all_layers(layer.layer)
