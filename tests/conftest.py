"""Puts the checkout on the path and keeps TensorFlow quiet, before any test imports it."""

import os
import pathlib
import sys

import pytest

ROOT = str(pathlib.Path(__file__).parent.parent)
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Without a device, looking for one takes time and fills the log.
if not pathlib.Path("/dev/nvidia0").exists():
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


def pytest_collection_modifyitems(config, items):
    """Under pytest-xdist: the tests of a file share a worker, those of `tests/pipeline` too, which share a run."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    folder = pathlib.Path(__file__).parent / "pipeline"
    for item in items:
        group = folder if folder in item.path.parents else item.path
        item.add_marker(pytest.mark.xdist_group(str(group)))
    # The longest first, so that the other workers are not left waiting for it.
    items.sort(key=lambda item: folder not in item.path.parents)
