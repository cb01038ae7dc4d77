"""What the variants of the studies switch, whatever the configuration says already."""

from __future__ import annotations

import re

import pytest

from pipeline.config import load_config, with_overrides
from pipeline.studies.methods import PUBLISHED_HF_MNAS
from pipeline.studies.studies import STUDIES
from tests import source_files


def configurations(study, overrides):
    """The demo's configuration with some overrides, as each variant changes it."""
    config = with_overrides(load_config("demo"), overrides)
    return {variant.name: with_overrides(config, variant.overrides) for variant in STUDIES[study].variants(config)}


@pytest.mark.parametrize("configured", [{}, {"data.inconsistency": {"rate": 0.5, "seed": 4}}])
def test_the_rates_of_inconsistency_are_those_in_the_names(configured):
    for name, config in configurations("inconsistency", configured).items():
        rate = int(name.split("%")[0]) / 100
        inconsistency = config.data.inconsistency
        assert (inconsistency.rate if inconsistency else 0) == rate, name
        # Which rows and whose text stay the configuration's.
        assert not rate or not configured or inconsistency.seed == 4


@pytest.mark.parametrize("configured", [False, True])
def test_bm_nas_is_with_the_mitigation_and_without(configured):
    configs = configurations("methods", {"fusion.bm_mitigation": configured})
    assert [configs[name].fusion.bm_mitigation for name in ("BM-NAS", "BM-NAS with IMM")] == [False, True]


def test_one_modality_has_all_parts_too():
    configs = configurations("components", {})
    for modality in ("text", "image"):
        own = {name.removeprefix(f"{modality}: "): config for name, config in configs.items() if modality in name}
        assert len(own) == 5 and set(own) <= set(configs)
        for parts, config in own.items():
            assert config.fusion.lfbc_taps == (f"{modality}_low",) * 2
            both = configs[parts].fusion
            for switch in ("imm_attention", "imm_correlation", "sequence_encoder"):
                assert getattr(config.fusion, switch) == getattr(both, switch), (modality, parts)


@pytest.mark.parametrize(
    "taps, names",
    [
        ([["text_low", "image_low"], ["text_high", "image_high"]], ["text alone", "image alone"]),
        ([["image_low", "text_low"], ["image_high", "text_high"]], ["image alone", "text alone"]),
        ([["text_low", "text_high"], ["text_high", "text_low"]], ["text alone"]),
    ],
)
def test_what_a_modality_alone_is_called_follows_from_what_is_read(taps, names):
    config = with_overrides(load_config("demo"), dict(zip(("fusion.lfbc_taps", "fusion.hfbc_taps"), taps, strict=True)))
    assert [variant.name for variant in STUDIES["methods"].variants(config)][: len(names)] == names


def test_published_numbers_are_in_the_page_that_is_cited():
    page = (source_files.ROOT / "docs" / "method.md").read_text(encoding="utf-8")
    section = page.split("## 8. Numbers")[1].split("\n## ")[0]
    quoted = " ".join(
        value
        for values in (
            PUBLISHED_HF_MNAS,
            *(variant.published for variant in STUDIES["cost"].variants(load_config("demo"))),
        )
        for value in values.values()
    )
    numbers = set(re.findall(r"\d+\.\d+", quoted))
    assert len(numbers) == 10 and numbers <= set(re.findall(r"\d+\.\d+", section))
