"""A study on features that are made up."""

from __future__ import annotations

import pathlib

import numpy as np

from hfmnas_keras.data.feature_files import write_feature_set
from hfmnas_keras.data.feature_set import FeatureSet
from pipeline.config import RunConfig
from pipeline.studies.study import Study
from pipeline.studies.study_data import StudyData
from pipeline.studies.variant import Variant

CLASSES = 3


def tiny_config() -> RunConfig:
    """A configuration whose search and training take seconds."""
    return RunConfig.model_validate(
        {
            "name": "tiny",
            "preparation": {"classes": ["a", "b", "c"]},
            "fusion": {"grid": [2, 2], "num_heads": 2},
            "mitigation": {"correlation_dim": 4},
            "space": {"num_nodes": 1, "kept_nodes": 1},
            "final_model": {"channels": 8, "sequence_encoder": False},
            "search": {"channels": 4, "epochs": 1, "batch_size": 16, "discretised_every": 0},
            "training": {"max_epochs": 3, "patience": 3, "batch_size": 16, "learning_rate": 0.01},
            "gate": {"min_f1_m": 0.0},
        }
    )


def make_rows(rows: int, seed: int) -> FeatureSet:
    """Rows whose label one modality or the other tells, not without errors."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, CLASSES, size=rows)
    shapes = {"text_low": (6,), "text_high": (5,), "image_low": (2, 2, 4), "image_high": (2, 2, 3)}
    features = {}
    for name, shape in shapes.items():
        signal = (labels == (0 if name.startswith("text") else 1)).reshape(rows, *[1] * len(shape))
        features[name] = (generator.normal(size=(rows, *shape)) + signal).astype("float32")
    return FeatureSet(np.array([f"row-{row}" for row in range(rows)]), features, labels)


def write_data(folder: pathlib.Path) -> StudyData:
    """Writes the three splits."""
    folders = {}
    for seed, (split, rows) in enumerate({"train": 64, "dev": 32, "test": 40}.items()):
        folders[split] = str(folder / split)
        write_feature_set(make_rows(rows, seed), folders[split])
    return StudyData(folders, CLASSES, None, "made-up")


def tiny_study(*models: str) -> Study:
    """A study of some models, compared with the first."""
    return Study(
        "tiny",
        "tiny models",
        "no table",
        models[0],
        lambda config: [Variant(model, {"model": model}) for model in models],
    )
