"""Attention between two grids (HF-MNAS, Eq. 11-23)."""
