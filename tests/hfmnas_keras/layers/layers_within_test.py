"""Layers at every depth."""

import keras

from hfmnas_keras.layers.layers_within import layers_within
from hfmnas_keras.models.parts.sequence_encoder import SequenceEncoder


class Nested(keras.layers.Layer):
    def build(self, input_shape):
        self.parts = [keras.layers.Dense(2, name="first"), {"inner": keras.layers.Dense(2, name="second")}]
        self.parts[0].build(input_shape)
        self.parts[1]["inner"].build(input_shape)

    def call(self, inputs):
        return self.parts[1]["inner"](self.parts[0](inputs))


def test_layers_are_found_at_every_depth_and_once():
    inputs = keras.Input((3, 2))
    shared = keras.layers.Dense(2, name="shared")
    inner = keras.Model(inputs, Nested(name="nested")(shared(shared(inputs))), name="inner")
    outer = keras.Input((3, 2))
    encoded = SequenceEncoder(4, name="encoder")(inner(outer))
    found = layers_within(keras.Model(outer, encoded, name="outer"))
    assert {"outer", "inner", "nested", "shared", "first", "second", "encoder"} <= {layer.name for layer in found}
    assert len(found) == len({id(layer) for layer in found})


def test_lstms_within_a_bidirectional_one_are_found():
    inputs = keras.Input((3, 2))
    model = keras.Model(inputs, SequenceEncoder(4)(inputs))
    assert len([layer for layer in layers_within(model) if isinstance(layer, keras.layers.LSTM)]) >= 2
