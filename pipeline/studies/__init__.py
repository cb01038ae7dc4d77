"""The paper's comparisons as commands: `hfmnas study NAME --config CONFIG` (docs/studies.md)."""
