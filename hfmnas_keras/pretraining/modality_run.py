"""Trains the networks of one modality, or finds them in the work folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from typing import Any

import keras
import numpy as np
from absl import logging

from hfmnas_keras.atomic_file import atomic_file, atomic_path
from hfmnas_keras.data.array_digest import array_digest
from hfmnas_keras.evidence.thresholds import choose_thresholds
from hfmnas_keras.optimization.f1_score import macro_f1
from hfmnas_keras.pretraining.backbone_files import TAPS
from hfmnas_keras.pretraining.backbone_fit import BackboneFit, adapt_layers
from hfmnas_keras.pretraining.backbone_recipe import BackboneRecipe
from hfmnas_keras.pretraining.batched_outputs import BatchedOutputs
from hfmnas_keras.pretraining.fold_alignment import align_features, aligned_backbone, explained_variance
from hfmnas_keras.pretraining.given_weights import load_given_weights
from hfmnas_keras.settings.pretraining import PretrainingSettings
from hfmnas_keras.settings.training import THRESHOLDS

WIDE_GAP = 0.15
VERSION = 1


@dataclasses.dataclass
class ModalityRun:
    """The networks of one modality, made or found in the work folder.

    Attributes:
        taps: dict. Where they see no label and were computed on the way, by `"train"` and `"dev"` what each tap gives
            for all rows, an array by tap; else empty.
    """

    modality: str
    recipe: BackboneRecipe
    train: tuple[np.ndarray, np.ndarray]
    dev: tuple[np.ndarray, np.ndarray]
    fold_of_row: np.ndarray | None
    settings: PretrainingSettings
    folder: pathlib.Path
    taps: dict[str, dict[str, np.ndarray]] = dataclasses.field(default_factory=dict)

    def finish(self) -> dict[str, Any]:
        # Every network of a modality starts from these very weights, so that their units can be compared.
        keras.utils.set_random_seed(self.settings.seed)
        backbone = self.recipe.build()
        if self.recipe.weights is not None:
            backbone = load_given_weights(backbone, self.recipe.weights)
        self._open_folder(_fingerprint(backbone, self.settings, self.train, self.dev, self.fold_of_row))

        if self.recipe.weights is not None:
            record = self._pass_on(backbone)
        elif not self.recipe.sees_labels:
            record = self._train_head_on_taps(backbone)
        else:
            record = self._train_all(backbone)
        record["input_shape"] = [int(side) for side in backbone.inputs[0].shape[1:]]
        record["output_shapes"] = {
            name: [int(side) for side in tensor.shape[1:]] for name, tensor in backbone.output.items()
        }
        record["warning"] = self._warning(record)
        if record["warning"]:
            logging.warning(record["warning"])
        return record

    def _pass_on(self, backbone: Any) -> Any:
        logging.info("%s: weights from %s, no pre-training.", self.modality, self.recipe.weights)
        _save(backbone, self.folder / "reference.keras")
        outputs = BatchedOutputs(backbone)
        logits = []
        for split, (inputs, _) in (("train", self.train), ("dev", self.dev)):
            found = outputs(inputs)
            logits.append(found["logits"])
            self.taps[split] = {tap: found[tap] for tap in TAPS}
        return self._record(0, {}, *logits)

    def _train_head_on_taps(self, backbone: Any) -> Any:
        if self._finished("reference"):
            return _read_json(self.folder / "reference.json")
        head = backbone.get_layer("head")
        adapt_layers(backbone, self.train[0])
        # Both taps, though the head reads one: the trunk passes over each row once, here, for the search too.
        taps = BatchedOutputs(keras.Model(backbone.input, {tap: backbone.output[tap] for tap in TAPS}))
        (train_inputs, train_labels), (dev_inputs, dev_labels) = self.train, self.dev
        for split, inputs in (("train", train_inputs), ("dev", dev_inputs)):
            self.taps[split] = taps(inputs, progress=f"{self.modality}: taps of the {split} split, computed once")
        train_taps, dev_taps = (self.taps[split]["high"] for split in ("train", "dev"))
        fit = BackboneFit(head, self.settings, f"{self.modality} head")
        curves = fit.run_watched(train_taps, train_labels, dev_taps, dev_labels)
        record = self._record(self.settings.max_epochs, curves, fit.logits(train_taps), fit.logits(dev_taps))
        self._keep_reference(backbone, record)
        return record

    def _train_all(self, backbone: Any) -> Any:
        (train_inputs, train_labels), (dev_inputs, dev_labels) = self.train, self.dev
        fit = BackboneFit(keras.Model(backbone.input, backbone.output["logits"]), self.settings, self.modality)
        if self._finished("reference"):
            record = _read_json(self.folder / "reference.json")
        else:
            curves = fit.run_watched(train_inputs, train_labels, dev_inputs, dev_labels)
            logits = fit.logits(train_inputs), fit.logits(dev_inputs)
            record = self._record(self.settings.max_epochs, curves, *logits)
            self._keep_reference(backbone, record)
        if self.fold_of_row is not None:
            self._train_folds(backbone, fit, record)
        return record

    def _train_folds(self, backbone: Any, fit: Any, record: Any) -> None:
        (train_inputs, train_labels), (dev_inputs, _) = self.train, self.dev
        reference = _load(self.folder / "reference.keras")
        reference_taps = BatchedOutputs(reference)(dev_inputs)
        outputs = BatchedOutputs(backbone)
        for fold in range(self.settings.folds):
            name = f"fold_{fold}"
            if self._finished(name):
                continue
            rows = np.flatnonzero(self.fold_of_row != fold)
            unseen_rows = np.flatnonzero(self.fold_of_row == fold)
            if not len(rows):
                raise ValueError(
                    f"All {len(train_labels)} train rows fall into fold {fold} of {self.settings.folds}, which leaves "
                    "none to fit on. Set `folds` to 0 or bring more rows."
                )
            fit.run(
                train_inputs,
                train_labels,
                rows,
                f"fold {fold + 1} of {self.settings.folds}, {len(rows)} rows",
            )
            alignments, shares = {}, {}
            if self.settings.align_folds:
                taps = outputs(dev_inputs)
                for tap in TAPS:
                    matrix, offset = align_features(taps[tap], reference_taps[tap])
                    alignments[tap] = (matrix, offset)
                    shares[tap] = [
                        explained_variance(taps[tap], reference_taps[tap]),
                        explained_variance(taps[tap] @ matrix + offset, reference_taps[tap]),
                    ]
            unseen_logits = fit.logits(train_inputs, unseen_rows)
            _save(aligned_backbone(backbone, alignments), self.folder / f"{name}.keras")
            write_json(self.folder / f"{name}.json", {"alignment": shares, "unseen_logits": unseen_logits.tolist()})

        # From the files, so that a run that was cut off reports like one that was not.
        logits = np.zeros((len(train_labels), backbone.output["logits"].shape[-1]), "float32")
        shares_by_fold = []
        for fold in range(self.settings.folds):
            fold_record = _read_json(self.folder / f"fold_{fold}.json")
            of_fold = np.asarray(self.fold_of_row) == fold
            if of_fold.any():
                logits[of_fold] = fold_record["unseen_logits"]
            shares_by_fold.append(fold_record["alignment"])
        record["folds"] = self.settings.folds
        record["cross_fitted_macro_f1"] = macro_f1(train_labels, logits, self._own_thresholds(record))
        if self.settings.align_folds:
            record["alignment"] = {
                tap: {
                    when: float(np.mean([shares[tap][index] for shares in shares_by_fold]))
                    for index, when in enumerate(("before", "after"))
                }
                for tap in TAPS
            }

    def _record(self, epochs: Any, curves: Any, train_logits: Any, dev_logits: Any) -> Any:
        (_, train_labels), (_, dev_labels) = self.train, self.dev
        record = {
            "sees_labels": self.recipe.sees_labels and self.recipe.weights is None,
            "folds": 0,
            "epochs": epochs,
            "thresholds": None,
            "cross_fitted_macro_f1": None,
            "curves": curves,
            "alignment": None,
            "weights": self.recipe.weights,
        }
        if dev_labels.ndim == 2:
            record["thresholds"] = {
                kind: choose_thresholds(dev_labels, dev_logits, kind).tolist() for kind in THRESHOLDS if kind != "fixed"
            }
        thresholds = self._own_thresholds(record)
        record["train_macro_f1"] = macro_f1(train_labels, train_logits, thresholds)
        record["dev_macro_f1"] = macro_f1(dev_labels, dev_logits, thresholds)
        return record

    def _own_thresholds(self, record: Any) -> Any:
        return 0.5 if record["thresholds"] is None else np.array(record["thresholds"]["per_class"])

    def _warning(self, record: Any) -> Any:
        gap = record["train_macro_f1"] - record["dev_macro_f1"]
        # The head over a frozen trunk may know its rows by heart; the taps do not.
        frozen = not self.recipe.sees_labels and self.recipe.weights is None
        if record["folds"] or frozen or gap <= WIDE_GAP:
            return None
        return (
            f"{self.modality}: macro F1 {record['train_macro_f1']:.3f} on train and {record['dev_macro_f1']:.3f} on "
            "dev. The backbone knows the train rows by heart and its taps are not cross-fitted: the search will trust "
            "this modality while training and find it poor on dev. Set `folds` to 5, or give weights that have not "
            "seen these rows."
        )

    def _keep_reference(self, backbone: Any, record: Any) -> None:
        # The record first: a network counts as finished when its file is there.
        write_json(self.folder / "reference.json", record)
        _save(backbone, self.folder / "reference.keras")

    def _finished(self, name: str) -> Any:
        finished = (self.folder / f"{name}.keras").exists() and (self.folder / f"{name}.json").exists()
        if finished:
            logging.info("%s: %s is there already.", self.modality, name)
        return finished

    def _open_folder(self, fingerprint: Any) -> None:
        marker = self.folder / "fingerprint.json"
        if marker.exists() and _read_json(marker) == fingerprint:
            return
        if self.folder.exists():
            logging.info("%s: settings or data have changed, starting anew.", self.modality)
            for path in [*self.folder.glob("fold_*"), *self.folder.glob("reference.*")]:
                path.unlink()
        write_json(marker, fingerprint)


def _fingerprint(backbone: Any, settings: Any, train: Any, dev: Any, fold_of_row: Any) -> Any:
    """All that must be equal for a network found in the work folder to be the one that would be trained."""
    arrays = [*backbone.get_weights(), *train, *dev] + ([] if fold_of_row is None else [fold_of_row])
    digest = hashlib.sha256((backbone.to_json() + array_digest(*arrays)).encode())
    return {"version": VERSION, "settings": dataclasses.asdict(settings), "sha256": digest.hexdigest()}


def _save(model: keras.Model, path: Any) -> None:
    with atomic_path(path) as partial:
        model.save(partial)


def _load(path: Any) -> Any:
    return keras.saving.load_model(path, compile=False)


def write_json(path: Any, record: Any) -> None:
    with atomic_file(path) as file:
        file.write((json.dumps(record, indent=1) + "\n").encode())


def _read_json(path: Any) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
