"""Runs a study: features, trials, results."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pipeline.config import RunConfig
from pipeline.config_file import with_overrides
from pipeline.studies.study import Study
from pipeline.studies.study_data import StudyData, prepare_study_data
from pipeline.studies.study_results import StudyResults, shortened
from pipeline.studies.trial import Trial
from pipeline.studies.trial_store import FINISHED, TrialStore
from pipeline.studies.trial_workers import train_trials
from pipeline.studies.variant import Variant

#: Sections of a configuration on which the features depend: each choice of them is a run of the pipeline.
_DATA_SECTIONS = ("data", "preparation", "backbones", "pretraining")


@dataclasses.dataclass(frozen=True)
class PlannedTrial:
    """A trial and the place in the study that it has.

    Args:
        variant: `Variant`.
        seed: int.
        trial: `Trial`.
        data: `StudyData`.
    """

    variant: Variant
    seed: int
    trial: Trial
    data: StudyData


def run_study(
    study: Study,
    config: RunConfig,
    seeds: int,
    root: pathlib.Path,
    workers: int,
    fresh: bool = False,
    show: Callable[[str], None] = print,
    prepare: Callable[[RunConfig, pathlib.Path], StudyData] = prepare_study_data,
) -> StudyResults:
    """Trains what is not trained yet and writes the results to `<root>/<config's name>/<study's name>/`.

    Trials lie in `<root>/trials/` and are shared by all studies: what is finished is reused, and what was cut off goes
    on. The results are written anew after each seed of all variants, and when the study is stopped.

    Args:
        study: `Study`.
        config: `RunConfig` that the variants change.
        seeds: int. Each variant is trained from the seeds 0 to this number less one.
        root: folder of all studies.
        workers: int. Processes that train; 0 trains in this one.
        fresh: bool. Train the study's trials again. Defaults to `False`.
        show: function that prints a line. Defaults to `print`.
        prepare: function from a configuration and `root` to its `StudyData`. Defaults to `prepare_study_data`.

    Returns:
        `StudyResults`.

    Raises:
        ValueError: when a variant does not describe a run.
        RuntimeError: when there are no features.
    """
    store = TrialStore(root / "trials")
    planned = plan(study, config, seeds, lambda run: prepare(run, root))
    if fresh:
        for place in planned:
            store.remove(place.trial)
    jobs: dict[str, tuple[Trial, StudyData]] = {}
    for place in planned:
        record = store.read(place.trial)
        if record is None or record["status"] != FINISHED:
            jobs[place.trial.name] = (place.trial, place.data)
    all_names = {place.trial.name for place in planned}
    show(
        f"Study {study.name!r}: {len(all_names)} trials, {len(all_names) - len(jobs)} of them trained before, "
        f"{len(jobs)} to train with {workers or 'no'} workers."
    )
    results = StudyResults(study, config, planned, store)
    names = {place.trial.name: f"{place.variant.name}, seed {place.seed}" for place in reversed(planned)}
    progress = _Progress(list(jobs.values()), max(workers, 1))
    try:
        for number, (trial, record, seconds) in enumerate(train_trials(list(jobs.values()), store, workers), start=1):
            left = progress.after(trial, seconds)
            show(f"[{number:3d}/{len(jobs)}] {names[trial.name]}: {_told(record)}, {_duration(seconds)}; {left}")
            if number % len(study.variants(config)) == 0:
                results.write(root / config.name / study.name)
    finally:
        folder = results.write(root / config.name / study.name)
        show(results.to_markdown())
        show(f"Written to {folder}.")
    return results


def plan(study: Study, config: RunConfig, seeds: int, prepare: Callable[[RunConfig], StudyData]) -> list[PlannedTrial]:
    """The trials of a study, seed by seed, so that a study that is stopped has all variants of the first seeds."""
    if seeds < 1:
        raise ValueError(f"`seeds` must be at least 1. Received: {seeds}.")
    # No trial is tuned, and the choices are of the configuration's own model, not of every variant's.
    config = with_overrides(config, {"tuning": None})
    variants = study.variants(config)
    # All are checked before the first features are made.
    configs = [with_overrides(config, variant.overrides) for variant in variants]
    data: dict[str, StudyData] = {}
    data_of_variants = []
    for variant in variants:
        of_data = {key: value for key, value in variant.overrides.items() if key.split(".")[0] in _DATA_SECTIONS}
        data_config = with_overrides(config, of_data)
        key = data_config.model_dump_json()
        if key not in data:
            data[key] = prepare(data_config)
        data_of_variants.append(data[key])
    return [
        PlannedTrial(variant, seed, Trial.of(run, seed, of_variant.digest, variant.genotype), of_variant)
        for seed in range(max(seeds, *(variant.least_seeds for variant in variants)))
        for variant, run, of_variant in zip(variants, configs, data_of_variants, strict=True)
        if seed < max(seeds, variant.least_seeds)
    ]


def _told(record: dict[str, Any]) -> str:
    if record["status"] != FINISHED:
        return f"FAILED: {shortened(record['reason'])}"
    return f"macro F1 {record['test_macro_f1']:.3f} on test, {record['dev_macro_f1']:.3f} on dev"


class _Progress:
    """Tells how long the rest will take, by what trials of the same model took."""

    def __init__(self, jobs: Sequence[tuple[Trial, StudyData]], workers: int):
        self.left = [trial for trial, _ in jobs]
        self.workers = workers
        self.seconds: dict[str, list[float]] = {}

    def after(self, trial: Trial, seconds: float) -> str:
        """Words on the time left once `trial` has ended."""
        self.left.remove(trial)
        self.seconds.setdefault(_kind(trial), []).append(seconds)
        if not self.left:
            return "none left"
        means = {kind: float(np.mean(values)) for kind, values in self.seconds.items()}
        unknown = [kind for kind in map(_kind, self.left) if kind not in means]
        slowest = max(means.values())
        total = sum(means.get(_kind(other), slowest) for other in self.left)
        # More workers than trials would idle.
        total /= min(self.workers, len(self.left))
        return f"{'more than ' if unknown else 'about '}{_duration(total)} left"


def _kind(trial: Trial) -> str:
    return f"searched {trial.model}" if trial.search is not None else "not searched"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
