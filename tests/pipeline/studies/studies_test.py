"""What the variants of the studies switch, whatever the configuration says already."""

from __future__ import annotations

import pytest

from pipeline.config import load_config, with_overrides
from pipeline.studies.studies import STUDIES


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
