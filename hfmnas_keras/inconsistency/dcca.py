"""Deep canonical correlation between the two branches as a loss (HF-MNAS, Eq. 26-28)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.layers.replicas import sum_over_replicas
from hfmnas_keras.settings.fusion import CORRELATION_NORMS

# Newton-Schulz steps of the polar factor: singular values below about 1.875 ** -12 stay short of 1, and what they
# would add to the correlation is as small as they are.
_POLAR_STEPS = 12


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class CorrelationLoss(keras.layers.Layer):
    """One minus the mean canonical correlation of two views (HF-MNAS, Eq. 26-28; docs/method.md, section 5).

    Every position of every sample is one observation. The covariances are running averages, so that few observations
    still tell the correlation. The gradient is the whole one of the batch's covariances, taken at these averages:
    that of the batch's share in them would be `running_rate` times as large, and lambda a tenth of what it says.
    Everything is computed in float32, or in float64 under that
    policy: never in half precision.

    Every covariance is regularised by its own trace, so neither dead columns, equal views nor large scales make the
    Cholesky factors or their gradients infinite. The nuclear norm is taken as `sum(P * T)`, where `P` is the polar
    factor of `T`: that is its value, and `P` its (sub)gradient, with no singular vectors to divide by. The derivative
    by the covariances is a constant of the gradient, so second derivatives leave out how it changes. Views that are not
    finite give NaN.

    Args:
        regularisation: float. Share of the mean variance added to the diagonals. Defaults to `1e-2`.
        running_rate: float in (0, 1]. Weight of this batch in the running covariances. Defaults to `0.1`.
        norm: str. `"nuclear"` (default: the sum of the canonical correlations) or `"frobenius"` (of their squares).

    Call arguments:
        inputs: pair of tensors `(..., dim)` with equal shapes; all axes but the last are observations.
        training: bool. Update the running covariances. Defaults to `False`.

    Returns:
        Scalar in [0, 1], float32 (float64 under that policy); `0` for fewer than two observations.

    Raises:
        ValueError: for inputs that are not a pair of equal width.

    Reference:
     - [Long et al., 2025, Eq. 26-28]; [Andrew et al., 2013](https://proceedings.mlr.press/v28/andrew13.html)
    """

    def __init__(self, regularisation: float = 1e-2, running_rate: float = 0.1, norm: str = "nuclear", **kwargs: Any):
        super().__init__(**kwargs)
        if norm not in CORRELATION_NORMS:
            raise ValueError(f"`norm` must be one of {CORRELATION_NORMS}. Received: {norm!r}.")
        if not 0 < running_rate <= 1:
            raise ValueError(f"`running_rate` must be in (0, 1]. Received: {running_rate}.")
        if regularisation < 0:
            raise ValueError(f"`regularisation` must not be negative. Received: {regularisation}.")
        self.regularisation = regularisation
        self.running_rate = running_rate
        self.norm = norm

    def build(self, input_shape: Any) -> None:
        if len(input_shape) != 2 or input_shape[0][-1] != input_shape[1][-1]:
            raise ValueError(
                f"`CorrelationLoss` needs two views of equal width. Received shapes: {input_shape}. "
                "Project both first, for example with `keras.layers.Dense(16)`."
            )
        self.dim = int(input_shape[0][-1])
        # One joint covariance: its diagonal blocks are S11 and S22, the block above them S12.
        self.running_covariance = self.add_weight(
            shape=(2 * self.dim, 2 * self.dim),
            initializer="zeros",
            dtype=self._wide_dtype,
            trainable=False,
            autocast=False,
            name="running_covariance",
        )

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        view_1, view_2 = (ops.reshape(ops.cast(view, self._wide_dtype), (-1, self.dim)) for view in inputs)
        # (observations, 2 * dim)
        views = ops.concatenate([view_1, view_2], axis=-1)
        # Where devices share a batch, its observations are those of all.
        num_observations = sum_over_replicas(ops.cast(ops.shape(views)[0], self._wide_dtype))
        enough = num_observations >= 2.0
        total = sum_over_replicas(ops.sum(views, axis=0, keepdims=True))
        centred = views - total / ops.maximum(num_observations, 1.0)
        products = sum_over_replicas(ops.matmul(ops.transpose(centred), centred))
        batch_covariance = products / ops.maximum(num_observations - 1.0, 1.0)

        past, present = ops.convert_to_tensor(self.running_covariance), ops.stop_gradient(batch_covariance)
        # The first batch is the average: with a past of zeros the gradient would be in units of a tenth of its size.
        is_first = ops.all(ops.equal(past, 0.0))
        rate = ops.where(is_first, *(ops.cast(value, self._wide_dtype) for value in (1.0, self.running_rate)))
        covariance = ops.stop_gradient((1.0 - rate) * past + rate * present)
        if training:
            self.running_covariance.assign(ops.where(enough, covariance, past))

        # A step that has overflowed has the loss NaN, as its caller expects; the Cholesky factors would raise.
        is_finite = ops.all(ops.isfinite(covariance))
        covariance = ops.where(is_finite, covariance, ops.eye(2 * self.dim, dtype=self._wide_dtype))
        correlation, slope = map(ops.stop_gradient, self._correlation_and_slope(covariance))
        # Rounding may carry the sum of `dim` correlations a hair past `dim`.
        loss = ops.maximum(1.0 - correlation / self.dim, 0.0)
        loss = ops.where(is_finite, loss, ops.full_like(loss, float("nan")))
        # Nothing but the gradient: the difference is zero.
        loss = loss - ops.sum(slope * (batch_covariance - present)) / self.dim
        return ops.where(enough, loss, ops.zeros_like(loss))

    def _correlation_and_slope(self, covariance: Any) -> Any:
        """The correlation, and its derivative by the joint covariance.

        With T = L1^-1 S12 L2^-T and P the derivative by T, those by S12, S11 and S22 are L1^-T P L2^-1,
        -L1^-T P T^T L1^-1 / 2 and -L2^-T P^T T L2^-1 / 2. Written out, no gradient passes the Cholesky factors, whose
        own raises where something has overflowed.
        """
        dim = self.dim
        identity = ops.eye(dim, dtype=self._wide_dtype)
        # (2, dim, dim)
        own = ops.stack([covariance[:dim, :dim], covariance[dim:, dim:]])
        ridge = self.regularisation * ops.trace(own, axis1=-2, axis2=-1) / dim + 1e-6
        factors = ops.cholesky(own + ridge[:, None, None] * identity)
        inverses = ops.solve_triangular(factors, ops.stack([identity, identity]), lower=True)
        whitened = ops.matmul(ops.matmul(inverses[0], covariance[:dim, dim:]), ops.transpose(inverses[1]))
        if self.norm == "frobenius":
            correlation, by_whitened = ops.sum(ops.square(whitened)), 2.0 * whitened
        else:
            by_whitened = _polar_factor(whitened)
            correlation = ops.sum(by_whitened * whitened)
        by_cross = _between(inverses[0], by_whitened, inverses[1])
        by_own = []
        for inverse, product in (
            (inverses[0], ops.matmul(by_whitened, ops.transpose(whitened))),
            (inverses[1], ops.matmul(ops.transpose(by_whitened), whitened)),
        ):
            by_regularised = -0.5 * _between(inverse, product, inverse)
            # The ridge is a share of the trace.
            by_own.append(by_regularised + self.regularisation * ops.trace(by_regularised) / dim * identity)
        upper = ops.concatenate([by_own[0], by_cross], axis=1)
        lower = ops.concatenate([ops.zeros_like(by_cross), by_own[1]], axis=1)
        return correlation, ops.concatenate([upper, lower], axis=0)

    @property
    def _wide_dtype(self) -> Any:
        return keras.backend.result_type(self.variable_dtype, "float32")

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update({"regularisation": self.regularisation, "running_rate": self.running_rate, "norm": self.norm})
        return config

    def compute_output_shape(self, input_shape: Any) -> Any:
        return ()

    def compute_output_spec(self, inputs: Any, training: bool | None = False) -> Any:
        return keras.KerasTensor((), dtype=self._wide_dtype)


def _between(left: Any, matrix: Any, right: Any) -> Any:
    return ops.matmul(ops.transpose(left), ops.matmul(matrix, right))


def _polar_factor(matrix: Any) -> Any:
    """`U V^T` of `U S V^T` for singular values in [0, 1], by the quintic Newton-Schulz iteration.

    Matrix products alone: an SVD of a 16 x 16 matrix costs an accelerator milliseconds, and XLA more. The joint
    covariance is positive definite, so no canonical correlation exceeds 1 and the iteration converges.
    """
    polar = matrix
    for _ in range(_POLAR_STEPS):
        gram = ops.matmul(ops.transpose(polar), polar)
        polar = 1.875 * polar + ops.matmul(polar, -1.25 * gram + 0.375 * ops.matmul(gram, gram))
    return polar
