"""Logistic regression with what it learnt in plain arrays."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import scipy.special
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

_MAX_STEPS = 300
# Log odds of 1 to 10^13, for a class that no train row has, or that all have.
_SURE = 30.0


@dataclasses.dataclass(frozen=True)
class LinearModel:
    """A linear model of all classes.

    Args:
        coefficients: float32 array `(classes, numbers)`.
        intercepts: float32 array `(classes,)`.
    """

    coefficients: np.ndarray
    intercepts: np.ndarray

    @classmethod
    def fit(cls, features: Any, labels: np.ndarray, num_classes: int, strength: float) -> LinearModel:
        """Fits scikit-learn's `LogisticRegression` with balanced class weights.

        Args:
            features: float32 array or sparse matrix `(rows, numbers)`.
            labels: int array `(rows,)`: one multinomial model; or array `(rows, classes)`, multi-hot: a binary one a
                class.
            num_classes: int.
            strength: float. `C` of scikit-learn: the greater, the less the coefficients are held back.

        Returns:
            `LinearModel`.
        """
        coefficients = np.zeros((num_classes, features.shape[1]), "float32")
        intercepts = np.zeros(num_classes, "float32")
        if labels.ndim == 2:
            for number, column in enumerate((labels > 0.5).T):
                if column.all() or not column.any():
                    intercepts[number] = _SURE if column.all() else -_SURE
                    continue
                fitted = _fitted(features, column, strength)
                coefficients[number], intercepts[number] = fitted.coef_[0], fitted.intercept_[0]
            return cls(coefficients, intercepts)
        present = np.unique(labels)
        intercepts[:] = -_SURE
        intercepts[present] = 0.0
        if len(present) > 1:
            fitted = _fitted(features, labels, strength)
            # For two classes scikit-learn gives one logit, that of the second.
            places = present[1:] if len(present) == 2 else present
            coefficients[places], intercepts[places] = fitted.coef_, fitted.intercept_
            absent = np.setdiff1d(np.arange(num_classes), present)
            intercepts[absent] = intercepts[present].min() - _SURE
        return cls(coefficients, intercepts)

    def probabilities(self, features: Any, multi_label: bool) -> np.ndarray:
        """Returns probabilities `(rows, classes)`; of one label a row they add up to 1."""
        logits = np.asarray(features @ self.coefficients.T) + self.intercepts
        return scipy.special.expit(logits) if multi_label else scipy.special.softmax(logits, axis=1)


def _fitted(features: Any, labels: np.ndarray, strength: float) -> LogisticRegression:
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=_MAX_STEPS)
    with warnings.catch_warnings():
        # Dev judges the model, wherever it has come to.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(features, labels)
