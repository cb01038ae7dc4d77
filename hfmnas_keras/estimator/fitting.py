"""The stages of a fit, one after the other: those of the pipeline, by the same functions."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from hfmnas_keras.backbones.encoder_folder import find_encoder, merges_path, read_description, vocabulary_path
from hfmnas_keras.data.feature_set import FeatureSet
from hfmnas_keras.data.transformed_examples import TransformedExamples, transformed_examples
from hfmnas_keras.estimator.labels import Labels
from hfmnas_keras.estimator.presets import FitSettings, interpolation_of
from hfmnas_keras.estimator.table import Table
from hfmnas_keras.export.serving import export_saved_model
from hfmnas_keras.models.classifier import multimodal_classifier
from hfmnas_keras.preparation.preparation import RAW_FEATURES, Preparation, count_words
from hfmnas_keras.pretraining.absent_features import filled_features, mean_features
from hfmnas_keras.pretraining.backbone_recipe import BackboneRecipe, image_recipe, recipe_of_kind, text_recipe
from hfmnas_keras.pretraining.extraction import extract_features, load_backbone
from hfmnas_keras.pretraining.pretraining import pretrain_backbones
from hfmnas_keras.search.architecture_search import search_architecture
from hfmnas_keras.settings.backbones import EncoderBackboneSettings
from hfmnas_keras.training.final_model import train_final_model
from hfmnas_keras.training.head_shares import with_head_shares

MODEL_FOLDER = "saved_model"
MODALITIES = ("text", "image")
_WORK = "unfinished"
_VOCABULARY = "vocabulary.txt"
_MOST_WORDS = 20_000
_LEAST_TOKENS, _MOST_TOKENS = 8, 256
_ROWS_AT_ONCE = 64
# Of the time that is left when the search begins, what it may take; and what the export takes.
_SHARE_OF_SEARCH, _EXPORT_SECONDS = 0.3, 40.0
# An epoch of the final model takes longer than a candidate's: it is wider, and its batches are smaller.
_FINAL_EPOCH = 2.0
_BOTH_FITS = 2.2
# Fewer would cost more than any choice of the search gains.
_LEAST_EPOCHS = 8


def fit_model(
    folder: pathlib.Path,
    train: tuple[Table, Labels],
    dev: tuple[Table, Labels],
    columns: Mapping[str, str],
    classes: Sequence[str],
    settings: FitSettings,
    deadline: float | None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Fits a classifier and writes it to a folder: `saved_model/`, `classifier.keras` and `genotype.json`.

    Args:
        folder: where to.
        train, dev: tables with their labels.
        columns: names of the columns of `"text"` and `"image"`.
        classes: names of all classes.
        settings: `FitSettings`.
        deadline: optional time of `time.monotonic()` by which it should be done.
        say: function that is told what is going on.

    Returns:
        JSON-able dict of how it went.
    """
    work = folder / _WORK
    work.mkdir(parents=True, exist_ok=True)
    multi_label = train[1].multi_label
    preparation = _preparation(train[0].texts(columns["text"]), classes, multi_label, settings, work)
    say("Preparing texts and pictures.")
    train_rows, dev_rows = (
        _prepared(preparation, table, labels, columns, name)
        for (table, labels), name in ((train, "train"), (dev, "dev"))
    )
    say(f"Backbones: {', '.join(_told(getattr(settings, modality)) for modality in MODALITIES)}.")
    recipes = _recipes(settings, preparation, train_rows, len(classes))
    frozen_taps: dict[str, Any] = {}
    backbones_record = pretrain_backbones(
        recipes,
        train_rows.inputs(),
        train_rows.labels,
        train_rows.ids.tolist(),
        dev_rows.inputs(),
        dev_rows.labels,
        work / "backbones",
        settings.pretraining,
        frozen_taps=frozen_taps,
        lacking=(train_rows.lacking(), dev_rows.lacking()),
    )["modalities"]
    alone = {modality: record["dev_macro_f1"] for modality, record in backbones_record.items()}
    say(f"Macro F1 of each alone: {', '.join(f'{name} {score:.3f}' for name, score in alone.items())}.")
    features: dict[str, FeatureSet] = {}
    means: dict[str, np.ndarray] = {}
    for split, rows in (("train", train_rows), ("dev", dev_rows)):
        extracted = extract_features(
            work / "backbones",
            rows.ids.tolist(),  # type: ignore[arg-type]
            rows.inputs(),
            split,
            known=frozen_taps.get(split),
        )
        means = means or mean_features(extracted, rows.lacking())
        filled = filled_features(extracted, rows.lacking(), means)
        features[split] = FeatureSet(ids=rows.ids, features=filled, labels=rows.labels, tokens=rows.tokens)
    search = settings.search
    if deadline is not None and search.strategy != "bilevel":
        left = deadline - time.monotonic() - _EXPORT_SECONDS
        search = dataclasses.replace(search, minutes=max(1.0, _SHARE_OF_SEARCH * left) / 60)
    say("Searching how to fuse them.")
    result = search_architecture(
        features["train"],
        features["dev"],
        len(classes),
        settings.fusion,
        search,
        work / "search",
        unimodal_heads=backbones_record,
        space=settings.space,
        mitigation=settings.mitigation,
    )
    result.genotype.save(folder / "genotype.json")
    training = settings.training
    if deadline is not None and result.candidates:
        left = (deadline - time.monotonic() - _EXPORT_SECONDS) / settings.final_model.ensemble
        epochs = fitting_epochs(training.max_epochs, result.candidates, left)
        training = dataclasses.replace(training, max_epochs=epochs, patience=max(training.patience, epochs))
    say("Training the model that was found.")
    trained = train_final_model(
        result.genotype,  # type: ignore[arg-type]
        features["train"],
        features["dev"],
        len(classes),
        settings.fusion,
        training,
        work / "training",
        backbones={modality: load_backbone(work / "backbones", modality) for modality in MODALITIES},
        vocabulary_size=preparation.vocabulary_size,
        final_model=settings.final_model,
        mitigation=settings.mitigation,
        others=result.others,  # type: ignore[arg-type]
    )
    trained, head_shares = with_head_shares(trained, features["dev"], training)
    classifier = multimodal_classifier(trained.fusion_network, trained.backbones, multi_label, head_shares)
    say("Exporting.")
    export_saved_model(
        classifier,
        preparation,
        RAW_FEATURES,
        list(classes),
        multi_label,
        os.fspath(folder / MODEL_FOLDER),
        thresholds=trained.thresholds,
    )
    classifier.save(folder / "classifier.keras")
    shutil.rmtree(work)
    return {
        "dev_macro_f1": trained.dev_macro_f1,
        "alone_dev_macro_f1": alone,
        "candidates": len(result.candidates),
        "search_verdict": result.verdict,
        "epochs": trained.epochs,
        "head_shares": head_shares,
        "members": trained.members,
        "thresholds": None if trained.thresholds is None else trained.thresholds.tolist(),
    }


def fitting_epochs(most: int, candidates: Sequence[Mapping[str, Any]], seconds_left: float) -> int:
    """How many epochs of the final training fit into a time.

    Args:
        most: int. Epochs where there is time for them.
        candidates: records of the search, whose epochs' `seconds` tell how fast this machine is.
        seconds_left: float. For one network, which is trained twice.

    Returns:
        int: `most` at most, and 8 at least where `most` allows.
    """
    epoch = _FINAL_EPOCH * statistics.median(one["seconds"] for record in candidates for one in record["history"])
    # It is trained twice: on train, and on train and dev.
    fitting = int(seconds_left / (_BOTH_FITS * max(epoch, 1e-3)))
    return min(most, max(_LEAST_EPOCHS, fitting))


def _preparation(
    texts: Sequence[str], classes: Sequence[str], multi_label: bool, settings: FitSettings, work: pathlib.Path
) -> Preparation:
    counts, lengths = count_words(texts)
    # Nineteen of twenty texts fit whole.
    words = int(np.quantile(lengths, 0.95))
    tokenizer: dict[str, Any] | None = None
    most = _MOST_TOKENS
    if isinstance(settings.text, EncoderBackboneSettings):
        encoder = find_encoder(settings.text.encoder)
        description = read_description(encoder)
        vocabulary = vocabulary_path(encoder)
        if description.tokenizer == "byte_pair":
            tokenizer = {"merges": os.fspath(merges_path(encoder))}
        else:
            tokenizer = {"lower_case": description.lower_case, "strip_accents": description.strip_accents}
        # A word has one and a half pieces, and there are two marks.
        words, most = int(1.5 * words) + 2, min(most, description.max_tokens or most)
    else:
        vocabulary = work / _VOCABULARY
        kept = [word for word, _ in counts.most_common(_MOST_WORDS)]
        if not kept:
            raise ValueError("None of the texts has a word. Name the column of texts: columns={'text': ...}.")
        vocabulary.write_text("".join(f"{word}\n" for word in kept), encoding="utf-8")
    return Preparation(
        classes,
        multi_label,
        settings.image_size,
        max(_LEAST_TOKENS, min(most, words)),
        os.fspath(vocabulary),
        interpolation_of(settings.image),
        tokenizer,
    )


def _prepared(
    preparation: Preparation, table: Table, labels: Labels, columns: Mapping[str, str], split: str
) -> TransformedExamples:
    prepare = tf.function(
        preparation,
        input_signature=[
            {
                "text": tf.TensorSpec([None], tf.string),
                "image": tf.TensorSpec([None], tf.string),
                "labels": tf.TensorSpec([None, None], tf.string),
            }
        ],
    )
    texts = table.texts(columns["text"])
    width = max(1, *(len(row) for row in labels.rows))
    parts = []
    has_picture = np.zeros(table.num_rows, bool)
    for start in range(0, table.num_rows, _ROWS_AT_ONCE):
        rows = range(start, min(start + _ROWS_AT_ONCE, table.num_rows))
        pictures = [table.picture(columns["image"], row) for row in rows]
        has_picture[rows] = [picture != b"" for picture in pictures]
        part = prepare(
            {
                "text": tf.constant([texts[row] for row in rows]),
                "image": tf.constant(pictures),
                "labels": tf.constant([[*labels.rows[row], *[""] * (width - len(labels.rows[row]))] for row in rows]),
            }
        )
        parts.append({name: value.numpy() for name, value in part.items()})
    features = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    features["image"] = features["image"][:, 0]
    lost = np.flatnonzero((features["image"] == b"") & has_picture)
    if len(lost):
        value = table.column(columns["image"])[lost[0]]
        what = "bytes" if isinstance(value, bytes) else str(value)
        raise ValueError(
            f"{len(lost)} pictures cannot be read, the first is that of {split} row {lost[0]} ({what}). They must be "
            "PNG, JPEG or BMP: convert them, or leave their rows out."
        )
    nothing = np.flatnonzero((features["tokens"] == 0).all(axis=1) & ~has_picture)
    if len(nothing):
        raise ValueError(f"{len(nothing)} rows have neither text nor picture, the first is {split} row {nothing[0]}.")
    targets = features["labels"] if preparation.multi_label else features["label"][:, 0]
    ids = np.array([f"{split}-{row}".encode() for row in range(table.num_rows)])
    return transformed_examples(ids, features, MODALITIES, targets)


def _recipes(
    settings: FitSettings, preparation: Preparation, rows: TransformedExamples, num_outputs: int
) -> dict[str, BackboneRecipe]:
    grid = settings.fusion.grid
    recipes = {}
    for modality in MODALITIES:
        chosen = getattr(settings, modality)
        shape = (preparation.max_tokens,) if modality == "text" else (*preparation.image_size, 3)
        if getattr(chosen, "kind", None) is not None:
            recipes[modality] = recipe_of_kind(modality, shape, num_outputs, chosen, grid)
        elif modality == "image":
            recipes[modality] = image_recipe(shape, num_outputs, chosen, grid)  # type: ignore[arg-type]
        else:
            recipes[modality] = text_recipe(
                preparation.vocabulary_size or 0, preparation.max_tokens, num_outputs, chosen, preparation.words
            )
    return recipes


def _told(settings: Any) -> str:
    return getattr(settings, "encoder", None) or type(settings).__name__.removesuffix("Settings")
