"""A small search on generated features; run as a script, it is the process that a test kills."""

import dataclasses
import json
import pathlib
import sys

import numpy as np

from hfmnas_keras.data.feature_set import FeatureSet
from hfmnas_keras.settings.search import SearchSettings
from tests.hfmnas_keras.network_settings import NetworkSettings

# One node a cell: the graph has all operations and is traced in seconds. BM-NAS gets two steps, whose edges are a
# choice, and the mitigation, whose running covariances are part of the state.
FUSION = NetworkSettings(
    channels=8,
    grid=(2, 2),
    num_nodes=1,
    kept_nodes=1,
    num_heads=2,
    correlation_dim=4,
    inner_steps=2,
    in_bm_nas=True,
)
SETTINGS = SearchSettings(channels=8, epochs=3, batch_size=4, seed=7)


def make_rows(rows, seed, num_classes=3):
    """Features of which the text tells one half of the label and the image the other."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, num_classes, size=rows)
    shapes = {"text_low": (6,), "text_high": (5,), "image_low": (2, 2, 4), "image_high": (2, 2, 3)}
    features = {}
    for name, shape in shapes.items():
        noise = generator.normal(size=(rows, *shape))
        signal = (labels == (0 if name.startswith("text") else 1)).reshape(rows, *[1] * len(shape))
        features[name] = (noise + 2.0 * signal).astype("float32")
    return FeatureSet(np.array([f"row_{i}" for i in range(rows)]), features, labels)


def run_search(folder, report_dir=None, settings=SETTINGS, model="hf_mnas"):
    from hfmnas_keras.search.architecture_search import search_architecture

    train, dev = make_rows(50, 0), make_rows(20, 1)
    return search_architecture(
        train,
        dev,
        3,
        settings=settings,
        checkpoint_dir=folder,
        report_dir=report_dir,
        model=model,
        **FUSION.search(model),
    )


if __name__ == "__main__":
    # A checkpoint after each step, if not told otherwise: how often there is one changes nothing else.
    changes = {"checkpoint_seconds": 0.0, **json.loads(sys.argv[3])}
    run_search(
        pathlib.Path(sys.argv[1]), *sys.argv[4:], settings=dataclasses.replace(SETTINGS, **changes), model=sys.argv[2]
    )
