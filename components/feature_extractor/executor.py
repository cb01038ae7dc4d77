"""The work of FeatureExtractor."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
from absl import logging
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from components.code_fingerprint import check_code
from components.feature_extractor.separation import SEPARATION_BAR, SEPARATION_FILE, separations
from components.local_folders import readable_folder
from components.splits import read_examples, read_features
from hfmnas_keras.data.feature_files import write_feature_set
from hfmnas_keras.data.feature_set import FeatureSet
from hfmnas_keras.pretraining.absent_features import filled_features, mean_features
from hfmnas_keras.pretraining.extraction import extract_features, read_backbones

# The test split is missing on purpose: the Evaluator is the only one to read it.
SPLITS = ["train", "dev"]

#: What this stage runs.
CODE = (__name__,)


class Executor(base_executor.BaseExecutor):
    """Passes each split through the backbones and writes what their taps give."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Extracts the features of train and dev.

        Args:
            input_dict: `examples`, transformed; `backbones`; `taps`, from the same stage.
            output_dict: `features`, Examples with the splits `train` and `dev`, and `separation.json`: by
                cross-fitted modality, how well train rows are told from dev rows, see `separations`.
            exec_properties: `code_fingerprint`.
        """
        check_code(exec_properties, CODE)
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        features = artifact_utils.get_single_instance(output_dict["features"])
        features.split_names = artifact_utils.encode_split_names(SPLITS)
        taps = artifact_utils.get_single_instance(input_dict["taps"])
        with readable_folder(artifact_utils.get_single_uri(input_dict["backbones"])) as backbones:
            cross_fitted = [name for name, record in read_backbones(backbones)["modalities"].items() if record["folds"]]
            features_of: dict[str, Any] = {}
            means: dict[str, Any] = {}
            for split in SPLITS:
                rows = read_examples(examples, split)
                known = _known(taps, split, rows.ids)
                extracted = extract_features(backbones, rows.ids, rows.inputs(), split, known=known)
                lacking = rows.lacking()
                means = means or mean_features(extracted, lacking)
                feature_set = FeatureSet(
                    ids=rows.ids,
                    features=filled_features(extracted, lacking, means),
                    labels=rows.labels,
                    tokens=rows.tokens,
                )
                write_feature_set(feature_set, artifact_utils.get_split_uri([features], split))
                features_of[split] = feature_set.features
        record = {"bar": SEPARATION_BAR, "areas": separations(features_of["train"], features_of["dev"], cross_fitted)}
        logging.info("Area under the ROC curve of trees that tell train features from dev features: %s.", record)
        with fileio.open(os.path.join(features.uri, SEPARATION_FILE), "w") as file:
            file.write(json.dumps(record, indent=1) + "\n")


def _known(taps: types.Artifact, split: str, ids: np.ndarray) -> dict[str, np.ndarray]:
    """The features of a split that the backbones' training has computed, if they are of these rows."""
    if split not in artifact_utils.decode_split_names(taps.split_names or "[]"):
        return {}
    found = read_features(taps, split)
    if not np.array_equal(found.ids, ids):
        raise RuntimeError(
            f"The taps of the {split} split are of other rows than the examples: {found.num_rows} and {len(ids)}. Take "
            "both from the same run."
        )
    return found.features
