"""Names of the features that the cells of a genotype read."""

from __future__ import annotations

from hfmnas_keras.genotype.genotype import Genotype

TITLES = {"lfbc": "LFBC: low features", "hfbc": "HFBC: high features"}
DEFAULT_TAPS = {"lfbc": ("text_low", "image_low"), "hfbc": ("text_high", "image_high")}

_MAX_CHARACTERS = 40


def cell_inputs(genotype: Genotype, name: str) -> tuple[str, str]:
    """Names of a cell's two inputs, to be shown: from the metadata where it has them, else text and image.

    Only letters, digits and `_-. ` are left in them, so that a name breaks out of no label, markup or terminal.

    Args:
        genotype: `Genotype`.
        name: str. `"lfbc"` or `"hfbc"`.
    """
    taps = genotype.metadata.get(f"{name}_taps")
    if not (isinstance(taps, list) and len(taps) == 2 and all(isinstance(tap, str) for tap in taps)):
        return DEFAULT_TAPS[name]
    first, second = (_safe(tap) for tap in taps)
    return first, second


def _safe(text: str) -> str:
    kept = (character for character in text[:_MAX_CHARACTERS] if character.isalnum() or character in "_-. ")
    return "".join(kept)
