"""What a study came to: numbers, a table and a figure."""

from __future__ import annotations

import json
import pathlib
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

import hfmnas_keras
from hfmnas_keras.atomic_file import atomic_file
from hfmnas_keras.search.diagnosis import VERDICTS
from pipeline.studies.published import data_of_the_paper, published_beside
from pipeline.studies.statistics import Interval, bootstrap_interval, paired_interval, spread, unpaired_interval
from pipeline.studies.study import Study
from pipeline.studies.trial_store import FINISHED, TrialStore
from pipeline.studies.variant import RANDOM, Variant

if TYPE_CHECKING:
    from pipeline.config import RunConfig
    from pipeline.studies.run_study import PlannedTrial
    from pipeline.studies.trial import Trial

_COLUMNS = (
    "variant",
    "macro F1 on test",
    "weighted F1",
    "accuracy",
    "seeds",
    "dev",
    "difference, 95 %",
    "parameters",
    "MFLOPs",
    "search, s",
    "training, s",
    "latency, ms",
    "row of the paper",
    "published there, %",
)
_SCORES = ("test_macro_f1", "test_weighted_f1", "test_accuracy", "dev_macro_f1", "train_macro_f1")
_COSTS = ("parameters", "flops", "latency_ms", "epochs", "training_seconds", "search_seconds")
_LONGEST_REASON = 400


class StudyResults:
    """Reads the trials of a study and says what they show.

    Args:
        study: `Study`.
        config: `RunConfig` that the study was given.
        planned: the study's trials; those not trained yet are left out.
        store: `TrialStore`.
    """

    def __init__(self, study: Study, config: RunConfig, planned: Sequence[PlannedTrial], store: TrialStore):
        self.study = study
        self.config = config
        self._planned = planned
        self._store = store
        # Kept by the names of the two trials: one takes half a minute on a large test split.
        self._bootstraps: dict[tuple[str, str], Interval | None] = {}

    def rows(self) -> list[dict[str, Any]]:
        """One dict a variant, in the study's order.

        Keys: `variant`, `row`, `published`, `seeds` (those that are finished), lists by seed of the scores and costs of
        `train_trial`, `mean` and `std` of the test macro F1, `failed` (reasons by seed), `verdicts` of the searches,
        `reference`, and of all but a reference `over_seeds` (paired by the seeds that both have; of random genotypes,
        whose seed draws another genotype each, unpaired, over all) and `bootstrap` (over the test rows, first seed that
        both have), each `{difference, low, high}` or None, and `told`: what they say in words.
        """
        variants = list(dict.fromkeys(place.variant.name for place in self._planned))
        places = {
            name: {place.seed: place for place in self._planned if place.variant.name == name} for name in variants
        }
        finished: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in variants}
        failed: dict[str, dict[int, str]] = {name: {} for name in variants}
        for name in variants:
            for seed, place in places[name].items():
                record = self._store.read(place.trial)
                if record is not None and record["status"] == FINISHED:
                    finished[name][seed] = record
                elif record is not None:
                    failed[name][seed] = record["reason"]
        rows = []
        for name in variants:
            records = list(finished[name].values())
            variant: Variant = next(iter(places[name].values())).variant
            scores = [record["test_macro_f1"] for record in records]
            row: dict[str, Any] = {
                "variant": name,
                "row": variant.row,
                "published": dict(variant.published),
                "overrides": dict(variant.overrides),
                "seeds": list(finished[name]),
                "failed": failed[name],
                **{key: [record.get(key) for record in records] for key in (*_SCORES, *_COSTS)},
                "verdicts": [record["verdict"] for record in records if "verdict" in record],
                "mean": float(np.mean(scores)) if scores else None,
                "std": spread(scores),
                "reference": self.study.reference_of(variant),
            }
            if row["reference"] != name:
                row.update(self._compared(name, row["reference"], finished, places))
            rows.append(row)
        return rows

    def to_markdown(self) -> str:
        """The table, with what the differences say below it."""
        rows = self.rows()
        lines = [
            f"### {self.study.title} ({self.study.paper})",
            "",
            "| " + " | ".join(_COLUMNS) + " |",
            "| " + " | ".join("---" for _ in _COLUMNS) + " |",
        ]
        data = data_of_the_paper(self.config)
        lines += ["| " + " | ".join(_columns(row, data)) + " |" for row in rows]
        lines += [
            "",
            f"Configuration `{self.config.name}`, hfmnas-keras {hfmnas_keras.__version__}: mean ± sample standard "
            "deviation over the seeds of search and final training, on features that were extracted once (backbones "
            "frozen). The dev split chooses; each model reads the test split once. Differences are to the row's "
            "reference, paired by seed, with the interval of Student's t (random genotypes: unpaired, Welch's t).",
            "",
            *(f"- {row['variant']}: {row['told']}" for row in rows if "told" in row),
            *(f"- {row['variant']}: {doubt}" for row in rows if (doubt := _doubt(row["verdicts"]))),
            *(
                f"- {row['variant']}, seed {seed}: failed. {shortened(reason)}"
                for row in rows
                for seed, reason in row["failed"].items()
            ),
        ]
        return "\n".join(lines) + "\n"

    def write(self, folder: pathlib.Path) -> pathlib.Path:
        """Writes `results.json`, `table.md` and, where matplotlib is installed (extra `plots`), `figure.png`.

        Returns:
            `folder`.
        """
        rows = self.rows()
        content = {
            "study": self.study.name,
            "paper": self.study.paper,
            "config": self.config.name,
            "version": hfmnas_keras.__version__,
            "rows": rows,
        }
        with atomic_file(folder / "results.json") as file:
            file.write(json.dumps(content, indent=1).encode("utf-8") + b"\n")
        with atomic_file(folder / "table.md") as file:
            file.write(self.to_markdown().encode("utf-8"))
        try:
            with atomic_file(folder / "figure.png") as file:
                self.study.draw(rows, self.study.title, file)
        except ImportError as error:
            logging.info("The study is not drawn: %s", error)
        return folder

    def _compared(self, name: str, reference: str, finished: Any, places: Any) -> dict[str, Any]:
        scores = {
            variant: {seed: record["test_macro_f1"] for seed, record in finished[variant].items()}
            for variant in (name, reference)
        }
        seeds = [seed for seed in scores[name] if seed in scores[reference]]
        if not seeds:
            return {"over_seeds": None, "bootstrap": None, "told": f"nothing to compare with {reference} yet."}
        if RANDOM in (next(iter(places[variant].values())).variant.genotype for variant in scores):
            # That a searched model and a random one share a number makes them no pair.
            over_seeds = unpaired_interval(*(list(values.values()) for values in scores.values()))
            compared = f"{len(scores[name])} genotypes and {len(scores[reference])} seeds"
        else:
            over_seeds = paired_interval(*([values[seed] for seed in seeds] for values in scores.values()))
            compared = f"{len(seeds)} seeds"
        rows = self._bootstrapped(*(places[variant][seeds[0]].trial for variant in (name, reference)))
        return {
            "over_seeds": over_seeds and vars(over_seeds),
            "bootstrap": rows and vars(rows),
            "told": _told(reference, over_seeds, rows, compared, seeds[0]),
        }

    def _bootstrapped(self, trial: Trial, reference: Trial) -> Interval | None:
        """`None` where the two were not tested on the same rows."""
        names = (trial.name, reference.name)
        if names not in self._bootstraps:
            own, other = (self._store.read_predictions(one) for one in (trial, reference))
            self._bootstraps[names] = (
                bootstrap_interval(
                    own["labels"],
                    own["probabilities"],
                    other["probabilities"],
                    (own["thresholds"], other["thresholds"]),
                )
                if np.array_equal(own["ids"], other["ids"]) and np.array_equal(own["labels"], other["labels"])
                else None
            )
        return self._bootstraps[names]


def shortened(reason: str) -> str:
    """Why a trial failed, as one line: TensorFlow's reasons have dozens."""
    return textwrap.shorten(reason, _LONGEST_REASON)


def _told(reference: str, over_seeds: Interval | None, rows: Interval | None, compared: str, seed: int) -> str:
    parts = []
    if over_seeds is None:
        parts.append(f"too few seeds to compare with {reference}, so nothing is known of others")
    elif over_seeds.excludes_zero:
        word = "above" if over_seeds.difference > 0 else "below"
        parts.append(f"{word} {reference} over {compared}, by {_between(over_seeds)}")
    else:
        parts.append(f"not told apart from {reference} by {compared} ({_between(over_seeds)})")
    if rows is not None:
        word = "differs" if rows.excludes_zero else "does not differ beyond chance"
        parts.append(f"over test rows drawn anew seed {seed} {word} ({_between(rows)})")
    return "; ".join(parts) + "."


def _between(interval: Interval) -> str:
    return f"{interval.difference:+.3f}, {interval.low:+.3f} to {interval.high:+.3f}"


def _doubt(verdicts: Sequence[str]) -> str:
    """How many searches came to a genotype that means little; empty where none did."""
    counts = [f"{verdicts.count(word)} {word}" for word in VERDICTS if word in verdicts]
    return f"of {len(verdicts)} searches {' and '.join(counts)} (docs/method.md, section 7)." if counts else ""


def _columns(row: dict[str, Any], data: str | None) -> list[str]:
    mean = "-" if row["mean"] is None else f"{row['mean']:.3f}"
    if row["std"] is not None:
        mean += f" ± {row['std']:.3f}"
    over_seeds = row.get("over_seeds")
    difference = _between(Interval(**over_seeds)) if over_seeds else ""
    seeds = f"{len(row['seeds'])}" + (f", {len(row['failed'])} failed" if row["failed"] else "")
    return [
        row["variant"],
        mean,
        _mean(row["test_weighted_f1"], "{:.3f}"),
        _mean(row["test_accuracy"], "{:.3f}"),
        seeds,
        _mean(row["dev_macro_f1"], "{:.3f}"),
        "reference" if row["reference"] == row["variant"] else difference,
        _mean(row["parameters"], "{:,.0f}"),
        _mean(row["flops"], "{:.2f}", 1e-6),
        _mean(row["search_seconds"], "{:.0f}"),
        _mean(row["training_seconds"], "{:.0f}"),
        _mean(row["latency_ms"], "{:.2f}"),
        row["row"],
        published_beside(row["published"], data),
    ]


def _mean(values: Sequence[float | None], form: str, scale: float = 1.0) -> str:
    known = [value for value in values if value is not None]
    return form.format(scale * float(np.mean(known))) if known else ""
