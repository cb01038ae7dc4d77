import pytest

from hfmnas_keras.settings.fusion import FinalModelSettings, FusionSettings, MitigationSettings
from hfmnas_keras.settings.training import TrainingSettings
from hfmnas_keras.training.tuned_settings import MODEL_SETTINGS, TUNABLE, fitting, with_values
from tests.hfmnas_keras.training.tuned_case import GENOTYPE

SETTINGS = {part: kind() for part, kind in MODEL_SETTINGS.items()}
# Each another than the default.
VALUES = {
    "final_model.channels": 64,
    "final_model.num_cells": 3,
    "fusion.dropout": 0.3,
    "fusion.num_heads": 8,
    "mitigation.correlation_weight": 0.5,
    "training.learning_rate": 0.01,
    "training.weight_decay": 0.0,
    "training.batch_size": 16,
    "training.label_smoothing": 0.2,
}


def value_of(name, settings):
    part, field = name.split(".")
    return getattr(settings[part], field)


def test_each_value_changes_its_own_setting_alone():
    # The kept nodes are the genotype's.
    assert {*VALUES, "space.kept_nodes"} == set(TUNABLE)
    own = {name: value_of(name, SETTINGS) for name in VALUES}
    for name, value in VALUES.items():
        changed = with_values(SETTINGS, {name: value})
        assert {each: value_of(each, changed) for each in VALUES} == {**own, name: value} != own
    assert with_values(SETTINGS, VALUES) == {
        "fusion": FusionSettings(dropout=0.3, num_heads=8),
        "final_model": FinalModelSettings(channels=64, num_cells=3),
        "mitigation": MitigationSettings(correlation_weight=0.5),
        "training": TrainingSettings(learning_rate=0.01, weight_decay=0.0, batch_size=16, label_smoothing=0.2),
    }
    assert with_values(SETTINGS, {}) == with_values(SETTINGS, {"space.kept_nodes": 2}) == SETTINGS


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"space.num_nodes": 2}, "'space.num_nodes' cannot be tuned. What can: final_model.channels, "),
        ({"kept_nodes": 2}, "'kept_nodes' cannot be tuned"),
        ({"final_model.num_cells": 0}, "`num_cells` must be at least 1. Received: 0"),
    ],
)
def test_what_cannot_be_tuned_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        with_values(SETTINGS, values)


def test_a_genotype_is_cut_to_the_kept_nodes_of_the_values():
    cut = fitting(GENOTYPE, {"space.kept_nodes": 2, "fusion.dropout": 0.3})
    # The most important ones, and node 0 of the high branch, which node 2 reads.
    assert {name: cell.kept for name, cell in cut.cells.items()} == {"lfbc": (0, 2), "hfbc": (1, 2)}
    assert {name: [node.index for node in cell.nodes] for name, cell in cut.cells.items()} == {
        "lfbc": [0, 2],
        "hfbc": [0, 1, 2],
    }
    assert fitting(GENOTYPE, {"fusion.dropout": 0.3}) == fitting(GENOTYPE, {"space.kept_nodes": 3}) == GENOTYPE
    assert fitting(None, {"space.kept_nodes": 2}) is None
