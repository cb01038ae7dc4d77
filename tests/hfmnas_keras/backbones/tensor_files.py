"""Writes `.safetensors` files."""

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
