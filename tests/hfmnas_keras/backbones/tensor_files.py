"""Writes `.safetensors` files, and state dicts as `torch.save` does."""

import json

TYPES = {"float32": "F32", "int64": "I64"}


def write_safetensors(path, tensors):
    header, content = {}, b""
    for name, values in tensors.items():
        begin = len(content)
        content += values.tobytes()
        offsets = [begin, len(content)]
        header[name] = {"dtype": TYPES[str(values.dtype)], "shape": list(values.shape), "data_offsets": offsets}
    encoded = json.dumps(header).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + content)
    return str(path)


def write_torch(path, tensors):
    """The format before PyTorch 1.6, of float32 arrays, written by hand: nothing here may import what reads it."""
    state, storages = b"}(", b""
    for number, (name, values) in enumerate(tensors.items()):
        key, count = str(number), values.size
        storage = b"(" + _text("storage") + b"ctorch\nFloatStorage\n" + _text(key) + _text("cpu") + _int(count) + b"NtQ"
        strides = [stride // values.itemsize for stride in values.strides]
        sides, steps = (b"(" + b"".join(map(_int, figures)) + b"t" for figures in (values.shape, strides))
        state += _text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + _int(0) + sides + steps + b"\x89NtR"
        storages += count.to_bytes(8, "little") + values.astype("<f4").tobytes()
    keys = b"](" + b"".join(_text(str(number)) for number in range(len(tensors))) + b"e"
    magic = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"
    parts = [magic, b"M\xe9\x03", b"}" + _text("little_endian") + b"\x88s", state + b"u", keys]
    path.write_bytes(b"".join(b"\x80\x02" + part + b"." for part in parts) + storages)
    return str(path)


def _text(value):
    return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()


def _int(value):
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)
