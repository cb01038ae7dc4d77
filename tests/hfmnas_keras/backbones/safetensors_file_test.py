import base64
import json
import random

import numpy as np
import pytest

from hfmnas_keras.backbones.safetensors_file import read_safetensors
from tests import json_mutations
from tests.oracles.golden import torch_golden


def write(path, header, content=b""):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + content)
    return str(path)


def test_reads_what_the_library_of_that_name_wrote(tmp_path):
    golden = torch_golden()["safetensors"]
    path = tmp_path / "all_types.safetensors"
    path.write_bytes(base64.b64decode(golden["base64"]))
    tensors = read_safetensors(str(path))
    assert sorted(tensors) == ["brain", "count", "double", "empty", "half", "single"]
    for name in ("brain", "double", "half", "single"):
        assert tensors[name].dtype == "float32"
        np.testing.assert_array_equal(tensors[name], golden["values"])
    assert tensors["count"].shape == () and tensors["count"] == 7 and tensors["empty"].shape == (0, 3)


@pytest.mark.parametrize("length", [0, 5, 8, 9, 100, 450, 503])
def test_a_file_that_was_cut_off_is_an_error(tmp_path, length):
    path = tmp_path / "short.safetensors"
    path.write_bytes(base64.b64decode(torch_golden()["safetensors"]["base64"])[:length])
    with pytest.raises(ValueError, match="short.safetensors"):
        read_safetensors(str(path))


ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"a": {**ONE, "shape": [3]}}, "takes 0 to 12"),
        ({"a": {**ONE, "shape": [-2]}}, "list of at most 16 ints"),
        ({"a": {**ONE, "shape": [True, 2]}}, "list of at most 16 ints"),
        ({"a": {**ONE, "shape": [2**40, 2**40]}}, "takes 0 to"),
        ({"a": {**ONE, "shape": [2**62, 2**62]}}, "each at most"),
        ({"a": {**ONE, "data_offsets": [0, 4]}}, "takes 0 to 8"),
        ({"a": {**ONE, "data_offsets": [8, 0]}}, "takes 0 to 8"),
        ({"a": {**ONE, "data_offsets": [0]}}, "two ints"),
        ({"a": {**ONE, "data_offsets": [1, 9]}}, "takes 0 to 8"),
        ({"a": ONE, "b": ONE}, "takes 8 to 16"),
        ({"a": {**ONE, "dtype": "U8"}}, "one of the types F64"),
        ({"a": {}}, "two ints"),
        ({"a": 1}, "no mapping"),
        ([], "no mapping"),
        ({}, "take 0 bytes"),
        (b"{" + b'"a":{' * 20_000, "no JSON"),
        (b'{"a": 1, "a": 2}', "occurs twice"),
        (b"\xff\xfe", "no JSON"),
    ],
)
def test_a_header_that_lies_is_an_error(tmp_path, header, message):
    with pytest.raises(ValueError, match=message):
        read_safetensors(write(tmp_path / "x.safetensors", header, bytes(8)))


@pytest.mark.parametrize("shape", [[0, 2**70], [0] * 40, [1] * 100])
def test_a_shape_that_no_array_has_is_an_error(tmp_path, shape):
    header = {"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}
    with pytest.raises(ValueError, match="list of at most"):
        read_safetensors(write(tmp_path / "x.safetensors", header))


@pytest.mark.parametrize("number", [400, pytest.param(4000, marks=pytest.mark.long)])
def test_changed_files_are_read_or_refused(tmp_path, number):
    draw = random.Random(0)
    good = base64.b64decode(torch_golden()["safetensors"]["base64"])
    length = int.from_bytes(good[:8], "little")
    header, content = json.loads(good[8 : 8 + length]), good[8 + length :]
    path = tmp_path / "changed.safetensors"
    refused = 0
    for _ in range(number):
        if draw.random() < 0.7:
            write(path, json_mutations.changed(draw, header), content)
        else:
            data = bytearray(good)
            for _ in range(draw.randint(1, 4)):
                data[draw.randrange(len(data))] = draw.randrange(256)
            path.write_bytes(data[: draw.choice([len(data), draw.randrange(len(data))])])
        try:
            read_safetensors(str(path))
        except ValueError as error:
            assert str(error)
            refused += 1
    assert refused > number // 2


def test_a_pickled_checkpoint_is_not_read(tmp_path):
    path = tmp_path / "x.pth"
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(ValueError, match="no `.safetensors` file"):
        read_safetensors(str(path))
