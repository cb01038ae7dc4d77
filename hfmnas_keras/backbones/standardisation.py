"""The input convention of PyTorch's published weights: mean and deviation of a data set, colour by colour."""

from __future__ import annotations

import keras

# Mean and deviation of red, green and blue in 0 to 255: ImageNet as torchvision has it, and the mean of ActivityNet
# that the published Kinetics weights subtract.
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
ACTIVITYNET = ((114.7748, 107.7354, 99.475), (1.0, 1.0, 1.0))


def standardisation(statistics: tuple[tuple[float, ...], tuple[float, ...]], channels: int = 3) -> keras.Layer:
    """A layer named `preprocessing` that subtracts a mean and divides by a deviation.

    Args:
        statistics: mean and deviation of red, green and blue, `IMAGENET` or `ACTIVITYNET`.
        channels: int. 3, or 1 for a grey input, which takes the mean of the three colours' figures.
    """
    mean, deviation = statistics
    if channels == 1:
        # What a grey picture would have in each of three channels, in the mean.
        mean, deviation = (sum(mean) / 3,), (sum(deviation) / 3,)
    return keras.layers.Normalization(
        axis=-1, mean=list(mean), variance=[side**2 for side in deviation], name="preprocessing"
    )
