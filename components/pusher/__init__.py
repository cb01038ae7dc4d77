"""Pushes a blessed model once, and never half of it."""
