"""Settings survive their way through an execution property."""

from __future__ import annotations

import pytest

from components.settings_json import settings_from_json, settings_to_json
from hfmnas_keras.settings.fusion import FusionSettings
from hfmnas_keras.settings.search import SearchSettings


def test_round_trip_keeps_tuples_and_none():
    fusion = FusionSettings(num_heads=8, grid=(2, 3), lfbc_taps=("text_low", "text_high"))
    assert settings_from_json(FusionSettings, settings_to_json(fusion)) == fusion
    search = SearchSettings(architecture_learning_rate=None)
    assert settings_from_json(SearchSettings, settings_to_json(search)) == search


def test_an_unknown_field_is_refused():
    with pytest.raises(ValueError, match="epochz"):
        settings_from_json(SearchSettings, '{"epochz": 3}')
