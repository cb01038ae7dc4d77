"""State space models on grids (HF-MNAS, Eq. 11-23)."""
