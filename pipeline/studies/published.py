"""What the paper reports, to stand beside what a study finds (docs/method.md, section 8)."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.config import RunConfig
from pipeline.data_config import HarmData

#: HF-MNAS, in percent: macro F1, or accuracy where the paper gives it alone.
HF_MNAS = {
    "MM-IMDB": "62.67 macro F1",
    "HARM_P, 3 classes": "91.74 macro F1",
    "HARM_P, 2 classes": "89.08 macro F1",
    "HARM_C, 3 classes": "78.06 macro F1",
    "HARM_C, 2 classes": "84.16 macro F1",
    "NTU RGB+D": "91.15 accuracy",
    "EgoGesture": "95.31 accuracy",
}
#: The search on one A100, by model.
COSTS = {
    "HF-MNAS": {"MM-IMDB": "64.17 weighted F1, search of 0.72 GPU-hours"},
    "BM-NAS": {"MM-IMDB": "search of 0.89 GPU-hours"},
}

_DATA = {"mmimdb": "MM-IMDB", "mmimdb_hdf5": "MM-IMDB", "ntu": "NTU RGB+D", "egogesture": "EgoGesture"}


def data_of_the_paper(config: RunConfig) -> str | None:
    """What the paper calls the data of a configuration; `None` where it has not seen them."""
    if isinstance(config.data, HarmData):
        return f"HARM_{config.data.subset}, {len(config.preparation.classes)} classes"
    return _DATA.get(config.data.source)


def published_beside(published: Mapping[str, str], data: str | None) -> str:
    """What the paper reports of a row's model, in words: on the same data where it does, else on which others.

    Args:
        published: dict from data set to what is reported for it.
        data: as of `data_of_the_paper`.
    """
    if data is not None and data in published:
        return f"{published[data]} on these data"
    others = "; ".join(f"{value} on {name}" for name, value in published.items())
    return f"other data: {others}" if others else ""
