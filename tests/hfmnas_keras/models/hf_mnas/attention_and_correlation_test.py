"""`attention_values` and `correlation_norm` of the settings reach every layer they are for, and do what they say."""

import numpy as np
import pytest
from keras import ops

from hfmnas_keras.attention.multi_head_fusion_attention import MultiHeadFusionAttention
from hfmnas_keras.cell import MixedNode, SearchedCell, SupernetCell
from hfmnas_keras.genotype import CellGenotype, Genotype, NodeChoice
from hfmnas_keras.genotype.bm_genotype import BMGenotype
from hfmnas_keras.inconsistency.dcca import CorrelationLoss
from hfmnas_keras.inconsistency.inconsistency_mitigation import InconsistencyMitigation
from hfmnas_keras.models.bm_nas.bm_model import bm_model
from hfmnas_keras.models.bm_nas.bm_supernet import BMSupernet
from hfmnas_keras.models.hf_mnas.searched_model import searched_model
from hfmnas_keras.models.hf_mnas.supernet import Supernet
from tests.hfmnas_keras.cell.reference_cell import searched_cell_reference, supernet_cell_reference
from tests.hfmnas_keras.network_settings import NetworkSettings
from tests.hfmnas_keras.reference_arithmetic import randomize_weights, weight_values
from tests.hfmnas_keras.reference_operations import mitigation_reference

SHAPES = {"text_low": (3,), "image_low": (2, 2, 3), "text_high": (4,), "image_high": (2, 2, 2)}
FUSION = NetworkSettings(
    channels=4,
    grid=(2, 2),
    num_nodes=1,
    kept_nodes=1,
    num_heads=2,
    dropout=0.0,
    correlation_dim=3,
    sequence_encoder=False,
    in_bm_nas=True,
)
CHANGED = FUSION.changed(attention_values="key", correlation_norm="frobenius", attention_inputs="hidden")
CELL = CellGenotype(1, (NodeChoice(0, (0, 1), ("skip", "linear_tanh"), "multi_head_attention"),), kept=(0,))
BM_STEPS = [{"inputs": [0, 1], "operation": "linear_glu"}]
NETWORKS = {
    "supernet": lambda fusion: Supernet(SHAPES, 3, **fusion.supernet()),
    "searched": lambda fusion: searched_model(Genotype(CELL, CELL), SHAPES, 3, **fusion.model),
    "bm_supernet": lambda fusion: BMSupernet(SHAPES, 3, **fusion.supernet("bm_nas")),
    "bm_searched": lambda fusion: bm_model(
        BMGenotype(
            [
                {"features": ["text_low", "image_low"], "steps": BM_STEPS},
                {"features": ["text_high", "image_high"], "steps": BM_STEPS},
            ]
        ),
        SHAPES,
        3,
        **fusion.model,
    ),
}


def random_inputs():
    generator = np.random.default_rng(0)
    return {name: generator.normal(size=(4, *shape)).astype("float32") for name, shape in SHAPES.items()}


def layers_of(network, kind):
    return [layer for layer in network._flatten_layers() if isinstance(layer, kind)]


@pytest.mark.parametrize(
    ("name", "num_cells", "attentions"),
    # One a node, and one in the mitigation.
    [("supernet", 1, 3), ("searched", 2, 5), ("bm_supernet", 1, 1), ("bm_searched", 1, 1)],
)
def test_every_layer_gets_the_setting(name, num_cells, attentions):
    network = NETWORKS[name](CHANGED.changed(num_cells=num_cells))
    assert [layer.values for layer in layers_of(network, MultiHeadFusionAttention)] == ["key"] * attentions
    assert [layer.norm for layer in layers_of(network, CorrelationLoss)] == ["frobenius"]
    assert [layer.attention_inputs for layer in layers_of(network, InconsistencyMitigation)] == ["hidden"]
    if name == "supernet":
        assert network.genotype().metadata["attention_values"] == "key"


@pytest.mark.parametrize("name", ["supernet", "searched"])
def test_logits_and_loss_are_those_of_numpy(double_precision, name):
    """The cells, the mitigation and the classifier in numpy, while training."""
    network = NETWORKS[name](CHANGED)
    randomize_weights(network)
    inputs = random_inputs()
    branches = []
    for cell, taps in (("lfbc", CHANGED.fusion.lfbc_taps), ("hfbc", CHANGED.fusion.hfbc_taps)):
        if name == "supernet":
            layer, reference = network.cells[cell], supernet_cell_reference
            feature_grids = network.feature_grids_of(cell)
        else:
            layer, reference = network.get_layer(f"{cell}_cell_1"), searched_cell_reference
            feature_grids = [network.get_layer(f"{cell}_input_{position}") for position in (0, 1)]
        assert layer.attention_values == "key"
        grids = [
            ops.convert_to_numpy(feature_grid(inputs[tap], training=True))
            for feature_grid, tap in zip(feature_grids, taps, strict=True)
        ]
        branches.append(reference(layer, grids, training=True))
    (mitigation,) = layers_of(network, InconsistencyMitigation)
    weights = weight_values(mitigation)
    fused, loss = mitigation_reference(branches, weights, 2, 0.1, values="key", norm="frobenius")
    kernel, bias = (network.head if name == "supernet" else network.get_layer("logits")).get_weights()
    received = network(inputs, training=True)
    np.testing.assert_allclose(received, fused.reshape(4, -1) @ kernel + bias, rtol=0, atol=1e-5)
    (added,) = network.losses
    np.testing.assert_allclose(added, loss, rtol=0, atol=1e-6)
    # The defaults make something else of the same weights.
    other_fused, other_loss = mitigation_reference(branches, weights, 2, 0.1)
    assert np.abs(fused - other_fused).max() > 1e-2 and abs(loss - other_loss) > 1e-3


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        (lambda options: MixedNode(4, **options), ["attention_values"]),
        (lambda options: SupernetCell(4, **options), ["attention_values"]),
        (lambda options: SearchedCell(CELL, 4, **options), ["attention_values"]),
        (
            lambda options: InconsistencyMitigation(4, **options),
            ["attention_values", "correlation_norm", "attention_inputs"],
        ),
    ],
)
def test_a_layer_read_from_its_config_has_them(layer, names):
    made = layer({name: CHANGED.fields[name] for name in names})
    read = type(made).from_config(made.get_config())
    assert [getattr(read, name) for name in names] == [CHANGED.fields[name] for name in names]


@pytest.mark.parametrize("cell", [lambda **options: SupernetCell(4, **options), lambda **o: SearchedCell(CELL, 4, **o)])
def test_a_cell_refuses_other_values(cell):
    with pytest.raises(ValueError, match=r"`attention_values` must be one of \('query', 'key'\). Received: 'both'"):
        cell(attention_values="both")
