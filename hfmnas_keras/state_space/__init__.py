"""State space models on grids (HF-MNAS, Eq. 21-23)."""
