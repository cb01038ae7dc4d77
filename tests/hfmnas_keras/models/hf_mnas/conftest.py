import keras
import pytest


@pytest.fixture
def double_precision():
    """Layers made in the test compute in float64, in which two forms of one sum are alike to 1e-5 and far below."""
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy("float32")
