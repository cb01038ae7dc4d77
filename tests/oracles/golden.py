"""Golden values that the oracles wrote."""

import functools
import json
import pathlib


@functools.cache
def torch_golden():
    """What `torch_backbones.py` wrote."""
    return json.loads((pathlib.Path(__file__).parent / "torch_backbones.json").read_text(encoding="utf-8"))
