"""The linear models of a run: one a modality, one on both together, and the average of the first."""

from __future__ import annotations

import dataclasses
import io
import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse
import scipy.special
from tfx.dsl.io import fileio

from components.linear_references.feature_scales import NumberScale, TextScale, scale_of
from components.linear_references.linear_model import LinearModel
from components.linear_references.raw_rows import RawRows
from hfmnas_keras.evidence.thresholds import choose_thresholds
from hfmnas_keras.optimization.f1_score import macro_f1

JOINED, AVERAGE = "joined", "average"
#: What is tried on dev: how little the coefficients are held back (`C` of scikit-learn).
STRENGTHS = (1.0, 10.0)
_RECORD_FILE, _ARRAYS_FILE, _WORDS_FILE = "references.json", "references.npz", "words.json"
_VERSION = 1


@dataclasses.dataclass(frozen=True)
class LinearReferences:
    """Logistic regression on simple features: what a fused model has to beat.

    Class weights are balanced. Dev chooses each model's strength and, multi-label, its threshold. Everything that was
    learnt lies in plain arrays and words, so that reading it runs nothing.

    Args:
        class_names: tuple of str, in the order of the outputs.
        multi_label: bool.
        scales: `TextScale` or `NumberScale` by modality.
        models: `LinearModel` by name: each modality, and `"joined"`, on the features of both, where there are two.
        thresholds: float by name, `"average"` among them, which averages the modalities' probabilities.
        strengths: float by name.
        dev_macro_f1: float by name.
    """

    class_names: tuple[str, ...]
    multi_label: bool
    scales: dict[str, TextScale | NumberScale]
    models: dict[str, LinearModel]
    thresholds: dict[str, float]
    strengths: dict[str, float]
    dev_macro_f1: dict[str, float]

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that have a model of their own."""
        return tuple(self.scales)

    def probabilities(self, rows: RawRows) -> dict[str, np.ndarray]:
        """Returns each model's probabilities `(rows, classes)`, by name; of `"average"` too."""
        features = _features(self.scales, rows)
        return _with_average(
            {name: model.probabilities(features[name], self.multi_label) for name, model in self.models.items()},
            self.modalities,
        )

    def macro_f1(self, rows: RawRows) -> dict[str, float]:
        """Returns each model's macro F1 on some rows, by name."""
        return {
            name: _macro_f1(rows.labels, probabilities, self.thresholds[name])
            for name, probabilities in self.probabilities(rows).items()
        }

    def save(self, folder: str) -> None:
        """Writes three files: `references.json`, `references.npz` and `words.json`."""
        record = {
            "version": _VERSION,
            "class_names": list(self.class_names),
            "multi_label": self.multi_label,
            "modalities": list(self.modalities),
            "models": {
                name: {
                    "strength": self.strengths.get(name),
                    "threshold": self.thresholds[name] if self.multi_label else None,
                    "dev_macro_f1": score,
                }
                for name, score in self.dev_macro_f1.items()
            },
        }
        arrays = {
            f"{kind}/{name}/{field.name}": getattr(part, field.name)
            for kind, parts in (("scale", self.scales), ("model", self.models))
            for name, part in parts.items()
            for field in dataclasses.fields(part)
            if field.name != "words"
        }
        words = {name: scale.words for name, scale in self.scales.items() if isinstance(scale, TextScale)}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        fileio.makedirs(folder)
        for name, content in (
            (_RECORD_FILE, json.dumps(record, indent=1, ensure_ascii=False)),
            (_WORDS_FILE, json.dumps(words, ensure_ascii=False)),
            (_ARRAYS_FILE, buffer.getvalue()),
        ):
            with fileio.open(os.path.join(folder, name), "wb") as file:
                file.write(content.encode("utf-8") if isinstance(content, str) else content)

    @classmethod
    def load(cls, folder: str) -> LinearReferences:
        """Reads what `save` wrote.

        Raises:
            ValueError: when the files are of another version.
        """
        record, words = (json.loads(_read(folder, name)) for name in (_RECORD_FILE, _WORDS_FILE))
        if record["version"] != _VERSION:
            raise ValueError(f"{folder} has references of version {record['version']}, not {_VERSION}. Run it again.")
        arrays = np.load(io.BytesIO(_read(folder, _ARRAYS_FILE)))
        scales: dict[str, TextScale | NumberScale] = {}
        for name in record["modalities"]:
            if name in words:
                scales[name] = TextScale(tuple(words[name]), arrays[f"scale/{name}/idf"])
            else:
                scales[name] = NumberScale(*(arrays[f"scale/{name}/{part}"] for part in ("mean", "deviation")))
        entries = record["models"]
        return cls(
            class_names=tuple(record["class_names"]),
            multi_label=record["multi_label"],
            scales=scales,
            models={
                name: LinearModel(*(arrays[f"model/{name}/{part}"] for part in ("coefficients", "intercepts")))
                for name in entries
                if name != AVERAGE
            },
            thresholds={name: entry["threshold"] or 0.5 for name, entry in entries.items()},
            strengths={name: entry["strength"] for name, entry in entries.items() if name != AVERAGE},
            dev_macro_f1={name: entry["dev_macro_f1"] for name, entry in entries.items()},
        )


def fit_references(train: RawRows, dev: RawRows, class_names: Sequence[str], multi_label: bool) -> LinearReferences:
    """Fits the linear models on train and chooses their strengths and thresholds on dev.

    Args:
        train, dev: `RawRows` of the same modalities.
        class_names: sequence of str, in the order of the outputs.
        multi_label: bool.

    Returns:
        `LinearReferences`.
    """
    scales = {modality: scale_of(modality, column) for modality, column in train.columns.items()}
    train_features, dev_features = (_features(scales, rows) for rows in (train, dev))
    models, strengths, thresholds, scores, of_dev = {}, {}, {}, {}, {}
    for name, features in train_features.items():
        tried = []
        for strength in STRENGTHS:
            model = LinearModel.fit(features, train.labels, len(class_names), strength)
            probabilities = model.probabilities(dev_features[name], multi_label)
            tried.append((*_best_threshold(dev.labels, probabilities), strength, model, probabilities))
        thresholds[name], scores[name], strengths[name], models[name], of_dev[name] = max(tried, key=lambda one: one[1])
    averaged = _with_average(of_dev, tuple(scales))
    if AVERAGE in averaged:
        thresholds[AVERAGE], scores[AVERAGE] = _best_threshold(dev.labels, averaged[AVERAGE])
    return LinearReferences(tuple(class_names), multi_label, scales, models, thresholds, strengths, scores)


def _features(scales: dict[str, TextScale | NumberScale], rows: RawRows) -> dict[str, Any]:
    """Features by modality and, where there are two, of both side by side."""
    features: dict[str, Any] = {name: scale(rows.columns[name]) for name, scale in scales.items()}
    if len(features) == 2:
        parts = list(features.values())
        if any(map(scipy.sparse.issparse, parts)):
            features[JOINED] = scipy.sparse.hstack(parts, format="csr", dtype=np.float32)
        else:
            features[JOINED] = np.concatenate(parts, axis=1)
    return features


def _with_average(probabilities: dict[str, np.ndarray], modalities: tuple[str, ...]) -> dict[str, np.ndarray]:
    if len(modalities) != 2:
        return probabilities
    return {**probabilities, AVERAGE: np.mean([probabilities[name] for name in modalities], axis=0)}


def _best_threshold(labels: np.ndarray, probabilities: np.ndarray) -> tuple[float, float]:
    """The threshold that dev chooses for all labels, as for a searched model, and the macro F1 with it."""
    threshold = 0.5
    if labels.ndim == 2:
        threshold = float(choose_thresholds(labels, _logits(probabilities), "dev")[0])
    return threshold, _macro_f1(labels, probabilities, threshold)


def _macro_f1(labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> float:
    # With one label a row only the largest counts, be it a probability or a logit.
    return macro_f1(labels, _logits(probabilities), threshold)


def _logits(probabilities: np.ndarray) -> np.ndarray:
    return scipy.special.logit(np.clip(probabilities.astype("float64"), 1e-12, 1 - 1e-12))


def _read(folder: str, name: str) -> bytes:
    with fileio.open(os.path.join(folder, name), "rb") as file:
        return file.read()
