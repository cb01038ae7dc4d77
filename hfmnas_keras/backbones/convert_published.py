"""From a file of published PyTorch weights to a `.keras` file of a backbone or its trunk."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import keras

from hfmnas_keras.backbones.image_backbone import image_backbone
from hfmnas_keras.backbones.published_networks import BackboneSettings
from hfmnas_keras.backbones.published_weights import load_published_weights, published_outputs
from hfmnas_keras.backbones.skeleton_backbone import skeleton_backbone
from hfmnas_keras.backbones.tensor_file import read_tensors
from hfmnas_keras.backbones.video_backbone import video_backbone
from hfmnas_keras.settings.backbones import ImageBackboneSettings, SkeletonBackboneSettings


def convert_published(
    source: str,
    target: str,
    settings: BackboneSettings,
    input_shape: tuple[int, ...],
    inflation: str = "center",
    with_head: bool = False,
    grid: tuple[int, ...] | None = None,
) -> keras.Model:
    """Writes a `.keras` file from the tensors of a published network (docs/method.md, section 3).

    Without the published classifier the file is a trunk, for the setting `trunk_weights`; with it, a backbone for the
    setting `weights`, whose input, classes and grid must be those of the run.

    Args:
        source: str. A `.safetensors` file, or a state dict that `torch.save` wrote (`.pth`).
        target: str. The `.keras` file to write.
        settings: settings of the network, such as those in `PUBLISHED_NETWORKS`.
        input_shape: tuple of ints. A row of the input: of a picture, a clip (one channel: depth) or a skeleton. A trunk
            fits inputs of other sizes too, as long as the weights do.
        inflation: str. `"center"` (default) or `"mean"`, see `load_published_weights`.
        with_head: bool. Whether to convert the classifier too. Defaults to `False`.
        grid: pair of ints. Size of pooled maps; `None` (default) for that of pictures or of clips.

    Returns:
        The `keras.Model` that the file holds.

    Raises:
        ValueError: when the file is none of that network, or the target has another ending.

    Example:
    >>> convert_published("vgg19.safetensors", "vgg19.keras", *PUBLISHED_NETWORKS["vgg19"])
    """
    if not str(target).endswith(".keras"):
        raise ValueError(f"The file to write must end in `.keras`. Received: {str(target)!r}.")
    tensors = read_tensors(source)
    num_outputs = published_outputs(tensors) if with_head else 1
    backbone = _backbone(tuple(input_shape), num_outputs, settings, grid)
    load_published_weights(backbone, tensors, inflation, with_head)
    if with_head:
        model = backbone
    else:
        taps = {name: tensor for name, tensor in backbone.output.items() if name != "logits"}
        model = keras.Model(backbone.input, taps, name=backbone.name.replace("backbone", "trunk"))
    path = pathlib.Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.stem}.partial.keras")
    try:
        model.save(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return model


def _backbone(input_shape: Any, num_outputs: int, settings: Any, grid: Any) -> Any:
    grid = {} if grid is None else {"grid": tuple(grid)}
    if isinstance(settings, ImageBackboneSettings):
        return image_backbone(input_shape, num_outputs, settings, **grid)
    if isinstance(settings, SkeletonBackboneSettings):
        return skeleton_backbone(input_shape, num_outputs, settings, **grid)
    name = "depth" if input_shape[-1] == 1 else "video"
    return video_backbone(input_shape, num_outputs, settings, **grid, input_name=name)
