"""The vocabulary that Transform found."""

from __future__ import annotations

import tensorflow_transform as tft

from components.transform.text import VOCABULARY


def read_vocabulary(transform_graph: tft.TFTransformOutput) -> list[str]:
    """Returns the words of the vocabulary in the order of their ids, which start at 1.

    Args:
        transform_graph: `tft.TFTransformOutput` of the Transform that ran our `preprocessing_fn`.

    Returns:
        list of str.
    """
    return [word.decode("utf-8") for word in transform_graph.vocabulary_by_name(VOCABULARY)]
