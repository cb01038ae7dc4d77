"""Fusion networks without a search, from their papers' equations (docs/method.md, section 10)."""
