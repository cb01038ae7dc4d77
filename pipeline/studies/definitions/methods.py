"""Study `methods`: how to fuse, Tables II to V."""

from __future__ import annotations

from collections.abc import Iterable

from hfmnas_keras.settings.models import PLAIN_MODELS, SEARCHED_MODELS
from pipeline.config import RunConfig
from pipeline.studies import published
from pipeline.studies.study import Study
from pipeline.studies.variant import Variant

#: What the paper calls the plain fusion networks that it has.
_PAPERS_NAMES = {"two_stream": "Two-stream", "gmu": "GMU", "central_net": "CentralNet", "mmtm": "MMTM"}
_UNIMODAL = ("unimodal_first", "unimodal_second")
_SEARCHED_ROWS = (
    ("BM-NAS", {"model": "bm_nas", "mitigation.in_bm_nas": False}, "BM-NAS"),
    ("BM-NAS with IMM", {"model": "bm_nas", "mitigation.in_bm_nas": True}, "BM-NAS with NEM (Fig. 5)"),
)


def _variants(config: RunConfig) -> list[Variant]:
    alone: dict[str, Variant] = {}
    for model, *taps in zip(_UNIMODAL, config.fusion.lfbc_taps, config.fusion.hfbc_taps, strict=True):
        # What the model reads follows from the taps: a configuration may have them in another order, or all of one
        # modality.
        name = _alone(tap.rpartition("_")[0] for tap in taps)
        if name in alone:
            name = _alone(taps)
        alone[name] = Variant(name, {"model": model}, "unimodal")
    return [
        *alone.values(),
        *(
            Variant(_PAPERS_NAMES.get(model, model.replace("_", " ")), {"model": model}, _PAPERS_NAMES.get(model, ""))
            for model in PLAIN_MODELS
            if model not in _UNIMODAL
        ),
        *(
            Variant(name, overrides, row)
            for name, overrides, row in _SEARCHED_ROWS
            if overrides["model"] in SEARCHED_MODELS
        ),
        Variant("HF-MNAS", {"model": "hf_mnas"}, "HF-MNAS", published.HF_MNAS),
    ]


def _alone(parts: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(parts)) + " alone"


METHODS = Study(
    name="methods",
    title="HF-MNAS against one modality alone, plain fusion networks and BM-NAS",
    paper="Tables II to V",
    reference="HF-MNAS",
    variants_for=_variants,
)
