"""What those share who write backbones and who read them."""

from __future__ import annotations

BACKBONES_FILE = "backbones.json"
TAPS = ("low", "high")
