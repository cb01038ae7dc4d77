"""Starts a backbone from the trunk of another one."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from hfmnas_keras.backbones.model_file import read_model_file

_NAMED = 5


def load_trunk_weights(backbone: keras.Model, path: str) -> None:
    """Sets the weights of a backbone's trunk, all but its head, from a `.keras` file, layer by layer of the same name.

    The file is a trunk (`hfmnas backbone convert`) or a whole backbone, such as one that an earlier run has trained,
    whose head is left out. It may have been made for another size of input, number of classes, grid or tap; layers
    above the backbone's highest tap are not read. All layers are checked before the first weight is set.

    Args:
        backbone: an image, video or skeleton backbone.
        path: str. The `.keras` file.

    Raises:
        ValueError: when the file cannot be read, lacks a layer, has one of another shape or with NaN or infinity, or
            prepares its input in another way.
    """
    given = {layer.name: layer for layer in read_model_file(path).layers}
    values, problems = {}, []
    for layer in backbone.layers:
        if layer.name == "head":
            continue
        if layer.name == "preprocessing":
            received, expected = (_preparation(each) for each in (given.get(layer.name), layer))
            if received != expected:
                raise ValueError(
                    f"The trunk {path!r} was trained on inputs prepared by {received}; {backbone.name} prepares them "
                    f"by {expected}. Set the same network as the file's, and for pictures `preprocessing` as the "
                    'trunk was trained: "torch" for torchvision\'s, "caffe" for the original.'
                )
        if not layer.weights:
            continue
        if layer.name not in given:
            problems.append(f"{layer.name} is missing")
            continue
        weights = given[layer.name].get_weights()
        shapes = [tuple(weight.shape) for weight in weights]
        expected_shapes = [tuple(weight.shape) for weight in layer.weights]
        if shapes != expected_shapes:
            problems.append(f"{layer.name} has shapes {shapes}, expected {expected_shapes}")
        elif not all(np.isfinite(weight).all() for weight in weights):
            problems.append(f"{layer.name} holds NaN or infinity")
        else:
            values[layer.name] = weights
    if problems:
        rest = f" and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
        raise ValueError(
            f"The trunk {path!r} does not fit {backbone.name}: {'; '.join(problems[:_NAMED])}{rest}. Set network, "
            "depth, width and blocks as the file has them."
        )
    for name, weights in values.items():
        backbone.get_layer(name).set_weights(weights)


def _preparation(layer: Any) -> Any:
    if layer is None:
        return "nothing"
    figures = {name: value for name, value in layer.get_config().items() if name in ("mean", "variance")}
    return f"{type(layer).__name__} {figures}" if figures else type(layer).__name__
