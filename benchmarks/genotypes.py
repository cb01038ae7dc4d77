"""What the choice of a genotype is worth: `python -m benchmarks.genotypes`.

Random genotypes of HF-MNAS are trained alone, each from several seeds, on the features of a configuration. What they
say of dev and test is kept. From this library follow, without another training:

- the spread of the genotypes, apart from that of the seeds: how much there is to win;
- how well cheap scores rank them (Kendall's tau with the test score from another seed);
- what a race wins over one genotype and over random search of equal epochs, and what voting adds. A race drawn from the
  library has `CANDIDATES` genotypes, keeps a quarter after 2 epochs and the best after 6, which goes on to the end. Its
  learning rate falls over all epochs; nothing is trained twice.

Means are over many draws from the library. Intervals are over libraries: the genotypes are drawn anew with replacement,
and of equal ones one is a candidate, so that the races of the intervals are a little smaller.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# The settings of the log come with it, before TensorFlow is imported.
import pipeline.local_runner  # isort: skip # noqa: F401

import click
import numpy as np
import scipy.stats
from sklearn.metrics import f1_score

from hfmnas_keras.atomic_file import atomic_file
from hfmnas_keras.data.feature_set import FeatureSet
from hfmnas_keras.genotype.random_genotype import random_genotype
from hfmnas_keras.search.graph_rewriting import without_graph_rewriting
from hfmnas_keras.search.strategies.candidate_training import CandidateTraining
from hfmnas_keras.training.ensemble_selection import select_votes, vote
from pipeline.config import RunConfig
from pipeline.config_file import load_config

CANDIDATES, RUNGS, KEPT, VOTERS = 16, (2, 6), 4, (2, 4, 8)
_DRAWS, _LIBRARIES = 200, 60


@dataclasses.dataclass(frozen=True)
class Library:
    """What genotypes did, each trained alone.

    Args:
        dev_loss, dev_f1, train_loss: arrays `(genotypes, seeds, epochs)`.
        dev_logits, test_logits: arrays `(genotypes, seeds, rows, classes)`, after the last epoch.
        dev_labels, test_labels: int arrays `(rows,)`.
    """

    dev_loss: np.ndarray
    dev_f1: np.ndarray
    train_loss: np.ndarray
    dev_logits: np.ndarray
    test_logits: np.ndarray
    dev_labels: np.ndarray
    test_labels: np.ndarray

    @property
    def epochs(self) -> int:
        return self.dev_loss.shape[2]

    @functools.cached_property
    def test_f1(self) -> np.ndarray:
        """`(genotypes, seeds)`."""
        return np.array([[self.f1(logits) for logits in seeds] for seeds in self.test_logits])

    def f1(self, test_logits: np.ndarray) -> float:
        return float(f1_score(self.test_labels, test_logits.argmax(axis=1), average="macro", zero_division=0))

    def voted_f1(self, genotypes: Sequence[int], seeds: Sequence[int]) -> float:
        """Test F1 of the vote that dev chooses among trainings, each given by its genotype and its seed."""
        trainings = list(zip(genotypes, seeds, strict=True))
        votes = select_votes(self.dev_labels, [self.dev_logits[training] for training in trainings])
        return self.f1(vote([self.test_logits[training] for training in trainings], votes, multi_label=False))


def train_library(
    config: RunConfig,
    splits: Mapping[str, FeatureSet],
    num_outputs: int,
    genotypes: int,
    seeds: int,
    epochs: int,
    folder: pathlib.Path,
) -> Library:
    """Trains what is not in the folder yet, seed by seed, and reads it all."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(seeds):
        missing = [number for number in range(genotypes) if not _path(folder, number, seed).exists()]
        if not missing:
            continue
        race = dataclasses.replace(config.search.race, rungs=(epochs,), label_smoothing=config.training.label_smoothing)
        settings = dataclasses.replace(
            config.search, strategy="random", seed=seed, weight_decay=config.training.weight_decay, race=race
        )
        with without_graph_rewriting():
            training = CandidateTraining(
                splits["train"],
                splits["dev"],
                num_outputs,
                settings,
                folder / f"seed_{seed}",
                {"epochs": epochs, "seed": seed},
                config.fusion,
                config.mitigation,
                config.space,
            )
            for number in missing:
                history = training.train(number, random_genotype(config.space, config.fusion, number), epochs)
                logits = {split: training.logits(number, splits[split]) for split in ("dev", "test")}
                with atomic_file(_path(folder, number, seed)) as file:
                    np.savez(file, history=np.array(json.dumps(history)), **logits)
                training.forget(number)
    return read_library(folder, genotypes, seeds, splits)


def read_library(folder: pathlib.Path, genotypes: int, seeds: int, splits: Mapping[str, FeatureSet]) -> Library:
    entries = [
        [np.load(_path(folder, number, seed), allow_pickle=False) for seed in range(seeds)]
        for number in range(genotypes)
    ]

    def gathered(read: Callable[[Any], Any]) -> np.ndarray:
        return np.array([[read(entry) for entry in row] for row in entries])

    def of_epochs(key: str) -> np.ndarray:
        return gathered(lambda entry: [epoch[key] for epoch in json.loads(str(entry["history"]))])

    return Library(
        dev_loss=of_epochs("dev_loss"),
        dev_f1=of_epochs("dev_macro_f1"),
        train_loss=of_epochs("train_loss"),
        dev_logits=gathered(lambda entry: entry["dev"]),
        test_logits=gathered(lambda entry: entry["test"]),
        dev_labels=splits["dev"].labels,
        test_labels=splits["test"].labels,
    )


def spread(scores: np.ndarray) -> dict[str, float]:
    """Standard deviations of genotypes and of seeds, by the variance components of a one-way layout.

    Args:
        scores: array `(genotypes, seeds)`.

    Returns:
        dict: `mean`, `genotypes` (0 where they spread less than the seeds explain), `seeds`, and `p` of the F test that
        the genotypes are all alike. With one seed the two cannot be parted and all is in `genotypes`.
    """
    seeds = scores.shape[1]
    if seeds == 1:
        return {"mean": float(scores.mean()), "genotypes": float(scores.std(ddof=1)), "seeds": np.nan, "p": np.nan}
    between, within = seeds * scores.mean(axis=1).var(ddof=1), scores.var(axis=1, ddof=1).mean()
    return {
        "mean": float(scores.mean()),
        "genotypes": float(np.sqrt(max(0.0, (between - within) / seeds))),
        "seeds": float(np.sqrt(within)),
        "p": float(scipy.stats.f_oneway(*scores).pvalue),
    }


def rankings(library: Library) -> dict[str, tuple[float, float]]:
    """Kendall's tau of each cheap score with the test F1 from another seed, the mean over pairs of seeds, and its p.

    With one seed both are of the same training.
    """
    last = library.epochs - 1
    cheap = {
        "dev loss, 2 epochs": -library.dev_loss[:, :, 1],
        "dev F1, 2 epochs": library.dev_f1[:, :, 1],
        "sum of training losses, 2 epochs": -library.train_loss[:, :, :2].sum(axis=2),
        "dev loss, 6 epochs": -library.dev_loss[:, :, min(5, last)],
        "dev F1, 6 epochs": library.dev_f1[:, :, min(5, last)],
        "sum of training losses, 6 epochs": -library.train_loss[:, :, :6].sum(axis=2),
        "dev loss, all epochs": -library.dev_loss[:, :, last],
        "dev F1, all epochs": library.dev_f1[:, :, last],
    }
    f1 = library.test_f1
    seeds = f1.shape[1]
    pairs = [(one, other) for one in range(seeds) for other in range(seeds) if one != other or seeds == 1]
    told = {}
    for name, scores in cheap.items():
        taus = [scipy.stats.kendalltau(scores[:, one], f1[:, other]) for one, other in pairs]
        told[name] = (float(np.mean([tau.statistic for tau in taus])), float(np.mean([tau.pvalue for tau in taus])))
    return told


def arms(library: Library, genotypes: np.ndarray, generator: np.random.Generator, draws: int) -> dict[str, float]:
    """Mean test F1 of each way to a model, over draws of candidates from some genotypes of the library."""
    f1, last = library.test_f1, library.epochs
    sums: dict[str, list[float]] = {}
    for _ in range(draws):
        seed = int(generator.integers(f1.shape[1]))
        distinct = np.unique(genotypes)
        drawn = generator.permutation(distinct)[:CANDIDATES]
        by = {epochs: library.dev_loss[:, seed, min(epochs, last) - 1] for epochs in (*RUNGS, last)}
        finalists = sorted(drawn, key=lambda one: by[RUNGS[0]][one])[:KEPT]
        searched = drawn[: searched_trainings(last)]
        voters = drawn[: voting_trainings(last)]
        values = {
            "one random genotype": f1[drawn, seed].mean(),
            "race": f1[min(finalists, key=lambda one: by[RUNGS[1]][one]), seed],
            "random search, equal epochs": f1[min(searched, key=lambda one: by[last][one]), seed],
            "the best of all on test (oracle)": f1[drawn, seed].max(),
            "race, its finalists vote": library.voted_f1(finalists, [seed] * len(finalists)),
            "random genotypes vote, equal epochs": library.voted_f1(voters, [seed] * len(voters)),
            **{
                f"{size} random genotypes vote": library.voted_f1(drawn[:size], [seed] * len(drawn[:size]))
                for size in VOTERS
            },
        }
        seeds = range(f1.shape[1])
        if len(seeds) > 1:
            values[f"{len(seeds)} seeds of one genotype vote"] = library.voted_f1([drawn[0]] * len(seeds), seeds)
        for name, value in values.items():
            sums.setdefault(name, []).append(float(value))
    return {name: float(np.mean(values)) for name, values in sums.items()}


def race_epochs(last: int, finalists: int = 1) -> int:
    """Epochs of a race whose `finalists` best go on to the end, of 16 candidates and 4 finalists at the end."""
    return CANDIDATES * RUNGS[0] + KEPT * (RUNGS[1] - RUNGS[0]) + finalists * (last - RUNGS[1])


def searched_trainings(last: int) -> int:
    """Full trainings for the epochs of a race."""
    return max(1, round(race_epochs(last) / last))


def voting_trainings(last: int) -> int:
    """Full trainings for the epochs of a race whose finalists all go on."""
    return max(1, round(race_epochs(last, KEPT) / last))


def table(library: Library) -> list[str]:
    """All of it in Markdown."""
    f1, generator = library.test_f1, np.random.default_rng(0)
    count = len(f1)
    parts = spread(f1)
    lines = [
        f"{count} genotypes, {f1.shape[1]} seeds, {library.epochs} epochs. Test macro F1 {parts['mean']:.3f}; standard "
        f"deviation of genotypes {parts['genotypes']:.4f}, of seeds {parts['seeds']:.4f}; genotypes all alike: p "
        f"{parts['p']:.2f}.",
        "",
        "| cheap score | Kendall's tau with test F1 from another seed | p |",
        "| --- | --- | --- |",
        *(f"| {name} | {tau:+.2f} | {p:.3f} |" for name, (tau, p) in rankings(library).items()),
        "",
        "| way | epochs | test macro F1 | above one random genotype, 95 % |",
        "| --- | --- | --- | --- |",
    ]
    epochs = {
        "one random genotype": library.epochs,
        "race": race_epochs(library.epochs),
        "random search, equal epochs": searched_trainings(library.epochs) * library.epochs,
        "race, its finalists vote": race_epochs(library.epochs, KEPT),
        "random genotypes vote, equal epochs": voting_trainings(library.epochs) * library.epochs,
        **{f"{size} random genotypes vote": size * library.epochs for size in VOTERS},
        f"{f1.shape[1]} seeds of one genotype vote": f1.shape[1] * library.epochs,
    }
    found = arms(library, np.arange(count), generator, _DRAWS)
    resampled = [
        arms(library, generator.integers(count, size=count), generator, max(1, _DRAWS // 40)) for _ in range(_LIBRARIES)
    ]
    base = "one random genotype"
    for name, value in found.items():
        low, high = np.percentile([one[name] - one[base] for one in resampled], [2.5, 97.5])
        gain = "" if name == base else f"{value - found[base]:+.4f}, {low:+.4f} to {high:+.4f}"
        lines.append(f"| {name} | {epochs.get(name, '')} | {value:.4f} | {gain} |")
    return lines


def _path(folder: pathlib.Path, number: int, seed: int) -> pathlib.Path:
    return folder / f"genotype_{number}_seed_{seed}.npz"


@click.command(help="Measures what the choice of a genotype is worth.")
@click.option("--config", "config_path", default="demo", show_default=True, help="Configuration, of one label.")
@click.option("--genotypes", default=32, show_default=True, type=click.IntRange(CANDIDATES))
@click.option("--seeds", default=2, show_default=True, type=click.IntRange(1))
@click.option("--epochs", default=15, show_default=True, type=click.IntRange(RUNGS[-1]), help="Of each training.")
@click.option(
    "--output", default="runs/benchmark/genotypes", show_default=True, help="Folder; the library is kept there."
)
def main(config_path: str, genotypes: int, seeds: int, epochs: int, output: str) -> None:
    """Trains the library and prints the tables."""
    from pipeline.studies.study_data import prepare_study_data

    config = load_config(config_path)
    data = prepare_study_data(config, pathlib.Path("runs/studies"))
    splits = {split: data.read(split) for split in ("train", "dev", "test")}
    folder = pathlib.Path(output) / f"{config.name}-{data.digest}-{epochs}_epochs"
    library = train_library(config, splits, data.num_outputs, genotypes, seeds, epochs, folder)
    lines = table(library)
    (folder / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
