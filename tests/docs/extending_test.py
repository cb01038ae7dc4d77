"""The package on the page docs/extending.md, joined and used in a process of its own."""

import os
import subprocess
import sys

import pytest

from tests.docs.pages import blocks
from tests.source_files import ROOT

USE = """
import keras, numpy as np, yaml
import my_package
from components.multimodal_example_gen.sources.registry import make_source
from hfmnas_keras.models.baselines.baseline_model import baseline_model
from hfmnas_keras.pretraining.backbone_recipe import recipe_of_kind
from hfmnas_keras.settings.fusion import FinalModelSettings, FusionSettings
from pipeline.config import RunConfig

config = RunConfig.model_validate(yaml.safe_load(open("my.yaml")))
space, final = config.space, FinalModelSettings(channels=8)
assert "gated" in space.edge_operations and "larger" in space.node_operations
shapes = {"text_low": (6,), "text_high": (5,), "image_low": (4, 4, 3), "image_high": (4, 4, 5)}
inputs = {name: np.ones((2, *shape), "float32") for name, shape in shapes.items()}

from hfmnas_keras.edge_operations import edge_operation
from hfmnas_keras.node_operations import node_operation
grid = np.random.default_rng(0).normal(size=(2, 4, 4, 8)).astype("float32")
gated = edge_operation("gated", 8)
assert np.allclose(gated(grid), grid * keras.ops.convert_to_numpy(gated.gate(grid)))
larger = node_operation("larger", 8)
assert np.allclose(larger.fuse(grid, -grid), np.abs(grid))
assert gated.multiply_accumulates((4, 4, 8)) == 4 * 4 * 8

plain = baseline_model("all_features", shapes, 2, FusionSettings(), final)
assert plain(inputs)["logits"].shape == (2, 2)

source = make_source("colours", {"table": "colours.csv", "classes": ["dark", "light"]})
listing = source.read()
assert [row.split for row in listing.rows] == ["train", "test"]
assert source.features(listing.rows[0])["text"] == b"night"
assert source.features(listing.rows[0])["image"].startswith(b"\\x89PNG")
assert source.fingerprint().startswith("content:")
try:
    source.image(listing.rows[1])
except ValueError as error:
    assert "unknown_colour" in str(error)
else:
    raise AssertionError("no colour")

settings = config.backbones.image
backbone = recipe_of_kind("image", (16, 16, 3), 2, settings).build()
assert backbone(np.zeros((1, 16, 16, 3)))["low"].shape == (1, 4, 4, 8)
print("all of it works")
"""


@pytest.fixture
def folder(tmp_path):
    package = tmp_path / "my_package"
    package.mkdir()
    code = [block.text for block in blocks("python") if block.page == "docs/extending.md"]
    (package / "__init__.py").write_text("\n\n".join(code), encoding="utf-8")
    [config] = [
        block.text for block in blocks("yaml") if block.page == "docs/extending.md" and "name: colours" in block.text
    ]
    (tmp_path / "my.yaml").write_text(config, encoding="utf-8")
    table = "id,split,label,words,colour\na,train,dark,night,navy\nb,test,light,noon,nocolour\n"
    (tmp_path / "colours.csv").write_text(table, encoding="utf-8")
    return tmp_path


def test_the_package_on_the_page_works(folder):
    finished = subprocess.run(
        [sys.executable, "-c", USE],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.stdout.endswith("all of it works\n"), finished.stderr
