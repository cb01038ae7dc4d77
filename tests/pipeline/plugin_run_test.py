"""The road with a package of someone else: a source, a backbone, an edge and a node operation, and a plain model."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest
import tensorflow as tf
import yaml
from conftest import TINY

from pipeline.run_summary import summarise_run
from tests import source_files

PLUGIN = '''
"""Everything that can be added to HF-MNAS, once each."""

import dataclasses
import io
import pathlib

import keras
import numpy as np
from keras import ops
from PIL import Image

from components.multimodal_example_gen.row import Row
from components.multimodal_example_gen.sources.source import Listing, Source, register_source
from hfmnas_keras.backbones.adaptive_max_pool import AdaptiveMaxPool
from hfmnas_keras.cost.layer_rules import multiply_accumulates, no_products
from hfmnas_keras.edge_operations import EdgeOperation, register_edge_operation
from hfmnas_keras.models.baselines.baseline_model import register_plain_model
from hfmnas_keras.node_operations import NodeOperation, register_node_operation
from hfmnas_keras.pretraining.backbone_recipe import register_backbone
from hfmnas_keras.settings.backbones import BackboneKind

COLOURS = {"dark": 40, "light": 210}
WORDS = {"dark": ("night", "coal"), "light": ("snow", "noon")}


@register_source
class ShadeSource(Source):
    name = "shades"
    paths = ("folder",)

    def __init__(self, folder: str, classes, rows: int = 80):
        self.folder, self.classes, self.rows = folder, tuple(classes), rows

    def read(self):
        rows = []
        for number in range(self.rows):
            label = self.classes[number % 2]
            split = "train" if number % 20 < 14 else "dev" if number % 20 < 17 else "test"
            text = f"a {WORDS[label][number // 2 % 2]} thing"
            rows.append(Row(f"row-{number}", split, (label,), {"seed": number, "colour": COLOURS[label]}, text))
        return Listing(rows, [], self.classes)

    def image(self, row):
        pixels = np.random.default_rng(row.media["seed"]).integers(-20, 20, (16, 16, 3)) + row.media["colour"]
        buffer = io.BytesIO()
        Image.fromarray(pixels.astype("uint8")).save(buffer, "PNG")
        return buffer.getvalue()

    def files(self):
        yield "shades.txt", str(pathlib.Path(self.folder) / "shades.txt")


@keras.saving.register_keras_serializable(package="shades")
class Gated(EdgeOperation):
    def build_operation(self, height, width):
        self.gate = keras.layers.Dense(1, activation="sigmoid", dtype=self.dtype_policy, name="gate")
        self.gate.build((None, height, width, self.channels))

    def call(self, inputs):
        return inputs * self.gate(inputs)

    def multiply_accumulates(self, shape):
        return multiply_accumulates(self.gate, shape)


@keras.saving.register_keras_serializable(package="shades")
class Larger(NodeOperation):
    multiply_accumulates = no_products

    def fuse(self, first, second, training=None):
        return ops.maximum(first, second)


register_edge_operation("gated", "each position times a gate of its own")(Gated)
register_node_operation("larger", "the larger of both")(Larger)


@dataclasses.dataclass(frozen=True)
class PlainPictureSettings:
    filters: int = 8
    kind: str = "plain_picture"


@register_backbone("plain_picture", BackboneKind(PlainPictureSettings, ("image",)))
def plain_picture(modality, input_shape, num_outputs, settings, grid):
    inputs = keras.Input(input_shape, name=modality)
    standard = keras.layers.BatchNormalization()(inputs)
    low = keras.layers.Conv2D(settings.filters, 3, padding="same", activation="relu")(standard)
    high = keras.layers.GlobalAveragePooling2D()(low)
    logits = keras.layers.Dense(num_outputs, name="head")(high)
    outputs = {"low": AdaptiveMaxPool(grid)(low), "high": high, "logits": logits}
    return keras.Model(inputs, outputs, name="plain_picture")


@register_plain_model("all_features", "a linear classifier on all four features")
def all_features(low, high, num_outputs, shape, multi_label):
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(feature) for feature in (*low, *high)])
    return {"logits": keras.layers.Dense(num_outputs, dtype="float32", name="logits")(joined)}
'''


def run(folder: pathlib.Path, **changes) -> subprocess.CompletedProcess:
    """Runs the pipeline in a process of its own, as a person would: the package is on the path and named once."""
    content = {
        **TINY,
        "name": "shades",
        "plugins": ["shades_for_hfmnas"],
        "data": {
            "source": "shades",
            "folder": "data",
            "schema_file": str(source_files.ROOT / "schemas/manifest.pbtxt"),
        },
        "preparation": {**TINY["preparation"], "classes": ["dark", "light"]},
        "backbones": {**TINY["backbones"], "image": {"kind": "plain_picture", "filters": 6}},
        "space": {**TINY.get("space", {}), "edge_operations": ["none", "gated"], "node_operations": ["larger"]},
        "gate": {"min_f1_m": 0.8, "above_reference": False},
        "paths": {"root": str(folder / "run")},
        **changes,
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "pipeline.local_runner", "--config", str(folder / "run.yaml")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder / "packages"), str(source_files.ROOT)])},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.long
def test_a_run_with_a_package_of_ones_own_ends_in_a_pushed_model(tmp_path):
    package = tmp_path / "packages" / "shades_for_hfmnas"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(PLUGIN, encoding="utf-8")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "shades.txt").write_text("dark and light", encoding="utf-8")
    finished = run(tmp_path)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    summary = summarise_run(tmp_path / "run" / "metadata.sqlite")
    genotype = (pathlib.Path(summary.uris["ArchitectureSearch.genotype"]) / "genotype.json").read_text()
    assert '"gated"' in genotype and '"larger"' in genotype
    # The served model needs none of the package.
    answer = tf.saved_model.load(summary.pushed_path).signatures["serve_json"](
        text=tf.constant(["a snow thing"]),
        image_bytes=tf.constant([tf.io.encode_png(tf.fill((16, 16, 3), tf.constant(210, tf.uint8))).numpy()]),
    )
    assert answer["label"][0] == b"light"
    # What is searched does not matter to the plain model: all stages before are served from the cache.
    plain = run(tmp_path, model="all_features")
    assert plain.returncode == 0, plain.stdout + plain.stderr
    assert summarise_run(tmp_path / "run" / "metadata.sqlite").pushed_path != summary.pushed_path
