"""The files that tell how a search went."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from hfmnas_keras.genotype.drawing import draw, to_dot, to_mermaid
from hfmnas_keras.search.drawing import draw_search
from hfmnas_keras.search.search_result import SearchResult
from hfmnas_keras.settings.search import SearchSettings

_HEAD_KEYS = ("train_macro_f1", "dev_macro_f1", "cross_fitted_macro_f1", "warning")


class SearchReport:
    """Writes a search into a folder.

    `genotype.json`; `search.json` (settings, epoch of the genotype, verdict, warnings, scores of the unimodal heads,
    history, probabilities, cost, travel, candidates); the genotype as `genotype.mmd` (Mermaid) and `genotype.dot`, and
    where matplotlib is installed (extra `plots`) as `genotype.svg` and `genotype.png`, with the curves of the history
    in `search.svg` and `search.png`; TensorBoard logs under `tensorboard/`.

    Args:
        folder: made when missing.
        unimodal_heads: optional records of `pretrain_backbones` by modality, of which `search.json` shows the scores on
            train and dev and the warning of a wide gap: a search is worth no more than the features it reads.
    """

    def __init__(self, folder: str | os.PathLike, unimodal_heads: Mapping[str, Mapping[str, Any]] | None = None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._unimodal_heads = {
            modality: {key: record[key] for key in _HEAD_KEYS} for modality, record in (unimodal_heads or {}).items()
        }
        self._writer: Any = None

    def begin(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Starts the TensorBoard logs anew, with the epochs that there are: each epoch is in them once.

        A search that goes on elsewhere, or was cut off after an epoch's log and before its checkpoint, would leave a
        gap or write an epoch twice.
        """
        folder = self.folder / "tensorboard"
        for earlier in folder.glob("events.out.tfevents.*"):
            earlier.unlink()
        self._writer = tf.summary.create_file_writer(str(folder))
        for record in history:
            self.write_epoch(record)

    def write_epoch(self, record: Mapping[str, Any]) -> None:
        """Adds one epoch to the TensorBoard logs: its numbers as scalars, its probabilities as histograms."""
        with self._writer.as_default(step=record["epoch"]):
            for name, value in record.items():
                if isinstance(value, float):
                    tf.summary.scalar(f"search/{name}", value)
            for name, values in record["probabilities"].items():
                tf.summary.histogram(f"probabilities/{name}", np.asarray(values))
        self._writer.flush()

    def write(self, result: SearchResult, settings: SearchSettings) -> None:
        """Writes all but the TensorBoard logs."""
        for head in self._unimodal_heads.values():
            if head["warning"]:
                logging.warning("The search read features of a head that knows its rows. %s", head["warning"])
        if self._writer is not None:
            self._writer.close()
        report = {
            "settings": dataclasses.asdict(settings),
            "epoch": result.epoch,
            "verdict": result.verdict,
            "warnings": [dataclasses.asdict(warning) for warning in result.warnings],
            "unimodal_heads": self._unimodal_heads,
            "travel": result.travel,
            "cost": result.cost,
            "probabilities": {name: np.asarray(values).tolist() for name, values in result.probabilities.items()},
            "history": result.history,
            "candidates": result.candidates,
        }
        (self.folder / "search.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        result.genotype.save(self.folder / "genotype.json")
        (self.folder / "genotype.mmd").write_text(to_mermaid(result.genotype), encoding="utf-8")
        (self.folder / "genotype.dot").write_text(to_dot(result.genotype), encoding="utf-8")
        try:
            for suffix in ("svg", "png"):
                draw(result.genotype, self.folder / f"genotype.{suffix}")
                draw_search(result.history, self.folder / f"search.{suffix}")
        except ImportError as error:
            logging.info("The genotype is drawn as text only: %s", error)
