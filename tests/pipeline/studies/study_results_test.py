"""What is said of cells that are there."""

from __future__ import annotations

import types

import numpy as np

from pipeline.config import load_config, with_overrides
from pipeline.studies import study_results
from pipeline.studies.cell import Cell
from pipeline.studies.cell_store import CellStore
from pipeline.studies.statistics import bootstrap_interval
from pipeline.studies.study import Study
from pipeline.studies.study_results import StudyResults
from pipeline.studies.variant import SEARCHED, Variant


def test_what_takes_long_is_computed_once_however_often_the_results_are_written(tmp_path, monkeypatch):
    store, generator = CellStore(tmp_path / "cells"), np.random.default_rng(0)
    study = Study("s", "a title", "no table", "gmu", lambda config: [])
    planned = []
    for model in ("gmu", "mmtm"):
        for seed in range(2):
            cell = Cell.of(with_overrides(load_config("demo"), {"model": model}), seed, "made-up", SEARCHED)
            predictions = {
                "ids": np.arange(40).astype(str),
                "labels": np.arange(40) % 9,
                "probabilities": generator.dirichlet(np.ones(9), 40),
            }
            scores = dict.fromkeys(("test_macro_f1", "dev_macro_f1"), float(generator.random()))
            store.write(cell, {"status": "finished", **scores}, predictions)
            planned.append(types.SimpleNamespace(variant=Variant(model), seed=seed, cell=cell))
    compared = []

    def counted(labels, *arguments):
        compared.append(len(labels))
        return bootstrap_interval(labels, *arguments)

    monkeypatch.setattr(study_results, "bootstrap_interval", counted)
    results = StudyResults(study, "demo", planned, store)
    for _ in range(2):
        results.write(tmp_path / "study")
    reference, other = results.rows()
    assert compared == [40]
    first, second = (store.read_predictions(planned[place].cell) for place in (2, 0))
    expected = bootstrap_interval(first["labels"], first["probabilities"], second["probabilities"])
    assert "bootstrap" not in reference and other["bootstrap"] == vars(expected)
