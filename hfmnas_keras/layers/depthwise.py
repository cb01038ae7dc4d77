"""What every depthwise convolution over a small grid shares: the size of its kernel and its first values."""

from __future__ import annotations

import math

import keras


def kernel_extents(height: int | None, width: int | None, size: int = 3, dilation: int = 1) -> tuple[int, int]:
    """Height and width of a same-padded kernel that has no tap outside the grid at every position.

    On an 8x1 grid a 3x3 kernel is a 3x1 (method section 4): the other taps would read padding alone, and their
    weights would never learn.

    Args:
        height, width: ints. Size of the grid; `None` where it is not known.
        size: int. Extent of the full kernel, odd. Defaults to `3`.
        dilation: int. Distance between taps. Defaults to `1`.

    Returns:
        Pair of ints, each `size` or `1`.
    """
    return tuple(1 if axis is not None and axis <= dilation else size for axis in (height, width))  # type: ignore


def depthwise_initializer(extents: tuple[int, int]) -> keras.initializers.Initializer:
    """He's initialisation for the taps one output really has: Keras counts the channels in, which makes it tiny."""
    return keras.initializers.RandomNormal(stddev=math.sqrt(2.0 / (extents[0] * extents[1])))
