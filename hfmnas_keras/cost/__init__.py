"""What a model costs: parameters and FLOPs, counted from the built model."""

from hfmnas_keras.cost.layer_rules import multiply_accumulates
from hfmnas_keras.cost.model_cost import ModelCost, model_cost

__all__ = ["ModelCost", "model_cost", "multiply_accumulates"]
