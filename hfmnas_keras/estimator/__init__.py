"""Fit and predict on a table: the method without a pipeline around it."""
