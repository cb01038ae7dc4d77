"""The vocabulary that Transform found."""

from __future__ import annotations

import tensorflow_transform as tft

VOCABULARY_NAME = "text_vocabulary"


def read_vocabulary(transform_graph_uri: str) -> list[str]:
    """Returns the words of the vocabulary in the order of their ids, which start at 1.

    Args:
        transform_graph_uri: str. Folder of a `TransformGraph` artifact.

    Returns:
        list of str.
    """
    words = tft.TFTransformOutput(transform_graph_uri).vocabulary_by_name(VOCABULARY_NAME)
    return [word.decode("utf-8") for word in words]


def num_token_ids(words: list[str]) -> int:
    """Returns the number of token ids: padding (0), the words, and one for all words out of the vocabulary."""
    return len(words) + 2
