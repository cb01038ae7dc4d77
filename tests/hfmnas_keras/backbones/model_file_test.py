"""Model files of strangers: a clear error, whatever they hold."""

from __future__ import annotations

import io
import json
import random
import time
import zipfile

import keras
import numpy as np
import pytest

from hfmnas_keras.backbones.model_file import read_model_file


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    path = tmp_path_factory.mktemp("model") / "model.keras"
    model.save(path)
    return model, path


def packed(members, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def members_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_model_is_read_as_it_was_saved(saved):
    model, path = saved
    inputs = np.ones((1, 3), "float32")
    np.testing.assert_array_equal(read_model_file(str(path)).predict_on_batch(inputs), model.predict_on_batch(inputs))


@pytest.mark.parametrize("number", [60, pytest.param(2000, marks=pytest.mark.long)])
def test_changed_files_are_read_or_refused(saved, tmp_path, number):
    """Bytes of the archive, of its members, and values of its JSON, changed at random."""
    draw = random.Random(0)
    path = tmp_path / "changed.keras"
    refused = 0
    for _ in range(number):
        members = members_of(saved[1])
        kind = draw.choice(["archive", "member", "json", "nesting"])
        if kind == "member":
            name = draw.choice(list(members))
            content = bytearray(members[name])
            for _ in range(draw.randint(1, 5)):
                content[draw.randrange(len(content))] = draw.randrange(256)
            members[name] = bytes(content[: draw.choice([len(content), draw.randrange(len(content))])])
        elif kind == "json":
            config = json.loads(members["config.json"])
            part = config
            while isinstance(part, dict) and part and draw.random() < 0.8:
                key = draw.choice(list(part))
                if isinstance(part[key], dict) and draw.random() < 0.7:
                    part = part[key]
                else:
                    part[key] = draw.choice([None, [], {}, -1, "x", [[1]], {"class_name": 3}, True])
                    break
            members["config.json"] = json.dumps(config)
        elif kind == "nesting":
            members["config.json"] = "[" * 100_000
        content = bytearray(packed(members))
        if kind == "archive":
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        try:
            read_model_file(str(path))
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > number // 3


@pytest.mark.parametrize("members", [{"config.json": b" " * (200 << 20)}, dict.fromkeys(map(str, range(10_001)), b"")])
def test_a_bomb_is_refused_by_its_directory(tmp_path, members):
    path = tmp_path / "bomb.keras"
    path.write_bytes(packed(members, zipfile.ZIP_DEFLATED))
    started = time.monotonic()
    with pytest.raises(ValueError, match="it claims"):
        read_model_file(str(path))
    assert time.monotonic() - started < 5


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="must be a `.keras` file"):
        read_model_file("model.h5")
    with pytest.raises(ValueError, match="cannot be loaded"):
        read_model_file(str(tmp_path / "nowhere.keras"))
