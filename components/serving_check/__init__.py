"""Calls a SavedModel the way a server would, from a process that has none of our code."""
