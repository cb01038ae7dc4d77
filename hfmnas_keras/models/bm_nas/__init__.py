"""BM-NAS, the closest peer (Yin et al., AAAI 2022; docs/method.md, section 11)."""
