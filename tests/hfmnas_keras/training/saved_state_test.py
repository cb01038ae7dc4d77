import json

import keras
import numpy as np
import pytest

from hfmnas_keras.training.saved_state import SavedState


def make_variables():
    return [
        keras.Variable(np.array([1.0, 1 / 3, -1e-38], "float32"), name="kernel"),
        keras.Variable(np.array([4294967295, 7], "uint32"), dtype="uint32", trainable=False, name="seed"),
    ]


def test_restores_bit_for_bit(tmp_path):
    variables = make_variables()
    state = SavedState(tmp_path / "deep" / "state.npz", {"settings": {"grid": (4, 4)}})
    assert not state.exists()
    state.save(variables, {"epoch": 3})
    expected = [v.numpy().copy() for v in variables]
    for v in variables:
        v.assign(np.zeros(v.shape))
    assert SavedState(state.path, {"settings": {"grid": [4, 4]}}).restore(variables) == {"epoch": 3}
    for v, value in zip(variables, expected, strict=True):
        assert v.numpy().tobytes() == value.tobytes()
    assert [path.name for path in state.path.parent.iterdir()] == ["state.npz"]


def test_other_settings_are_named(tmp_path):
    variables = make_variables()
    SavedState(tmp_path / "state.npz", {"settings": {"epochs": 3}, "rows": 5}).save(variables, {})
    with pytest.raises(ValueError, match=r"settings\.epochs \(saved 3, now 4\)"):
        SavedState(tmp_path / "state.npz", {"settings": {"epochs": 4}, "rows": 5}).restore(variables)


def test_other_variables_are_refused(tmp_path):
    variables = make_variables()
    state = SavedState(tmp_path / "state.npz", {})
    state.save(variables, {})
    with pytest.raises(ValueError, match="this model has 1"):
        state.restore(variables[:1])
    with pytest.raises(ValueError, match="kernel"):
        state.restore([keras.Variable(np.zeros(2, "float32"), name="kernel"), variables[1]])


def test_truncated_file_is_an_error(tmp_path):
    variables = make_variables()
    state = SavedState(tmp_path / "state.npz", {})
    state.save(variables, {})
    content = state.path.read_bytes()
    for length in (0, 10, len(content) // 2):
        state.path.write_bytes(content[:length])
        with pytest.raises(RuntimeError, match="Cannot read"):
            state.restore(variables)


def test_pickled_arrays_are_not_read(tmp_path):
    state = SavedState(tmp_path / "state.npz", {})
    header = {"format": 1, "fingerprint": {}, "variables": [["kernel", [1], "float32"]], "record": {}}
    np.savez(state.path, header=np.array(json.dumps(header)), variable_00000=np.array([{"a": 1}], dtype=object))
    with pytest.raises(RuntimeError, match="pickle"):
        state.restore([keras.Variable(np.zeros(1, "float32"), name="kernel")])
