"""Reads tensors from a file of PyTorch's without running anything that it says."""

from __future__ import annotations

import dataclasses
import math
import os
import pickletools
import zipfile
from collections.abc import Callable
from typing import IO, Any

import numpy as np

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}
# What a state dict names beside its storages; every other name is refused.
_ORDERED_DICT, _TENSOR = ("collections", "OrderedDict"), ("torch._utils", "_rebuild_tensor_v2")
# Tensors may share their numbers, but not so often that a small file fills the memory.
_MOST_SHARED = 4
# The description of tensors, in bytes.
_LARGEST_DESCRIPTION = 100_000_000


def read_torch_file(path: str) -> dict[str, np.ndarray]:
    """All tensors of a state dict that `torch.save` wrote, in its format of today or in that before PyTorch 1.6.

    Such a file describes its tensors in pickle's instructions. They are read one by one, and only those that a state
    dict needs are followed; a name other than an ordered dict, a tensor or a storage of numbers ends the reading.
    Nothing that is named is imported or called. Sizes are checked against the file before numbers are read.

    Args:
        path: str. The file, `.pth`, `.pt` or `.bin`.

    Returns:
        dict from names to contiguous arrays, float32 (integers: int64).

    Raises:
        ValueError: when the file is damaged, holds something else than a state dict, or asks for more.
        OSError: when the file cannot be opened.
    """
    try:
        with open(path, "rb") as file:
            if zipfile.is_zipfile(file):
                return _read_zip(file)
            file.seek(0)
            return _read_legacy(file)
    except _Refused as error:
        raise ValueError(
            f"{path!r} is no state dict as `torch.save` writes it: {error}. Expected tensors of numbers by name."
        ) from error


class _Refused(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class _Storage:
    kind: str
    key: str
    count: int

    @property
    def num_bytes(self) -> Any:
        return self.count * np.dtype(_STORAGES[self.kind]).itemsize


@dataclasses.dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _read_legacy(file: IO[bytes]) -> dict[str, np.ndarray]:
    size = os.fstat(file.fileno()).st_size
    storages: dict[str, _Storage] = {}
    if _follow(file) != _MAGIC or _follow(file) != _PROTOCOL:
        raise _Refused("it does not begin as one")
    system = _follow(file)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise _Refused("it was not written by a little-endian machine")
    state = _follow(file, storages)
    keys = _follow(file)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or set(keys) != set(storages):
        raise _Refused("its list of storages does not name those of its tensors")
    places = {}
    for key in keys:
        storage, count = storages[key], int.from_bytes(file.read(8), "little")
        if count != storage.count or file.tell() + storage.num_bytes > size:
            raise _Refused(f"storage {key[:20]!r} of {storage.count} numbers is cut off or of another size")
        places[key] = file.tell()
        file.seek(storage.num_bytes, os.SEEK_CUR)

    def numbers(storage: Any) -> Any:
        file.seek(places[storage.key])
        return np.fromfile(file, _STORAGES[storage.kind], storage.count)

    return _arrays(state, storages, numbers)


def _read_zip(file: IO[bytes]) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(file) as archive:
            members = {info.filename: info for info in archive.infolist()}
            description = [name for name in members if name.count("/") == 1 and name.endswith("/data.pkl")]
            if len(description) != 1 or members[description[0]].file_size > _LARGEST_DESCRIPTION:
                raise _Refused("it is a zip file without one description of tensors")
            folder = description[0].removesuffix("data.pkl")
            if f"{folder}byteorder" in members and archive.read(f"{folder}byteorder") != b"little":
                raise _Refused("it was not written by a little-endian machine")
            storages: dict[str, _Storage] = {}
            with archive.open(description[0]) as instructions:
                state = _follow(instructions, storages)

            def numbers(storage: Any) -> Any:
                info = members.get(f"{folder}data/{storage.key}")
                if info is None or info.compress_type != zipfile.ZIP_STORED or info.file_size != storage.num_bytes:
                    raise _Refused(f"storage {storage.key[:20]!r} is missing, compressed or of another size")
                return np.frombuffer(archive.read(info), _STORAGES[storage.kind])

            return _arrays(state, storages, numbers)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise _Refused(f"its zip archive is damaged ({error})") from error


def _follow(file: IO[bytes], storages: dict[str, _Storage] | None = None) -> Any:
    """What one run of instructions makes, up to its end; storages that it names are added to `storages`."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[Any, Any] = {}

    def since_mark() -> Any:
        start = marks.pop()
        values = stack[start:]
        del stack[start:]
        return values

    def storage_of(reference: Any) -> Any:
        if storages is None or type(reference) is not tuple or len(reference) not in (5, 6):
            raise _Refused("it refers to something outside")
        tag, kind, key, _, count = reference[:5]
        is_named = tag == "storage" and isinstance(kind, tuple) and len(kind) == 2 and kind[0] == "torch"
        if not is_named or kind[1] not in _STORAGES or reference[5:] not in ((), (None,)):
            raise _Refused("it refers to something that is no storage of numbers")
        if type(key) is not str or type(count) is not int or count < 0:
            raise _Refused("a storage has no name or no size")
        storage = _Storage(kind[1], key, count)
        if storages.setdefault(key, storage) != storage:
            raise _Refused(f"storage {key[:20]!r} is described twice")
        return storage

    try:
        for opcode, argument, _ in pickletools.genops(file):
            name = opcode.name
            if name == "STOP":
                return stack.pop()
            if name in _CONSTANTS:
                stack.append(_CONSTANTS[name]())
            elif name in _LITERALS:
                stack.append(argument)
            elif name == "GLOBAL":
                stack.append(_allowed(argument))
            elif name == "BINPERSID":
                stack.append(storage_of(stack.pop()))
            elif name in ("BINPUT", "LONG_BINPUT"):
                memo[argument] = stack[-1]
            elif name in ("BINGET", "LONG_BINGET"):
                stack.append(memo[argument])
            elif name == "MARK":
                marks.append(len(stack))
            elif name == "TUPLE":
                stack.append(tuple(since_mark()))
            elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
                values = tuple(stack[-int(name[-1]) :])
                del stack[-int(name[-1]) :]
                stack.append(values)
            elif name == "APPEND":
                value = stack.pop()
                _of_kind(stack[-1], list).append(value)
            elif name == "APPENDS":
                values = since_mark()
                _of_kind(stack[-1], list).extend(values)
            elif name == "SETITEM":
                value, key = stack.pop(), stack.pop()
                _of_kind(stack[-1], dict)[key] = value
            elif name == "SETITEMS":
                values = since_mark()
                _of_kind(stack[-1], dict).update(zip(values[::2], values[1::2], strict=True))
            elif name == "REDUCE":
                arguments, called = stack.pop(), stack.pop()
                stack.append(_made(called, arguments))
            elif name == "BUILD":
                # Attributes of the ordered dict: versions of PyTorch's layers.
                stack.pop()
                _of_kind(stack[-1], dict)
            elif name != "PROTO":
                raise _Refused(f"it has the instruction {name}")
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _Refused(f"its instructions are damaged ({type(error).__name__})") from error
    raise _Refused("its instructions have no end")


_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}
_LITERALS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"}


def _of_kind(value: Any, kind: Any) -> Any:
    if type(value) is not kind:
        raise _Refused(f"a {kind.__name__} was expected")
    return value


def _allowed(argument: Any) -> Any:
    module, _, name = argument.partition(" ")
    if (module, name) in (_ORDERED_DICT, _TENSOR) or (module == "torch" and name in _STORAGES):
        return module, name
    raise _Refused(f"it names {argument[:60]!r}, which is none of a state dict's")


def _made(called: Any, arguments: Any) -> Any:
    if called == _ORDERED_DICT and arguments == ():
        return {}
    if called != _TENSOR or type(arguments) is not tuple or not 4 <= len(arguments) <= 7:
        raise _Refused("it calls something that makes no tensor")
    storage, offset, shape, strides = arguments[:4]
    figures = (offset, *_of_kind(shape, tuple), *_of_kind(strides, tuple))
    if not isinstance(storage, _Storage) or not all(type(figure) is int and figure >= 0 for figure in figures):
        raise _Refused("a tensor has no storage, or a size that is no number")
    if len(shape) != len(strides):
        raise _Refused("a tensor has other strides than sides")
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    # A tensor with more numbers than its storage repeats some of them.
    if math.prod(shape) > storage.count or (all(shape) and last >= storage.count):
        raise _Refused("a tensor lies outside of its storage")
    return _Tensor(storage, offset, shape, strides)


def _arrays(state: Any, storages: Any, numbers: Any) -> Any:
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not state:
        raise _Refused("it holds no mapping")
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, _Tensor):
            raise _Refused("it holds something that is no tensor with a name")
    stored = sum(storage.count for storage in storages.values())
    if sum(math.prod(tensor.shape) for tensor in state.values()) > _MOST_SHARED * stored:
        raise _Refused("its tensors share their numbers too often")
    values: dict[str, np.ndarray] = {}
    arrays = {}
    # Storage by storage, so that each is read once.
    for name, tensor in sorted(state.items(), key=lambda item: item[1].storage.key):
        if tensor.storage.key not in values:
            values = {tensor.storage.key: _decoded(tensor.storage, numbers(tensor.storage))}
        array = values[tensor.storage.key]
        # A tensor may be a view: transposed, for example, as convolutions that come from TensorFlow are.
        view = np.lib.stride_tricks.as_strided(
            array[tensor.offset :], tensor.shape, [stride * array.itemsize for stride in tensor.strides]
        )
        arrays[name] = np.array(view, order="C")
    return {name: arrays[name] for name in state}


def _decoded(storage: Any, values: Any) -> Any:
    if storage.kind == "BFloat16Storage":
        # The upper half of a float32.
        return (values.astype("<u4") << 16).view("<f4")
    return values.astype("int64" if storage.kind in ("LongStorage", "IntStorage") else "float32")
