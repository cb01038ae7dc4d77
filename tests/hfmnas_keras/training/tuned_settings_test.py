import pytest

from hfmnas_keras.settings.fusion import FusionSettings
from hfmnas_keras.settings.training import TrainingSettings
from hfmnas_keras.training.tuned_settings import TUNABLE, fitting, value_of, with_values
from tests.hfmnas_keras.training.tuned_case import GENOTYPE

FUSION, TRAINING = FusionSettings(), TrainingSettings()
# Each another than the default.
VALUES = {
    "fusion.channels": 64,
    "fusion.dropout": 0.3,
    "fusion.correlation_weight": 0.5,
    "fusion.kept_nodes": 2,
    "fusion.num_cells": 3,
    "fusion.num_heads": 8,
    "training.learning_rate": 0.01,
    "training.weight_decay": 0.0,
    "training.batch_size": 16,
    "training.label_smoothing": 0.2,
}


def test_each_value_changes_its_own_setting_alone():
    assert set(VALUES) == set(TUNABLE)
    own = {name: value_of(name, FUSION, TRAINING) for name in TUNABLE}
    for name, value in VALUES.items():
        fusion, training = with_values(FUSION, TRAINING, {name: value})
        assert {each: value_of(each, fusion, training) for each in TUNABLE} == {**own, name: value} != own
    assert with_values(FUSION, TRAINING, VALUES) == (
        FusionSettings(channels=64, dropout=0.3, correlation_weight=0.5, kept_nodes=2, num_cells=3, num_heads=8),
        TrainingSettings(learning_rate=0.01, weight_decay=0.0, batch_size=16, label_smoothing=0.2),
    )
    assert with_values(FUSION, TRAINING, {}) == (FUSION, TRAINING)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fusion.num_nodes": 2}, "'fusion.num_nodes' cannot be tuned. What can: fusion.channels, "),
        ({"kept_nodes": 2}, "'kept_nodes' cannot be tuned"),
        ({"fusion.kept_nodes": 5}, "`kept_nodes` must be between 1 and num_nodes=4. Received: 5"),
    ],
)
def test_what_cannot_be_tuned_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        with_values(FUSION, TRAINING, values)


def test_a_genotype_is_cut_to_the_kept_nodes_of_the_values():
    cut = fitting(GENOTYPE, {"fusion.kept_nodes": 2, "fusion.dropout": 0.3})
    # The most important ones, and node 0 of the high branch, which node 2 reads.
    assert {name: cell.kept for name, cell in cut.cells.items()} == {"lfbc": (0, 2), "hfbc": (1, 2)}
    assert {name: [node.index for node in cell.nodes] for name, cell in cut.cells.items()} == {
        "lfbc": [0, 2],
        "hfbc": [0, 1, 2],
    }
    assert fitting(GENOTYPE, {"fusion.dropout": 0.3}) == fitting(GENOTYPE, {"fusion.kept_nodes": 3}) == GENOTYPE
    assert fitting(None, {"fusion.kept_nodes": 2}) is None
