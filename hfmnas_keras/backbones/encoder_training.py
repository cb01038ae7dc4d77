"""What of a pre-trained encoder learns: nothing, its last blocks, or small matrices beside its attention."""

from __future__ import annotations

from collections.abc import Sequence

import keras


def train_last_blocks(encoder: keras.Model, blocks: int, taps: Sequence[str]) -> None:
    """Lets the layers of an encoder's last blocks learn, and nothing else of it.

    A block is what lies between two numbered outputs, such as `layer_5` and `layer_6` or `stage_3` and `stage_4`; what
    lies behind the last one learns too. Batch normalisations keep their statistics, scale and offset.

    Args:
        encoder: functional model with a dict of outputs.
        blocks: int. Number of blocks; 0 for none.
        taps: names of the outputs in their order, up to the last that is used.

    Raises:
        ValueError: when there are no more blocks than that.
    """
    for layer in encoder.layers:
        layer.trainable = False
    if not blocks:
        return
    numbered = [tap for tap in taps if tap[-1].isdigit()]
    if blocks >= len(numbered):
        raise ValueError(f"`train_last` must be less than the number of outputs {numbered}. Received: {blocks}.")
    below = keras.Model(encoder.inputs, encoder.output[numbered[-1 - blocks]])
    fixed = {layer.name for layer in below.layers}
    for layer in encoder.layers:
        layer.trainable = layer.name not in fixed and not isinstance(layer, keras.layers.BatchNormalization)


def add_low_rank_matrices(encoder: keras.Model, rank: int) -> None:
    """Lets a product of two matrices beside each query and value of an encoder's attention learn, and nothing else.

    The products begin at zero. A `.keras` file of the model, or a part of it, has them added to the matrices that they
    stand beside, so that it has neither more weights nor more to compute.

    Args:
        encoder: functional model.
        rank: int. Inner side of the matrices.

    Raises:
        ValueError: when the encoder has no attention.

    Reference:
     - [Hu et al., 2022](https://arxiv.org/abs/2106.09685)
    """
    attentions = [layer for layer in encoder.layers if isinstance(layer, keras.layers.MultiHeadAttention)]
    if not attentions:
        raise ValueError(f"`lora_rank` needs an encoder with attention, which `{encoder.name}` has not. Set it to 0.")
    for layer in encoder.layers:
        layer.trainable = False
    for attention in attentions:
        # A frozen parent would hide what learns in it.
        attention.trainable = True
        for dense in (attention.query_dense, attention.key_dense, attention.value_dense, attention.output_dense):
            dense.trainable = False
        for dense in (attention.query_dense, attention.value_dense):
            dense.trainable = True
            dense.bias.trainable = False
            dense.enable_lora(rank)
