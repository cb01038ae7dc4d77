"""Puts the checkout on the path and keeps TensorFlow quiet, before any test imports it."""

import os
import pathlib
import sys

ROOT = str(pathlib.Path(__file__).parent.parent)
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Without a device, looking for one takes time and fills the log.
if not pathlib.Path("/dev/nvidia0").exists():
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
