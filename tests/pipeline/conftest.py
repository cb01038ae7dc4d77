"""One real run of the pipeline, shared by the tests of this folder."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import pathlib
import shutil
import sys

import pytest
import yaml

# Another distribution brings a regular package `tests`, so this folder is named here.
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from coloured_shapes import CLASSES, write_shapes

from pipeline.config_file import load_config
from pipeline.local_runner import run

TINY = {
    "name": "shapes",
    "preparation": {"classes": list(CLASSES), "image_size": [16, 16], "max_tokens": 6},
    "fusion": {"grid": [2, 2], "num_heads": 2},
    "mitigation": {"correlation_dim": 4},
    "space": {"num_nodes": 1, "kept_nodes": 1},
    "final_model": {"channels": 8},
    "backbones": {
        "text": {"embedding_dim": 8, "hidden_units": [8, 8], "pieces": 2, "dropout": 0.0},
        "image": {"depth": 16, "width": 0.0625, "head_dropout": 0.0},
    },
    # Nobody can know these rows by heart and nothing else: no folds are needed.
    "pretraining": {"max_epochs": 10, "batch_size": 16, "folds": 0, "learning_rate": 0.01},
    "search": {"channels": 8, "epochs": 1, "batch_size": 16},
    # Long enough for the moving averages of the normalisations to arrive.
    "training": {
        "max_epochs": 10,
        "patience": 10,
        "batch_size": 8,
        "learning_rate": 0.005,
        "unfreeze_backbones": False,
    },
    # These shapes and words are easy for a linear model, too.
    "gate": {"min_f1_m": 0.8, "above_reference": False},
    "serving": {"abstention": {"max_conflict": 0.2}},
}


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """A run and what it showed."""

    config_path: pathlib.Path
    code: int
    text: str

    @property
    def config(self):
        return load_config(self.config_path)


def write_config(folder: pathlib.Path, manifest: str, **changes) -> pathlib.Path:
    """Writes the tiny configuration into `folder`, outputs beside it."""
    content = {
        **TINY,
        "data": {"source": "manifest", "manifest": manifest},
        "paths": {"root": str(folder / "run")},
        **changes,
    }
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def run_once(config_path: pathlib.Path) -> FinishedRun:
    """Runs the pipeline in this process: importing TensorFlow takes longer than a cached run."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        code = run(load_config(config_path))
    return FinishedRun(config_path, code, shown.getvalue())


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """The first run, on data that can be learnt, some rows of which lack a modality.

    `pristine` beside it is its folder as the run left it.
    """
    folder = tmp_path_factory.mktemp("shapes")
    finished = run_once(write_config(folder, write_shapes(folder / "data", lacking=True)))
    shutil.copytree(finished.config.root, folder / "pristine", symlinks=True)
    return finished
