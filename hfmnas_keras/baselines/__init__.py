"""Fusion networks without a search, from their papers' equations."""

from hfmnas_keras.baselines.baseline_model import BASELINES, baseline_model

__all__ = ["BASELINES", "baseline_model"]
