"""Inconsistency mitigation between the two branches (HF-MNAS, section III-F)."""
