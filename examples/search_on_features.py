"""Searches a fusion network on features in .npz files and saves what it found, without the pipeline.

`python examples/search_on_features.py train.npz dev.npz -o found` reads arrays `ids`, `labels` and one for each feature
(`text_low`, `text_high`, `image_low`, `image_high`) and writes `genotype.json`, the report of the search and
`fusion.keras`. Killed, the same command goes on.
"""

from __future__ import annotations

import argparse
import pathlib

import numpy as np

from hfmnas_keras import (
    FeatureSet,
    FinalModelSettings,
    FusionSettings,
    SearchSettings,
    SpaceSettings,
    TrainingSettings,
    search_architecture,
    train_fusion_network,
)


def read_rows(path: str) -> FeatureSet:
    """The rows of a file; what is neither ids nor labels is a feature."""
    with np.load(path, allow_pickle=False) as arrays:
        content = {name: arrays[name] for name in arrays.files}
    ids, labels = content.pop("ids"), content.pop("labels")
    return FeatureSet(ids, {name: array.astype("float32") for name, array in content.items()}, labels)


def search_and_train(
    train: FeatureSet, dev: FeatureSet, folder: pathlib.Path, channels: int, epochs: int, space: SpaceSettings
) -> float:
    """Writes genotype, report and network into a folder and returns the macro F1 on dev."""
    num_outputs = train.labels.shape[1] if train.multi_label else int(train.labels.max()) + 1
    fusion = FusionSettings()
    found = search_architecture(
        train,
        dev,
        num_outputs,
        fusion,
        SearchSettings(channels=channels, epochs=epochs),
        checkpoint_dir=folder / "checkpoints" / "search",
        report_dir=folder / "report",
        space=space,
    )
    found.genotype.save(folder / "genotype.json")
    trained = train_fusion_network(
        found.genotype,
        train,
        dev,
        num_outputs,
        fusion,
        # Features are given, so there are no backbones to train.
        TrainingSettings(max_epochs=epochs, unfreeze_backbones=False),
        checkpoint_dir=folder / "checkpoints" / "training",
        final_model=FinalModelSettings(channels=channels),
    )
    trained.fusion_network.save(folder / "fusion.keras")
    return trained.dev_macro_f1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train")
    parser.add_argument("dev")
    parser.add_argument("-o", "--output", type=pathlib.Path, default=pathlib.Path("found"))
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=31)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    score = search_and_train(
        read_rows(arguments.train),
        read_rows(arguments.dev),
        arguments.output,
        arguments.channels,
        arguments.epochs,
        SpaceSettings(),
    )
    print(f"macro F1 on dev {score:.3f}; see {arguments.output}")


if __name__ == "__main__":
    main()
