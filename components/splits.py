"""Reads the splits of `Examples` artifacts into memory."""

from __future__ import annotations

import os

from tfx.types import Artifact, artifact_utils

from hfmnas_keras.data.feature_files import read_feature_set
from hfmnas_keras.data.feature_set import FeatureSet
from hfmnas_keras.data.transformed_examples import TransformedExamples, read_transformed_examples


def read_features(features: Artifact, split: str) -> FeatureSet:
    """Reads the cached features of a split.

    Args:
        features: artifact of type `Examples`, from `FeatureExtractor`.
        split: str. `"train"` or `"dev"`.

    Returns:
        `FeatureSet`.
    """
    return read_feature_set(artifact_utils.get_split_uri([features], split))


def read_examples(examples: Artifact, split: str) -> TransformedExamples:
    """Reads the transformed examples of a split, pictures still encoded.

    Args:
        examples: artifact of type `Examples`, from Transform.
        split: str.

    Returns:
        `TransformedExamples`.
    """
    return read_transformed_examples(os.path.join(artifact_utils.get_split_uri([examples], split), "*"))
