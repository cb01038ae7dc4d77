"""Fits, predicts and explains on rows of a picture and a text."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from hfmnas_keras.estimator.explanation import Explanation, explain_row
from hfmnas_keras.estimator.fitted_labels import check_dev, checked_classes
from hfmnas_keras.estimator.fitting import MODEL_FOLDER, fit_model
from hfmnas_keras.estimator.labels import Labels, dev_rows, read_labels, value_of
from hfmnas_keras.estimator.presets import FitSettings, fit_settings
from hfmnas_keras.estimator.record import VERSION, read_record, write_record
from hfmnas_keras.estimator.scores import scores_of
from hfmnas_keras.estimator.table import Table, find_columns, read_table
from hfmnas_keras.export.served_model import ServedModel
from hfmnas_keras.genotype.genotype import Genotype
from hfmnas_keras.genotype.load_genotype import load_genotype

_DEV_SHARE = 0.2


class FusionClassifier:
    """A classifier of pictures with texts, whose fusion is searched for your data.

    It runs the functions of the pipeline, without TFX: backbones are pre-trained, or encoders taken where
    `hfmnas encoder fetch` has put them; features are computed once; the search chooses the fusion on the dev rows; the
    final model is trained on train and dev; and all of it is exported with its preparation as one SavedModel, by
    which every prediction is made.

    Args:
        path: optional folder for what is fitted, new or empty. Defaults to a temporary one, which goes with the object:
            `save` it.
        columns: optional dict from `"text"` and `"image"` to names of columns. Defaults to those that look like it.
        folder: optional folder that paths of pictures are relative to. Defaults to the data file's, or the working one.
        seed: int. Defaults to `0`.
        verbose: bool. Whether to print a line for each stage. Defaults to `True`.
        **settings: by section, dicts of values to set otherwise than the preset does, as in a configuration of the
            pipeline: `search={"epochs": 20}`, `training`, `final_model`, `fusion`, `mitigation`, `space`,
            `pretraining`; `text` and `image` for the backbones; `image_size=(224, 224)`.

    Raises:
        ValueError: when there is something in `path`, or a setting is unknown.

    Example:
    >>> classifier = FusionClassifier().fit(train_frame, label="category", time_limit=300)
    >>> classifier.predict(new_frame)
    array(['cat', 'dog'], dtype=object)
    >>> classifier.save("my_classifier")
    >>> FusionClassifier.load("my_classifier").evaluate(test_frame)["macro_f1"]
    """

    def __init__(
        self,
        path: str | os.PathLike | None = None,
        columns: Mapping[str, str] | None = None,
        folder: str | os.PathLike | None = None,
        seed: int = 0,
        verbose: bool = True,
        **settings: Any,
    ):
        self.columns = dict(columns or {})
        self.folder = folder
        self.seed = seed
        self.verbose = verbose
        self._changes = settings
        # Refuses what is unknown before anything is computed.
        fit_settings("fast", 100, 1.0, seed, settings)
        self._temporary = tempfile.TemporaryDirectory(prefix="fusion_classifier_") if path is None else None
        self.path = pathlib.Path(self._temporary.name if self._temporary else path)  # type: ignore[arg-type]
        _check_new(self.path)
        self._record: dict[str, Any] | None = None
        self._model: ServedModel | None = None

    def fit(
        self,
        data: Any,
        label: Any = None,
        dev: Any = None,
        time_limit: float | None = None,
        presets: str = "medium",
    ) -> FusionClassifier:
        """Fits on rows of a text, a picture and a label.

        Args:
            data: DataFrame, list of dicts, dict of columns, or path of a `.jsonl`, `.csv` or `.parquet` file. Pictures
                are paths of PNG or JPEG files, their bytes, or uint8 arrays. With a column `split`, its rows `train`
                and `dev` are taken and `test` is left alone.
            label: name of the column of labels; list of the names of columns of 0 and 1; or the labels themselves.
                Strings, whole numbers, bools, or lists of them where a row has several. Defaults to the column `label`
                or `labels`.
            dev: rows to search and to choose epochs on, as `data`. Defaults to a fifth of each class.
            time_limit: optional seconds for search and final training to be cut to. What comes before them, preparing
                rows and backbones, takes what it takes.
            presets: str. `"fast"`, `"medium"` (default) or `"best"`: how many candidates are searched, and for how many
                epochs each is trained.

        Returns:
            This object.

        Raises:
            ValueError: when columns, labels or pictures cannot be used; it says which and what to do.
        """
        started = time.monotonic()
        if self._record is not None:
            raise ValueError("This classifier is fitted. Make another one.")
        if time_limit is not None and time_limit <= 0:
            raise ValueError(f"`time_limit` must be seconds above 0, or None. Received: {time_limit}.")
        train, train_labels, dev_table, dev_labels = self._splits(data, label, dev)
        columns = find_columns(train, self.columns, train_labels.columns)
        classes = checked_classes(train_labels, train.num_rows)
        if dev_table is None:
            held_out = dev_rows(train.texts(columns["text"]), train_labels, _DEV_SHARE, self.seed)
            train, dev_table, train_labels, dev_labels = (
                train.rows(np.flatnonzero(~held_out)),
                train.rows(np.flatnonzero(held_out)),
                _subset(train_labels, ~held_out),
                _subset(train_labels, held_out),
            )
        assert dev_labels is not None
        check_dev(dev_labels, train_labels.multi_label, classes)
        counts = [sum(name in row for row in train_labels.rows) for name in classes]
        settings = fit_settings(presets, train.num_rows, max(counts) / max(min(counts), 1), self.seed, self._changes)
        self._say(
            f"{train.num_rows} rows to train on, {dev_table.num_rows} to choose on; {len(classes)} classes"
            f"{', several a row' if train_labels.multi_label else ''}; "
            f"text: {columns['text']}, picture: {columns['image']}"
        )
        result = fit_model(
            self.path,
            (train, train_labels),
            (dev_table, dev_labels),
            columns,
            classes,
            settings,
            None if time_limit is None else started + time_limit,
            self._say,
        )
        record = {
            "version": VERSION,
            "columns": columns,
            "label_columns": list(train_labels.columns),
            "label_kind": train_labels.kind,
            "classes": list(classes),
            "multi_label": train_labels.multi_label,
            "presets": presets,
            "seed": self.seed,
            "rows": {"train": train.num_rows, "dev": dev_table.num_rows},
            "settings": _as_json(settings),
            **result,
            "seconds": round(time.monotonic() - started, 1),
        }
        write_record(self.path, record)
        self._record = record
        self._say(f"Fitted in {record['seconds']:.0f} s; dev macro F1 {record['dev_macro_f1']:.3f}.")
        return self

    def answers(self, data: Any) -> dict[str, np.ndarray]:
        """All that the model says of rows, as of the signature `serve_json` (`export_saved_model`).

        Returns:
            dict of arrays: `label` and `score`, or `labels`; `probabilities`, `conflict`, `uncertainty`, each
            modality's belief, and `abstain`. `error` says which rows could not be used, and why.
        """
        columns, table = self._fitted()["columns"], read_table(data, self.folder)
        texts = table.texts(columns["text"])
        table.column(columns["image"])
        return self._served().answers(
            table.num_rows, texts.__getitem__, lambda row: table.picture(columns["image"], row)
        )

    def predict(self, data: Any) -> np.ndarray:
        """The label of each row, as they were when it was fitted; a tuple of labels where a row may have several.

        Raises:
            ValueError: when a row's picture cannot be read; `answers` marks such rows instead.
        """
        answers, kind = self._good_answers(data), self._fitted()["label_kind"]
        if not self._fitted()["multi_label"]:
            return _objects([value_of(name, kind) for name in answers["label"]])
        return _objects([tuple(value_of(name, kind) for name in names if name) for names in answers["labels"]])

    def predict_proba(self, data: Any) -> np.ndarray:
        """Probabilities `(rows, classes)`, in the order of `classes_`; they sum to 1 where a row has one label."""
        return self._good_answers(data)["probabilities"]

    def evaluate(self, data: Any, label: Any = None) -> dict[str, Any]:
        """Scores on labelled rows.

        Args:
            data: as of `fit`.
            label: as of `fit`. Defaults to the columns that it was fitted with.

        Returns:
            dict: `rows`, `macro_f1`, `f1` by class and `accuracy` (of rows all of whose labels are right).
        """
        record, table = self._fitted(), read_table(data, self.folder)
        fitted_columns = record["label_columns"]
        if label is None and fitted_columns:
            label = fitted_columns[0] if len(fitted_columns) == 1 else fitted_columns
        labels = read_labels(table, label)
        answers = self._good_answers(table)
        given = answers["labels"] if record["multi_label"] else answers["label"][:, np.newaxis]
        return scores_of(labels.rows, given.tolist(), record["classes"])

    def explain(self, data: Any, rows: int = 5) -> list[Explanation]:
        """What decides the first rows: by how much the answer falls without each word and each part of the picture."""
        table, columns = read_table(data, self.folder), self._fitted()["columns"]
        texts = table.texts(columns["text"])
        return [
            explain_row(self._served(), texts[row], table.picture(columns["image"], row), self._fitted()["classes"])
            for row in range(min(rows, table.num_rows))
        ]

    def save(self, path: str | os.PathLike) -> None:
        """Writes all of it to a new folder, which `load` reads."""
        self._fitted()
        _check_new(pathlib.Path(path))
        shutil.copytree(self.path, path, dirs_exist_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike, folder: str | os.PathLike | None = None) -> FusionClassifier:
        """What `save` wrote, or the `path` that it was fitted in.

        Raises:
            ValueError: when there is none, or of another version.
        """
        record = read_record(path)
        classifier = cls.__new__(cls)
        classifier.columns, classifier.folder = record["columns"], folder
        classifier.seed, classifier.verbose = record["seed"], True
        classifier._changes, classifier._temporary = {}, None
        classifier.path, classifier._record, classifier._model = pathlib.Path(path), record, None
        return classifier

    def export(self, path: str | os.PathLike) -> None:
        """Writes the SavedModel, for TensorFlow Serving or plain TensorFlow, to a new folder."""
        self._fitted()
        _check_new(pathlib.Path(path))
        shutil.copytree(self.path / MODEL_FOLDER, path, dirs_exist_ok=True)

    @property
    def classes_(self) -> np.ndarray:
        """The labels, in the order of the probabilities."""
        record = self._fitted()
        return _objects([value_of(name, record["label_kind"]) for name in record["classes"]])

    @property
    def genotype(self) -> Genotype:
        """What the search chose."""
        self._fitted()
        return load_genotype(self.path / "genotype.json", "hf_mnas")  # type: ignore[return-value]

    @property
    def model(self) -> keras.Model:
        """The network, from prepared rows to probabilities and opinions."""
        self._fitted()
        return keras.models.load_model(self.path / "classifier.keras", compile=False)

    def __repr__(self) -> str:
        if self._record is None:
            return "FusionClassifier(not fitted)"
        score = self._record["dev_macro_f1"]
        return f"FusionClassifier({len(self._record['classes'])} classes, dev macro F1 {score:.3f})"

    def _splits(self, data: Any, label: Any, dev: Any) -> tuple[Table, Labels, Table | None, Labels | None]:
        table = read_table(data, self.folder)
        labels = read_labels(table, label)
        if dev is not None:
            dev_table = read_table(dev, self.folder)
            if labels.columns == () and label is not None:
                raise ValueError("With `dev` the labels must be columns of both tables: name them by `label`.")
            return table, labels, dev_table, read_labels(dev_table, label)
        split = table.columns.get("split", ())
        if {"train", "dev"} <= set(split) <= {"train", "dev", "test", None}:
            parts: list[Any] = []
            for name in ("train", "dev"):
                is_in = np.array([value == name for value in split])
                parts += [table.rows(np.flatnonzero(is_in)), _subset(labels, is_in)]
            return parts[0], parts[1], parts[2], parts[3]
        return table, labels, None, None

    def _good_answers(self, data: Any) -> dict[str, np.ndarray]:
        answers = self.answers(data)
        bad = np.flatnonzero(answers["error"] != "")
        if len(bad):
            raise ValueError(
                f"{len(bad)} rows cannot be used, the first is row {bad[0]}: {answers['error'][bad[0]]} Leave them "
                "out, or call `answers`, which marks them."
            )
        return answers

    def _fitted(self) -> dict[str, Any]:
        if self._record is None:
            raise ValueError("This classifier is not fitted. Call `fit` first, or `load` one that is.")
        return self._record

    def _served(self) -> ServedModel:
        self._fitted()
        if self._model is None:
            self._model = ServedModel(self.path / MODEL_FOLDER)
        return self._model

    def _say(self, text: str) -> None:
        if self.verbose:
            print(text, flush=True)


def _check_new(path: pathlib.Path) -> None:
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"{str(path)!r} must be a new or an empty folder, and holds something. Name another one.")


def _subset(labels: Labels, is_in: np.ndarray) -> Labels:
    return dataclasses.replace(labels, rows=[row for row, taken in zip(labels.rows, is_in, strict=True) if taken])


def _as_json(settings: FitSettings) -> dict[str, Any]:
    return dataclasses.asdict(settings)


def _objects(values: list[Any]) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array
