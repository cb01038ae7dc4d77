"""Reads labels and outputs from the elements that TFMA hands to a metric."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorflow_model_analysis.metrics import metric_util

GATED_OUTPUT = "probabilities"
LABELS_OUTPUT = "labels"


class ExampleReader:
    """What one example says: its label, the values of any output, its weight.

    Args:
        eval_config, model_name, output_name, example_weighted: as TFMA passes them to a metric.
        num_classes: int.
        multi_label: bool. Whether an example may have several classes, or none.
    """

    def __init__(
        self,
        eval_config: Any,
        model_name: str,
        output_name: str,
        example_weighted: bool | None,
        num_classes: int,
        multi_label: bool,
    ):
        self.output_name = output_name
        self.num_classes = num_classes
        self.multi_label = multi_label
        self._eval_config = eval_config
        self._model_name = model_name
        self._example_weighted = bool(example_weighted)

    def read(self, element: Any) -> tuple[Any, np.ndarray, float]:
        """Returns the truth, the values of the metric's own output and the weight of an example.

        The truth is the class's number, or in multi-label sets a boolean array `(classes,)`.

        Raises:
            ValueError: when label or output do not fit the classes.
        """
        label, scores, weight = self._parts(element, self.output_name)
        if scores.size != self.num_classes:
            raise ValueError(
                f"Output `{self.output_name}` must have {self.num_classes} values an example, one a class. "
                f"Received: {scores.size}."
            )
        return self._multi_hot(label) if self.multi_label else self._class_index(label), scores, weight

    def given_labels(self, element: Any, scores: np.ndarray, threshold: float) -> np.ndarray:
        """Which labels a multi-label example is given, bool `(classes,)`.

        Those that the model names, which knows its thresholds, in `labels` and, of a head, in `text_labels` and so on.
        Those above `threshold` where it names none.
        """
        outputs = element.get_predictions(self._model_name)
        names = LABELS_OUTPUT
        if self.output_name != GATED_OUTPUT:
            names = f"{self.output_name.removesuffix('_belief')}_{LABELS_OUTPUT}"
        if isinstance(outputs, Mapping) and names in outputs:
            return np.isin(np.ravel(outputs["class_names"]), np.ravel(outputs[names]))
        return scores > threshold

    def values(self, element: Any, output_name: str) -> np.ndarray:
        """Returns the values of another output, flat."""
        return self._parts(element, output_name)[1]

    def _parts(self, element: Any, output_name: str) -> tuple[np.ndarray, np.ndarray, float]:
        """Label and values of one output, both flat, and the weight of one example."""
        ((label, scores, weight),) = metric_util.to_label_prediction_example_weight(
            element,
            eval_config=self._eval_config,
            model_name=self._model_name,
            output_name=output_name,
            flatten=False,
            squeeze=False,
            example_weighted=self._example_weighted,
        )
        return np.asarray(label).reshape(-1), np.asarray(scores).reshape(-1), float(np.reshape(weight, -1)[0])

    def _multi_hot(self, label: np.ndarray) -> np.ndarray:
        if label.size != self.num_classes:
            raise ValueError(
                f"A multi-label example needs {self.num_classes} labels of 0 or 1, one for each class. "
                f"Received: {label}."
            )
        return label > 0.5

    def _class_index(self, label: np.ndarray) -> int:
        if label.size != 1 or not 0 <= label[0] < self.num_classes:
            raise ValueError(
                f"A single-label example needs one label from 0 to {self.num_classes - 1}. Received: {label}. "
                "Is its class among the classes of the data's preparation?"
            )
        return int(label[0])
