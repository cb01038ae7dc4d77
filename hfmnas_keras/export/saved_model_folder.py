"""Writes a SavedModel that is there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

from hfmnas_keras.addresses import is_address
from hfmnas_keras.data.stored_files import copy_folder
from hfmnas_keras.layers.layers_within import layers_within


def check_destination(path: str) -> None:
    """Raises `ValueError` unless `path` is free to be written."""
    if tf.io.gfile.exists(path) and (not tf.io.gfile.isdir(path) or tf.io.gfile.listdir(path)):
        raise ValueError(f"`path` must be a new or an empty folder. Received: {path}, which holds something.")


@contextlib.contextmanager
def portable_recurrent_layers(model: keras.Model) -> Iterator[None]:
    """Keeps cuDNN out of the traced graphs: a model exported beside a GPU must also serve without one."""
    changed = []
    for layer in layers_within(model):
        if getattr(layer, "use_cudnn", False):
            changed.append((layer, layer.use_cudnn))
            layer.use_cudnn = False
    try:
        yield
    finally:
        for layer, value in changed:
            layer.use_cudnn = value


def write_whole(module: tf.Module, signatures: Mapping[str, Any], path: str) -> None:
    """Writes beside `path` and moves the finished folder there, so that no one ever sees half of it.

    In an object store no folder can be moved at once: there `saved_model.pb` comes last.
    """
    path = path.rstrip("/")
    if is_address(path):
        with tempfile.TemporaryDirectory() as folder:
            tf.saved_model.save(module, folder, signatures=dict(signatures))
            copy_folder(folder, path, last="saved_model.pb")
        return
    parent, name = os.path.split(path)
    unfinished = os.path.join(parent, f".{name}.{uuid.uuid4().hex}")
    if parent:
        tf.io.gfile.makedirs(parent)
    try:
        tf.saved_model.save(module, unfinished, signatures=dict(signatures))
        if tf.io.gfile.exists(path):
            # Empty, as checked before: TFX makes the folder in advance.
            tf.io.gfile.rmtree(path)
        tf.io.gfile.rename(unfinished, path)
    finally:
        if tf.io.gfile.exists(unfinished):
            tf.io.gfile.rmtree(unfinished)
