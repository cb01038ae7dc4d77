"""How a stage computes reaches it beside its properties."""

from __future__ import annotations

import dataclasses
import json

import pytest

from components.execution import EXECUTION_VARIABLE, execution_json, with_execution
from components.settings_json import settings_from_json, settings_to_json
from hfmnas_keras.settings.search import SearchSettings
from hfmnas_keras.settings.training import TrainingSettings

SEARCH = SearchSettings(epochs=3, devices=2, device_bytes=0, checkpoint_seconds=7.0)
TRAINING = TrainingSettings(max_epochs=3, devices=1, device_bytes=5)


@pytest.mark.parametrize(("part", "settings"), [("search", SEARCH), ("training", TRAINING)])
def test_settings_come_whole_by_both_ways_together_and_by_neither_alone(monkeypatch, part, settings):
    as_property = settings_to_json(settings)
    assert not {"devices", "device_bytes", "checkpoint_seconds"} & set(json.loads(as_property))
    received = settings_from_json(type(settings), as_property)
    assert with_execution(part, received) == received != settings
    monkeypatch.setenv(EXECUTION_VARIABLE, execution_json(search=SEARCH, training=TRAINING))
    assert with_execution(part, received) == settings


def test_equal_properties_are_of_settings_that_differ_in_how_alone():
    assert settings_to_json(SEARCH) == settings_to_json(SearchSettings(epochs=3))
    assert settings_to_json(SEARCH) != settings_to_json(dataclasses.replace(SEARCH, seed=1))


@pytest.mark.parametrize("text", ["{", "[]", '{"search": {"device": 1}}', '{"search": {"devices": 0}}'])
def test_what_no_runner_says_is_refused(monkeypatch, text):
    monkeypatch.setenv(EXECUTION_VARIABLE, text)
    with pytest.raises(ValueError, match="HFMNAS_EXECUTION must hold JSON of the settings of .search."):
        with_execution("search", SearchSettings())
