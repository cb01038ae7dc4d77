"""Golden values that the oracles wrote."""

import functools
import json
import pathlib


@functools.cache
def torch_golden():
    """What `torch_backbones.py` wrote."""
    return json.loads((pathlib.Path(__file__).parent / "torch_backbones.json").read_text(encoding="utf-8"))


@functools.cache
def encoder_golden():
    """What `encoders.py` wrote of encoders."""
    return json.loads((pathlib.Path(__file__).parent / "encoders.json").read_text(encoding="utf-8"))


@functools.cache
def wordpiece_golden():
    """What `encoders.py` wrote of tokenizers."""
    return json.loads((pathlib.Path(__file__).parent / "wordpiece.json").read_text(encoding="utf-8"))


@functools.cache
def byte_pair_golden():
    """What `byte_pair.py` wrote."""
    return json.loads((pathlib.Path(__file__).parent / "byte_pair.json").read_text(encoding="utf-8"))


@functools.cache
def vision_golden():
    """What `vision_encoders.py` wrote."""
    return json.loads((pathlib.Path(__file__).parent / "vision_encoders.json").read_text(encoding="utf-8"))
