"""Unimodal backbones and heads: pre-training, cross-fitting, alignment, extraction (docs/method.md, section 3)."""
