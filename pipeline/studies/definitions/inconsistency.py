"""Study `inconsistency`: pairs that contradict each other, with the mitigation and without, Fig. 3 to 6."""

from __future__ import annotations

from typing import Any

from hfmnas_keras.settings.models import SEARCHED_MODELS
from pipeline.config import RunConfig
from pipeline.studies.study import Study
from pipeline.studies.variant import Variant

_RATES = (0.0, 0.3, 0.7)
_WITHOUT_IMM: dict[str, tuple[str, dict[str, Any]]] = {
    "hf_mnas": ("HF-MNAS", {"mitigation.attention": False, "mitigation.correlation": False}),
    "bm_nas": ("BM-NAS", {"mitigation.in_bm_nas": False}),
}


def _variants(config: RunConfig) -> list[Variant]:
    del config
    variants = []
    for rate in _RATES:
        # The share of texts that are replaced, in every split; none at 0 %, whatever the configuration replaces.
        data = {"data.inconsistency.rate": rate} if rate else {"data.inconsistency": None}
        for model, (name, without) in _WITHOUT_IMM.items():
            if model not in SEARCHED_MODELS:
                continue
            plain, mitigated = (f"{rate:.0%}, {name} {word} IMM" for word in ("without", "with"))
            with_imm = dict.fromkeys(without, True)
            for variant, switches in ((plain, without), (mitigated, with_imm)):
                overrides = {"model": model, **switches, **data}
                variants.append(Variant(variant, overrides, reference=plain))
    return variants


INCONSISTENCY = Study(
    name="inconsistency",
    title="the mitigation where a share of the texts contradicts the pictures",
    paper="Fig. 3 to 6",
    reference="0%, HF-MNAS without IMM",
    variants_for=_variants,
)
