import base64
import io
import pickletools
import zipfile

import numpy as np
import pytest

from hfmnas_keras.backbones.torch_file import read_torch_file
from tests.oracles.golden import encoder_golden

GOLDEN = encoder_golden()["torch_files"]


def written(tmp_path, content):
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize("kind", ["legacy", "zip"])
def test_reads_what_torch_wrote(tmp_path, kind):
    tensors = read_torch_file(written(tmp_path, base64.b64decode(GOLDEN[kind])))
    assert list(tensors) == list(GOLDEN["expected"])
    for name, golden in GOLDEN["expected"].items():
        values = tensors[name]
        assert values.dtype == ("int64" if name == "count" else "float32"), name
        assert values.flags.c_contiguous and values.flags.owndata
        np.testing.assert_array_equal(values, np.reshape(golden["values"], golden["shape"]), err_msg=name)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["legacy", "zip"])
def test_a_file_that_was_cut_off_is_an_error(tmp_path, kind, share):
    content = base64.b64decode(GOLDEN[kind])
    with pytest.raises(ValueError, match=r"x\.pth' is no state dict"):
        read_torch_file(written(tmp_path, content[: int(share * len(content))]))


def text(value):
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def number(value):
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def storage(kind=b"ctorch\nFloatStorage\n", key="0", count=4, tag="storage"):
    return b"(" + text(tag) + kind + text(key) + text("cpu") + number(count) + b"NtQ"


def tensor(offset=0, shape=(2,), strides=(1,), of=None):
    sides, steps = (b"(" + b"".join(map(number, values)) + b"t" for values in (shape, strides))
    arguments = b"(" + (of or storage()) + number(offset) + sides + steps + b"\x89Nt"
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R"


def state(value):
    return b"\x80\x02}" + text("a") + value + b"s."


def legacy(instructions, keys=("0",), counts=(4,), numbers=16):
    head = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
    head += b"\x80\x02}" + text("little_endian") + b"\x88s."
    content = head + instructions + b"\x80\x02](" + b"".join(map(text, keys)) + b"e."
    return content + b"".join(count.to_bytes(8, "little") for count in counts) + bytes(numbers)


def test_the_hand_made_files_are_read_as_long_as_they_are_good(tmp_path):
    tensors = read_torch_file(written(tmp_path, legacy(state(tensor()))))
    assert list(tensors) == ["a"] and tensors["a"].tolist() == [0.0, 0.0]
    nested = b"\x80\x02}" + text("state_dict") + b"}" + text("b") + tensor() + b"s" + b"s."
    assert list(read_torch_file(written(tmp_path, legacy(nested)))) == ["b"]


HOSTILE = {
    "calls a function": (b"\x80\x02cos\nsystem\n" + text("true") + b"\x85R.", "names 'os system'"),
    "calls a builtin": (b"\x80\x02cbuiltins\neval\n" + text("1") + b"\x85R.", "names 'builtins eval'"),
    "names by stack": (b"\x80\x04" + text("os") + text("system") + b"\x93.", "instruction STACK_GLOBAL"),
    "makes an instance": (b"\x80\x02(ios\nsystem\n.", "instruction INST"),
    "makes an object": (b"\x80\x02ctorch\nFloatStorage\n)\x81.", "instruction NEWOBJ"),
    "calls a storage": (b"\x80\x02ctorch\nFloatStorage\n)R.", "makes no tensor"),
    "fills an ordered dict while it is made": (b"\x80\x02ccollections\nOrderedDict\n]\x85R.", "makes no tensor"),
    "another torch name": (b"\x80\x02ctorch\nload\n.", "names 'torch load'"),
    "is a number": (b"\x80\x02K\x01.", "list of storages"),
    "holds a number": (b"\x80\x02}" + text("a") + tensor() + b"s" + text("b") + b"K\x01s.", "no tensor with a name"),
    "appends to a dict": (b"\x80\x02}K\x01a.", "list was expected"),
    "takes from an empty stack": (b"\x80\x02R.", "damaged"),
    "forgets": (b"\x80\x02h\x07.", "damaged"),
    "has no mark": (b"\x80\x02t.", "damaged"),
    "no end": (b"\x80\x02}", "no state dict"),
    "odd items": (b"\x80\x02}(" + text("a") + b"u.", "damaged"),
    "key that is a list": (b"\x80\x02}]K\x01s.", "damaged"),
    "another tag": (state(tensor(of=storage(tag="module"))), "no storage of numbers"),
    "no storage": (state(tensor(of=number(1))), "no storage"),
    "negative count": (state(tensor(of=storage(count=-1))), "no size"),
    "another count": (state(tensor(of=storage(count=5))), "another size"),
    "outside": (state(tensor(offset=3)), "outside"),
    "outside by stride": (state(tensor(strides=(4,))), "outside"),
    "negative stride": (state(tensor(strides=(-1,))), "no number"),
    "negative offset": (state(tensor(offset=-1)), "no number"),
    "huge": (state(tensor(shape=(2**60, 2**60), strides=(0, 0))), "outside"),
    "repeats": (state(tensor(shape=(3, 3), strides=(0, 0))), "outside"),
    "other strides": (state(tensor(shape=(1, 2))), "other strides"),
    "shares too often": (
        b"\x80\x02}(" + b"".join(text(str(i)) + tensor(shape=(4,)) for i in range(5)) + b"u.",
        "too often",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_asks_for_more_is_refused(tmp_path, name, monkeypatch):
    instructions, message = HOSTILE[name]
    # A call of anything would show.
    monkeypatch.setattr("os.system", lambda _: pytest.fail("something was called"))
    with pytest.raises(ValueError, match=message):
        read_torch_file(written(tmp_path, legacy(instructions)))


def test_the_hostile_files_are_what_their_names_say():
    assert "os system" in [argument for _, argument, _ in pickletools.genops(HOSTILE["calls a function"][0])]


def test_a_file_without_tensors_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no mapping"):
        read_torch_file(written(tmp_path, legacy(b"\x80\x02}.", keys=(), counts=())))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keys": ("0", "1")}, "list of storages"),
        ({"keys": ()}, "list of storages"),
        ({"counts": (5,)}, "another size"),
        ({"numbers": 15}, "cut off"),
    ],
)
def test_storages_that_are_not_as_described_are_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        read_torch_file(written(tmp_path, legacy(state(tensor()), **arguments)))


def test_a_big_endian_file_is_refused(tmp_path):
    swapped = legacy(state(tensor())).replace(b"little_endian\x88", b"little_endian\x89")
    with pytest.raises(ValueError, match="little-endian"):
        read_torch_file(written(tmp_path, swapped))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"other.txt": b""}, "one description"),
        ({"a/data.pkl": state(tensor())}, "is missing"),
        ({"a/data.pkl": state(tensor()), "a/data/0": bytes(8)}, "another size"),
        ({"a/data.pkl": state(tensor()), "a/data/0": bytes(16), "a/byteorder": b"big"}, "little-endian"),
        ({"a/data.pkl": HOSTILE["calls a function"][0]}, "names 'os system'"),
    ],
)
def test_a_zip_file_that_is_not_as_described_is_refused(tmp_path, members, message):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(ValueError, match=message):
        read_torch_file(written(tmp_path, file.getvalue()))


def test_a_missing_file_is_named():
    with pytest.raises(OSError, match="nowhere.pth"):
        read_torch_file("nowhere.pth")
