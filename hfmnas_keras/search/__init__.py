"""The bilevel architecture search (HF-MNAS, Eq. 29-30, Algorithm 1; docs/method.md, section 7)."""
