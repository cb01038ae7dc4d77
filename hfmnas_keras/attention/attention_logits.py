from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops


def attention_logits(equation: str, query: Any, key: Any) -> Any:
    """Scaled products of queries and keys, in float32 or wider.

    Half precision overflows at 65504, which the product of two unnormalised features passes easily.

    Args:
        equation: str. Einstein summation of `query` and `key` over their last axis.
        query, key: tensors with the same last axis, by the root of which the products are divided.

    Returns:
        Tensor of the equation's shape, float32, or float64 for float64 inputs.
    """
    dtype = keras.backend.result_type(query.dtype, "float32")
    scale = 1.0 / math.sqrt(query.shape[-1])
    return ops.einsum(equation, ops.cast(query, dtype) * scale, ops.cast(key, dtype))
