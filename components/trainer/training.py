"""Trains and exports the fusion model: the user code of Trainer."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

import keras
import numpy as np
import tensorflow_transform as tft
from absl import logging
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.dsl.io import fileio

from components.artifact_types.files import CLASSIFIER_FILE, TRAINING_FILE
from components.execution import with_execution
from components.local_folders import readable_folder, writable_folder
from components.settings_json import settings_from_json
from components.trainer.warmup import write_warmup
from components.transform.text import vocabulary_size
from hfmnas_keras.cost import model_cost
from hfmnas_keras.data.feature_files import read_feature_set
from hfmnas_keras.data.transformed_examples import read_transformed_examples
from hfmnas_keras.evidence.abstention import Abstention
from hfmnas_keras.export.serving import export_saved_model
from hfmnas_keras.genotype.load_genotype import load_genotypes
from hfmnas_keras.models.classifier import multimodal_classifier
from hfmnas_keras.pretraining.extraction import load_backbone, read_backbones
from hfmnas_keras.training.final_model import train_final_model
from hfmnas_keras.training.head_shares import with_head_shares
from hfmnas_keras.training.tuned_settings import MODEL_SETTINGS, fitting, with_values


def run_fn(fn_args: FnArgs) -> None:
    """Trains the model and exports it.

    Args:
        fn_args: what TFX's Trainer passes; `custom_config` has the entries that `components.trainer.component` and
            `components.trainer.executor` put there.
    """
    config = fn_args.custom_config
    tuned = (fn_args.hyperparameters or {}).get("values", {})
    model_settings = with_values(
        {part: settings_from_json(kind, config[part]) for part, kind in MODEL_SETTINGS.items()}, tuned
    )
    settings = with_execution("training", model_settings.pop("training"))
    transform = tft.TFTransformOutput(fn_args.transform_graph_path)
    with readable_folder(config["backbones_uri"]) as folder:
        heads = read_backbones(folder)["modalities"]
        backbones = {modality: load_backbone(folder, modality) for modality in heads}
    genotypes: list[Any] = [None]
    if config["genotype_uri"] is not None:
        with readable_folder(config["genotype_uri"]) as folder:
            genotypes = [fitting(genotype, tuned) for genotype in load_genotypes(folder, config["model"])]
    train: Any
    dev: Any
    if settings.unfreeze_backbones:
        train, dev = (read_transformed_examples(files) for files in (fn_args.train_files, fn_args.eval_files))
    else:
        train, dev = (read_feature_set(config[f"{split}_features_uri"]) for split in ("train", "dev"))

    result = train_final_model(
        genotypes[0],
        train,
        dev,
        num_outputs=len(config["classes"]),
        settings=settings,
        **model_settings,
        checkpoint_dir=config["checkpoint_dir"],
        backbones=backbones,
        vocabulary_size=vocabulary_size(transform) if "text" in backbones else None,
        model=config["model"],
        others=genotypes[1:],
        fixed_threshold=config["threshold"],
    )
    result, head_shares = with_head_shares(result, dev, settings, config["threshold"])
    head_thresholds = None
    if config["multi_label"]:
        head_thresholds = {
            modality: np.full(len(config["classes"]), config["threshold"])
            if settings.threshold == "fixed"
            else np.array(heads[modality]["thresholds"][settings.threshold])
            for modality in result.backbones
        }
    classifier = multimodal_classifier(result.fusion_network, result.backbones, config["multi_label"], head_shares)
    export_saved_model(
        classifier,
        transform.transform_features_layer(),
        transform.raw_feature_spec(),
        config["classes"],
        config["multi_label"],
        fn_args.serving_model_dir,
        settings_from_json(Abstention, config["abstention"]),
        result.thresholds,
        head_thresholds,
    )
    write_warmup(fn_args.serving_model_dir, list(result.backbones))
    with writable_folder(config["model_uri"]) as folder:
        classifier.save(os.path.join(folder, CLASSIFIER_FILE))
    record = {
        "model": config["model"],
        "settings": dataclasses.asdict(settings),
        "tuned": tuned,
        "epochs": result.epochs,
        "dev_macro_f1": result.dev_macro_f1,
        "dev_average_precision": result.dev_average_precision,
        "thresholds": None if result.thresholds is None else result.thresholds.tolist(),
        "head_shares": head_shares,
        "head_thresholds": head_thresholds
        and {modality: values.tolist() for modality, values in head_thresholds.items()},
        "parameters": int(classifier.count_params()),
        "flops": _flops(classifier),
        "fusion": {
            "parameters": int(result.fusion_network.count_params()),
            "flops": _flops(result.fusion_network),
        },
        "members": result.members,
        "history": result.history,
    }
    with fileio.open(os.path.join(fn_args.model_run_dir, TRAINING_FILE), "w") as file:
        file.write(json.dumps(record, indent=1) + "\n")


def _flops(model: keras.Model) -> int | None:
    """FLOPs of one example; `None` for a model with layers that have no rule, which is no reason to lose it."""
    try:
        return model_cost(model).flops
    except ValueError as error:
        logging.warning("FLOPs are not counted: %s", error)
        return None
