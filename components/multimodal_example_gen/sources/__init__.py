"""Where examples come from: one source a file, and the registry that knows them by name."""
