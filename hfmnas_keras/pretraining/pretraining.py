"""Pre-trains the unimodal backbones and cross-fits them (HF-MNAS, section III-D; docs/method.md, section 3)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from absl import logging

from hfmnas_keras.atomic_file import atomic_file, atomic_path
from hfmnas_keras.backbones.model_file import read_model_file
from hfmnas_keras.data.array_digest import array_digest
from hfmnas_keras.evidence.thresholds import choose_thresholds
from hfmnas_keras.optimization.f1_score import macro_f1
from hfmnas_keras.pretraining.backbone_files import BACKBONES_FILE, TAPS
from hfmnas_keras.pretraining.backbone_fit import BackboneFit
from hfmnas_keras.pretraining.backbone_recipe import BackboneRecipe
from hfmnas_keras.pretraining.batched_outputs import BatchedOutputs
from hfmnas_keras.pretraining.cross_fitting import fold_keys, folds_of
from hfmnas_keras.pretraining.fold_alignment import align_features, aligned_backbone, explained_variance
from hfmnas_keras.settings.pretraining import PretrainingSettings
from hfmnas_keras.settings.training import THRESHOLDS

WIDE_GAP = 0.15
_VERSION = 1


def pretrain_backbones(
    recipes: Mapping[str, BackboneRecipe],
    train_inputs: Mapping[str, Any],
    train_labels: np.ndarray,
    train_ids: Sequence[str] | np.ndarray,
    dev_inputs: Mapping[str, Any],
    dev_labels: np.ndarray,
    output_dir: str | os.PathLike,
    settings: PretrainingSettings | None = None,
    work_dir: str | os.PathLike | None = None,
) -> dict[str, Any]:
    """Trains one backbone and head a modality and writes the folder that `extract_features` reads.

    The reference network is fitted on the whole train split, with dev watched. Where taps see labels,
    `settings.folds` more networks from the same initial weights are fitted in the same way, each without the rows of
    one fold, and their taps are brought into the reference's units (`fold_alignment`). Where they see none
    (a frozen trunk), the taps are computed once and the head alone is trained on them.

    A run that was cut off goes on: every network is written when it is finished (under another name, then renamed) and
    is kept as long as settings, initial weights and data are the same.

    Args:
        recipes: `BackboneRecipe` by modality.
        train_inputs, dev_inputs: by modality, arrays `(rows, ...)`; or `DecodedRows`, which are decoded batch by batch
            where a split does not fit into memory; or `tf.data.Dataset`s of single rows in the order of the labels,
            which are read into memory. Pictures may stay uint8.
        train_labels, dev_labels: int arrays `(rows,)`, or float arrays `(rows, classes)` in multi-label sets.
        train_ids: ids of the train rows; they decide the folds, but of texts, where it is the words (`fold_keys`).
        output_dir: folder to write.
        settings: `PretrainingSettings`.
        work_dir: folder of the unfinished run. Defaults to `output_dir`.

    Returns:
        What was written to `backbones.json`. Per modality: `sees_labels`, `folds`, `epochs`, `train_macro_f1` and
        `dev_macro_f1` of the head, `cross_fitted_macro_f1` (train rows through the networks that have not seen
        them), `thresholds` (of multi-label data: by kind, `dev` and `per_class`, those that dev chooses for the head;
        the scores are at those of `per_class`), `curves`, `alignment` (share of the reference's
        variance before and after, by tap, mean over folds), `weights`, `input_shape`, `output_shapes`
        and `warning` (str or None).

    Raises:
        ValueError: when inputs, labels and recipes do not fit each other, or given weights do not fit the recipe.
        RuntimeError: when the training diverges.
    """
    settings = settings or PretrainingSettings()
    output_dir = pathlib.Path(output_dir)
    work_dir = pathlib.Path(work_dir) if work_dir is not None else output_dir
    train_arrays = _arrays(train_inputs, recipes, len(train_labels), "train")
    dev_arrays = _arrays(dev_inputs, recipes, len(dev_labels), "dev")
    if len(train_ids) != len(train_labels):
        raise ValueError(f"Every train row needs an id. Received: {len(train_ids)} ids, {len(train_labels)} labels.")
    train_labels, dev_labels = _labels(train_labels), _labels(dev_labels)

    modalities = {}
    for modality, recipe in recipes.items():
        keys = fold_keys(train_ids, train_arrays[modality])
        fold_of_row = folds_of(keys, settings.folds, settings.seed) if settings.folds else None
        run = _ModalityRun(
            modality,
            recipe,
            (train_arrays[modality], train_labels),
            (dev_arrays[modality], dev_labels),
            fold_of_row,
            dataclasses.replace(settings, learning_rate=recipe.learning_rate or settings.learning_rate),
            work_dir / modality,
        )
        modalities[modality] = run.finish()
        _copy_networks(work_dir / modality, output_dir / modality, modalities[modality]["folds"])
    record = {"version": _VERSION, "seed": settings.seed, "modalities": modalities}
    _write_json(output_dir / BACKBONES_FILE, record)
    return record


@dataclasses.dataclass
class _ModalityRun:
    """The networks of one modality, made or found in the work folder."""

    modality: str
    recipe: BackboneRecipe
    train: tuple[np.ndarray, np.ndarray]
    dev: tuple[np.ndarray, np.ndarray]
    fold_of_row: np.ndarray | None
    settings: PretrainingSettings
    folder: pathlib.Path

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
        return self._record(0, {}, *(outputs(inputs)["logits"] for inputs, _ in (self.train, self.dev)))

    def _train_head_on_taps(self, backbone: Any) -> Any:
        if self._finished("reference"):
            return _read_json(self.folder / "reference.json")
        head = backbone.get_layer("head")
        taps = BatchedOutputs(keras.Model(backbone.input, backbone.output["high"]))
        (train_inputs, train_labels), (dev_inputs, dev_labels) = self.train, self.dev
        train_taps = taps(train_inputs, progress=f"{self.modality}: taps of the train split, computed once")
        dev_taps = taps(dev_inputs, progress=f"{self.modality}: taps of the dev split, computed once")
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
            _write_json(self.folder / f"{name}.json", {"alignment": shares, "unseen_logits": unseen_logits.tolist()})

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
        _write_json(self.folder / "reference.json", record)
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
        _write_json(marker, fingerprint)


def load_given_weights(backbone: keras.Model, path: str) -> keras.Model:
    """A backbone with weights from a file, checked against what the recipe builds.

    A `.weights.h5` file goes into the recipe's network. A `.keras` file replaces it: input and logits must have the
    recipe's shapes and maps its grid, while the width of the taps is free.

    Args:
        backbone: what the recipe builds.
        path: the file, `.keras` or `.weights.h5`.

    Raises:
        ValueError: when the file is of another kind or does not fit.
    """
    if str(path).endswith(".weights.h5"):
        try:
            backbone.load_weights(path)
        except (ValueError, OSError, KeyError) as error:
            raise ValueError(f"The weights {path!r} do not fit {backbone.name}: {error}") from error
        return backbone
    if not str(path).endswith(".keras"):
        raise ValueError(f"Weights must be a `.keras` or `.weights.h5` file. Received: {path!r}.")
    given = read_model_file(path)
    received, expected = _shapes(given), _shapes(backbone)
    fits = (
        received.keys() == expected.keys()
        and received["input"] == expected["input"]
        and received["logits"] == expected["logits"]
        and all(received[tap][:-1] == expected[tap][:-1] for tap in TAPS)
    )
    if not fits:
        raise ValueError(
            f"The model {path!r} does not fit {backbone.name}. Received shapes: {received}. Expected: {expected} "
            "(the last axis of a tap is free)."
        )
    return given


def _shapes(model: keras.Model) -> Any:
    # A sequential model returns one tensor, so it is none of ours whatever its shapes.
    outputs = {} if isinstance(model, keras.Sequential) else model.output
    outputs = outputs if isinstance(outputs, dict) else {"output": outputs}
    shapes = {name: tuple(tensor.shape[1:]) for name, tensor in outputs.items()}
    return {"input": tuple(model.inputs[0].shape[1:]) if len(model.inputs) == 1 else None, **shapes}


def _arrays(inputs: Any, recipes: Any, num_rows: Any, split: Any) -> Any:
    missing = sorted(set(recipes) - set(inputs))
    if missing:
        raise ValueError(f"The {split} split lacks inputs of: {', '.join(missing)}.")
    arrays = {}
    for modality in recipes:
        rows = inputs[modality]
        # A `tf.data.Dataset`: anything that iterates over rows and cannot be indexed by an array of row numbers.
        array = rows if hasattr(rows, "__getitem__") else np.stack([np.asarray(row) for row in rows])
        if len(array) != num_rows:
            raise ValueError(f"The {split} split has {num_rows} labels and {len(array)} rows of {modality}.")
        arrays[modality] = array
    if not num_rows:
        raise ValueError(f"The {split} split has no rows.")
    return arrays


def _labels(labels: Any) -> Any:
    labels = np.asarray(labels)
    return labels.astype("float32" if labels.ndim == 2 else "int64")


def _fingerprint(backbone: Any, settings: Any, train: Any, dev: Any, fold_of_row: Any) -> Any:
    """All that must be equal for a network found in the work folder to be the one that would be trained."""
    arrays = [*backbone.get_weights(), *train, *dev] + ([] if fold_of_row is None else [fold_of_row])
    digest = hashlib.sha256((backbone.to_json() + array_digest(*arrays)).encode())
    return {"version": _VERSION, "settings": dataclasses.asdict(settings), "sha256": digest.hexdigest()}


def _save(model: keras.Model, path: Any) -> None:
    with atomic_path(path) as partial:
        model.save(partial)


def _load(path: Any) -> Any:
    return keras.saving.load_model(path, compile=False)


def _copy_networks(source: Any, target: Any, folds: Any) -> None:
    if source.resolve() == target.resolve():
        return
    for name in ["reference.keras", *(f"fold_{fold}.keras" for fold in range(folds))]:
        with atomic_path(target / name) as partial:
            shutil.copyfile(source / name, partial)


def _write_json(path: Any, record: Any) -> None:
    with atomic_file(path) as file:
        file.write((json.dumps(record, indent=1) + "\n").encode())


def _read_json(path: Any) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
