"""The model that serves, as what a new one must not fall behind."""
