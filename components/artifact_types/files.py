"""Names of files in the artifacts, for those who read them: they need not import what writes them."""

from __future__ import annotations

#: In the raw examples: what the ingest saw, and which texts it replaced.
INGEST_FILE = "ingest.json"
INCONSISTENT_PAIRS_FILE = "inconsistent_pairs.json"
#: In the model: the whole classifier as Keras keeps it. In its run: curves and scores.
CLASSIFIER_FILE = "classifier.keras"
TRAINING_FILE = "training.json"
#: In ServingCheck's blessing: what was called and what came back.
SERVING_CHECK_FILE = "serving_check.json"
