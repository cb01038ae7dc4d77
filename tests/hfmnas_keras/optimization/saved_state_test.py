import json

import keras
import numpy as np
import pytest
from absl import logging

from hfmnas_keras.optimization.saved_state import SavedState


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


def test_the_last_two_states_are_kept(tmp_path):
    variables = make_variables()
    state = SavedState(tmp_path / "state.npz", {})
    for epoch in range(4):
        variables[0].assign(np.full(3, epoch, "float32"))
        state.save(variables, {"epoch": epoch})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.npz", "state.previous.npz"]
    assert state.restore(variables) == {"epoch": 3}
    # As a kill between the two renames leaves it.
    state.path.unlink()
    assert state.exists()
    assert state.restore(variables) == state.record() == {"epoch": 2}
    assert variables[0].numpy().tolist() == [2, 2, 2]


@pytest.mark.parametrize("length", [0, 10, 0.5, 0.99])
def test_a_truncated_file_falls_back_and_two_are_an_error(tmp_path, caplog, length):
    variables = make_variables()
    state = SavedState(tmp_path / "state.npz", {})
    for epoch in range(2):
        state.save(variables, {"epoch": epoch})
    for path in (state.path, state.previous_path):
        content = path.read_bytes()
        path.write_bytes(content[: int(length * len(content)) if isinstance(length, float) else length])
        if path == state.path:
            logging.set_verbosity(logging.INFO)
            with caplog.at_level("WARNING", logger="absl"):
                assert state.restore(variables) == {"epoch": 0}
            assert "going on from the one before" in caplog.text
            good = state.previous_path.read_bytes()
            state.save(variables, {"epoch": 1})
            assert state.previous_path.read_bytes() == good
            path.write_bytes(b"")
    with pytest.raises(RuntimeError, match=r"Cannot read .*state\.npz .* and .*state\.previous\.npz .*to start anew"):
        state.restore(variables)


def test_a_flipped_bit_is_never_silent(tmp_path):
    variables = make_variables()
    state = SavedState(tmp_path / "state.npz", {})
    state.save(variables, {"epoch": 3})
    expected = [v.numpy().tobytes() for v in variables]
    content = state.path.read_bytes()
    refused = 0
    for place in range(0, len(content), 3):
        state.path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        for variable in variables:
            variable.assign(np.zeros(variable.shape))
        try:
            record = state.restore(variables)
        except RuntimeError as error:
            assert "Cannot read the saved state" in str(error)
            refused += 1
        else:
            # What no reader looks at, such as a time stamp.
            assert record == {"epoch": 3}
            assert [v.numpy().tobytes() for v in variables] == expected
    assert refused > len(content) / 3 / 2
    # A header that asks for half of the bytes.
    state.path.write_bytes(content.replace(b"'<f4'", b"'<f2'"))
    with pytest.raises(RuntimeError, match="checksum"):
        state.restore(variables)


def test_pickled_arrays_are_not_read(tmp_path):
    state = SavedState(tmp_path / "state.npz", {})
    header = {"format": 1, "fingerprint": {}, "variables": [["kernel", [1], "float32"]], "record": {}}
    np.savez(state.path, header=np.array(json.dumps(header)), variable_00000=np.array([{"a": 1}], dtype=object))
    with pytest.raises(RuntimeError, match="pickle"):
        state.restore([keras.Variable(np.zeros(1, "float32"), name="kernel")])
