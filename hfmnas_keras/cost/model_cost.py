"""Parameters and FLOPs of a model, part by part."""

from __future__ import annotations

import dataclasses

import keras

from hfmnas_keras.cost.layer_rules import calls_of, multiply_accumulates


@dataclasses.dataclass(frozen=True)
class ModelCost:
    """What a model costs at inference.

    Args:
        parameters: int. Numbers in all weights, as Keras counts them: statistics of normalisations, and what only the
            training needs, are among them.
        flops: int. Floating-point operations for one example: multiply-accumulates times two, by the rules in
            `hfmnas_keras.cost.layer_rules`.
        parts: dict from the name of each of the model's layers that has parameters or FLOPs to its own `ModelCost`.
    """

    parameters: int
    flops: int
    parts: dict[str, ModelCost] = dataclasses.field(default_factory=dict)


def model_cost(model: keras.Model) -> ModelCost:
    """Counts parameters and FLOPs of a functional model.

    Args:
        model: functional `keras.Model` whose inputs have known shapes but for the batch.

    Returns:
        `ModelCost`.

    Raises:
        ValueError: when a layer has no rule, or an input's shape is open.

    Example:
    >>> model_cost(searched_model(genotype, feature_shapes, num_outputs=5)).flops
    """
    parts: dict[str, ModelCost] = {}
    for layer, shape in calls_of(model):
        flops = 2 * multiply_accumulates(layer, shape)
        if layer.name in parts:
            # Called again: the same weights.
            flops += parts[layer.name].flops
        parts[layer.name] = ModelCost(layer.count_params() if isinstance(layer, keras.layers.Layer) else 0, flops)
    return ModelCost(
        parameters=model.count_params(),
        flops=sum(part.flops for part in parts.values()),
        parts={name: part for name, part in parts.items() if part.parameters or part.flops},
    )
