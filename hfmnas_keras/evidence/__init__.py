"""Evidence, opinions and their combination (HF-MNAS, section III-A)."""
