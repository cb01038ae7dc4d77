import keras
import numpy as np
import pytest

from hfmnas_keras.backbones.given_model import default_taps, given_model, require_given_model, tap_of, taps_of
from tests.hfmnas_keras.backbones import given_models

HERE = given_models.__name__


def small_model():
    image = keras.Input((8, 8, 3))
    first = keras.layers.Conv2D(4, 3, strides=2, padding="same", name="first")(image)
    second = keras.layers.Conv2D(5, 3, strides=2, padding="same", name="second")(first)
    return keras.Model(image, keras.layers.GlobalAveragePooling2D(name="pooled")(second), name="small")


def test_a_function_is_called_with_the_shape_of_a_row():
    model = given_model(f"{HERE}:small_mobile_net", (64, 32, 3))
    assert model.inputs[0].shape == (None, 64, 32, 3)


def test_a_file_gives_what_was_saved(tmp_path):
    model = small_model()
    model.save(tmp_path / "x.keras")
    read = given_model(str(tmp_path / "x.keras"), (8, 8, 3))
    picture = np.random.default_rng(0).uniform(0, 1, (1, 8, 8, 3))
    np.testing.assert_array_equal(read(picture), model(picture))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (f"{HERE}:nothing", "there is no function 'nothing'"),
        ("no.such.package:function", "cannot be imported"),
        (f"{HERE}:with_lambda", "layers `Lambda`.*scaled.*register it with Keras"),
        (f"{HERE}:subclassed", "must give a functional `keras.Model`.*Subclassed"),
        ("nowhere.keras", "cannot be loaded"),
    ],
)
def test_what_gives_no_model_is_an_error(model, message):
    with pytest.raises(ValueError, match=message):
        given_model(model, (8, 8, 3))


def test_a_file_with_code_is_refused(tmp_path):
    given_models.with_lambda((8, 8, 3)).save(tmp_path / "x.keras")
    with pytest.raises(ValueError, match="cannot be loaded.*ambda"):
        given_model(str(tmp_path / "x.keras"), (8, 8, 3))


def test_a_sequential_model_will_do():
    layers = [keras.Input((4,)), keras.layers.Dense(3, name="a"), keras.layers.Dense(2, name="b")]
    given_models.sequential = lambda input_shape: keras.Sequential(layers)
    assert list(taps_of(given_model(f"{HERE}:sequential", (4,)))) == ["a", "b"]


def test_outputs_and_layers_can_be_tapped():
    model = small_model()
    model = keras.Model(model.inputs, {"top": model.output, "middle": model.get_layer("first").output})
    assert {name: tuple(tensor.shape) for name, tensor in taps_of(model).items()} == {
        "first": (None, 4, 4, 4),
        "second": (None, 2, 2, 5),
        "pooled": (None, 5),
        "top": (None, 5),
        "middle": (None, 4, 4, 4),
    }


def test_a_layer_that_is_called_twice_has_no_one_output():
    image = keras.Input((4,))
    twice, once = keras.layers.Dense(4, name="twice"), keras.layers.Dense(2, name="once")
    assert list(taps_of(keras.Model(image, once(twice(twice(image)))))) == ["once"]


def test_an_unknown_tap_is_told_which_layers_there_are():
    with pytest.raises(ValueError, match="of `small`: first, second, pooled. Received: 'third'"):
        tap_of(small_model(), "low_tap", "third")
    large = given_model(f"{HERE}:small_mobile_net", (32, 32, 3))
    with pytest.raises(ValueError, match="block_13_project_BN.*and 1[0-9]+ more.*`hfmnas encoder taps MODEL`"):
        tap_of(large, "high_tap", "block_13_projct")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (small_model, ("first", "second")),
        # Block 12 ends the stage before the last. Block 13 opens the last one with a larger map, but ends none.
        (lambda: given_models.small_mobile_net((64, 64, 3)), ("block_12_add", "out_relu")),
        (lambda: given_models.small_transformer((12,)), ("layer_1", "layer_2")),
    ],
)
def test_taps_that_nobody_names(make, expected):
    assert default_taps(make()) == expected


def test_of_named_outputs_the_third_and_the_last_are_tapped():
    image = keras.Input((6, 4))
    states = {f"layer_{number}": keras.layers.Dense(4, name=f"dense_{number}")(image) for number in range(1, 8)}
    assert default_taps(keras.Model(image, states)) == ("layer_3", "layer_7")


def test_what_is_missing_shows_before_anything_is_read(tmp_path):
    require_given_model(f"{HERE}:patches")
    with pytest.raises(ValueError, match="There is no file"):
        require_given_model(str(tmp_path / "x.keras"))
    with pytest.raises(ValueError, match="there is no function"):
        require_given_model(f"{HERE}:nothing")
