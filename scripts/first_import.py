"""Imports what the pipeline and the tests import, so that its byte code is written once, by the set-up."""

import importlib
import logging
import os

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
logging.disable(logging.WARNING)

for name in (
    "keras",
    "tensorflow",
    "apache_beam",
    "tensorflow_transform",
    "tensorflow_data_validation",
    # TFMA lacks parts of its interface in newer versions until TFX was imported.
    "tfx.v1",
    "tensorflow_model_analysis",
    "tfx.v1.orchestration.experimental",
    "tfx.tools.cli.cli_main",
    "keras_tuner",
    "matplotlib.pyplot",
    "PIL.Image",
    "pydantic",
    "yaml",
    "jinja2",
    "sklearn.metrics",
    "pytest",
    "hypothesis",
):
    importlib.import_module(name)
