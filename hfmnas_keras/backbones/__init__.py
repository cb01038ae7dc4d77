"""Unimodal feature extractors with two taps and a head (HF-MNAS, section III-D)."""
