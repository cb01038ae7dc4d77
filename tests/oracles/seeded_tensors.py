"""Tensors by name and shape that oracles and tests make alike, so that no file has to hold them."""

import math
import zlib

import numpy as np


def seeded_tensor(name, shape):
    """Values as a trained network's may be, the same for a name and a shape wherever they are made."""
    # The stream of `RandomState` is frozen, that of the newer generators is not.
    generator = np.random.RandomState(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return np.array(7, "int64")
    if name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
        return generator.uniform(0.5, 1.5, shape).astype("float32")
    if name.endswith("weight"):
        return (generator.standard_normal(shape) * math.sqrt(2 / math.prod(shape[1:]))).astype("float32")
    return (generator.standard_normal(shape) * 0.1).astype("float32")


def seeded_input(name, shape, highest=255.0):
    """A batch of pictures, clips or skeletons: uniform values from 0 to `highest`."""
    return np.random.RandomState(zlib.crc32(name.encode())).uniform(0, highest, shape).astype("float32")
