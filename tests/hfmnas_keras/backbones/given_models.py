"""Functions that give models, as a package of somebody's has them."""

import keras
from keras import ops

LENGTH = 12


def small_mobile_net(input_shape):
    """One of keras.applications, of random weights, which prepares its pictures itself."""
    image = keras.Input(input_shape)
    network = keras.applications.MobileNetV2(
        input_tensor=keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image), alpha=0.35, weights=None, include_top=False
    )
    return network


def first_stages(input_shape):
    """Its first stages, for tests that trace it several times."""
    network = small_mobile_net(input_shape)
    return keras.Model(network.inputs[0], network.get_layer("block_5_add").output, name="first_stages")


def small_transformer(input_shape):
    """Of texts: two blocks, with dropout, that read ids and a mask."""
    tokens = keras.Input(input_shape, dtype="int32", name="token_ids")
    mask = keras.Input(input_shape, dtype="int32", name="padding_mask")
    hidden = keras.layers.Embedding(60, 6, embeddings_initializer=keras.initializers.RandomNormal(seed=1))(tokens)
    for number in (1, 2):
        attention = keras.layers.MultiHeadAttention(2, 3, name=f"attention_{number}")
        attended = attention(hidden, hidden, attention_mask=ops.cast(mask, "bool")[:, None])
        attended = keras.layers.Dropout(0.5)(attended)
        hidden = keras.layers.LayerNormalization(name=f"layer_{number}")(hidden + attended)
    return keras.Model({"token_ids": tokens, "padding_mask": mask}, hidden, name="small_transformer")


def patches(input_shape):
    """A sequence of a class token and patches of 8x8, mean colours, as a vision transformer gives it."""
    image = keras.Input(input_shape)
    means = keras.layers.AveragePooling2D(8)(image)
    sequence = keras.layers.Reshape((-1, 3))(means)
    return keras.Model(image, keras.layers.ZeroPadding1D((1, 0), name="layer_1")(sequence), name="patches")


def with_lambda(input_shape):
    image = keras.Input(input_shape)
    return keras.Model(image, keras.layers.Lambda(lambda pixels: pixels / 255.0, name="scaled")(image))


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


def subclassed(input_shape):
    return Subclassed()
