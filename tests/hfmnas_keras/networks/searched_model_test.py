import dataclasses

import keras
import numpy as np
import pytest

from hfmnas_keras.genotype import CellGenotype, Genotype, NodeChoice
from hfmnas_keras.networks.searched_model import searched_model
from hfmnas_keras.networks.supernet import Supernet
from hfmnas_keras.settings import FusionSettings
from tests.hfmnas_keras.cell.chosen_weights import copy_cell, decide

SHAPES = {"text_low": (6,), "text_high": (7,), "image_low": (2, 2, 5), "image_high": (2, 2, 3)}
FUSION = FusionSettings(channels=8, grid=(2, 2), num_nodes=2, kept_nodes=2, num_heads=2, correlation_dim=3)


def make_genotype():
    lfbc = CellGenotype(
        2,
        (
            NodeChoice(0, (0, 1), ("sep_conv_3x3", "max_pool_3x3"), "mamba_fusion"),
            NodeChoice(1, (1, 2), ("linear_elu", "skip"), "concat_fc"),
        ),
        kept=(0, 1),
        importance=(0.7, 0.3),
    )
    hfbc = CellGenotype(2, (NodeChoice(0, (0, 1), ("dil_conv_3x3", "skip"), "multi_head_attention"),), kept=(0,))
    return Genotype(lfbc, hfbc)


def random_inputs(rows=3, tokens=False):
    generator = np.random.default_rng(0)
    inputs = {name: generator.normal(size=(rows, *shape)).astype("float32") for name, shape in SHAPES.items()}
    if tokens:
        inputs["tokens"] = generator.integers(0, 9, (rows, 5))
    return inputs


# On a 2x2 grid the scans have one step, in which nothing decays.
@pytest.mark.filterwarnings("ignore:Gradients do not exist for variables .*decay_log:UserWarning")
@pytest.mark.parametrize(("num_cells", "tokens"), [(1, False), (3, True)])
def test_builds_trains_saves_and_loads(num_cells, tokens, tmp_path):
    keras.utils.set_random_seed(0)
    fusion = dataclasses.replace(FUSION, num_cells=num_cells)
    words = {"vocabulary_size": 9, "max_tokens": 5} if tokens else {}
    model = searched_model(make_genotype(), SHAPES, 4, fusion, **words)
    inputs = random_inputs(tokens=tokens)
    assert {tensor.name for tensor in model.inputs} == set(inputs)
    logits = model(inputs)
    assert logits.shape == (3, 4)
    assert logits.dtype == "float32"
    if num_cells == 3:
        cells = [layer.name for layer in model.layers if "_cell_" in layer.name and "input" not in layer.name]
        assert sorted(cells) == [f"{name}_cell_{number}" for name in ("hfbc", "lfbc") for number in (1, 2, 3)]
    # Tracing is what takes the time: SGD has the smaller graph, and three cells need not be traced too.
    model.compile(
        optimizer="sgd",
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
        run_eagerly=num_cells == 3,
    )
    before = model.get_layer("logits").get_weights()[0]
    assert np.isfinite(model.train_on_batch(inputs, np.array([0, 1, 2])))
    assert not np.array_equal(model.get_layer("logits").get_weights()[0], before)
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.saving.load_model(path)
    np.testing.assert_allclose(loaded(inputs), model(inputs), atol=1e-6)
    assert len(loaded.weights) == len(model.weights)


def test_further_entries_are_ignored_by_name():
    model = searched_model(make_genotype(), SHAPES, 4, FUSION)
    inputs = random_inputs()
    noise = {"a_first": np.ones((3, 2)), "tokens": np.ones((3, 5)), "zz_last": np.ones((3, 1))}
    np.testing.assert_array_equal(model({**noise, **inputs}), model(inputs))
    np.testing.assert_allclose(model.predict({**noise, **inputs}, verbose=0), model(inputs), atol=1e-6)


def test_decided_supernet_is_the_searched_model():
    keras.utils.set_random_seed(0)
    fusion = dataclasses.replace(FUSION, sequence_encoder=False, dropout=0.0)
    supernet = Supernet(SHAPES, num_outputs=4, fusion=fusion)
    decide(
        supernet.cells["lfbc"],
        ["linear_relu", "sep_conv_3x3", "none", "avg_pool_3x3", "skip"],
        ["squeeze_excitation", "linear_glu"],
    )
    decide(
        supernet.cells["hfbc"],
        ["skip", "linear_tanh", "dil_conv_3x3", "none", "max_pool_3x3"],
        ["scaled_dot_attention", "mamba_fusion"],
    )
    supernet.cells["lfbc"].importance.assign([0.5, -0.5])
    genotype = supernet.genotype()
    assert genotype.lfbc.nodes[1].predecessors == (1, 2)
    model = searched_model(genotype, SHAPES, 4, fusion)
    for name in ("lfbc", "hfbc"):
        copy_cell(supernet.cells[name], model.get_layer(f"{name}_cell_1"))
        for position, feature_grid in enumerate(supernet.feature_grids_of(name)):
            model.get_layer(f"{name}_input_{position}").set_weights(feature_grid.get_weights())
    mitigation = model.get_layer("inconsistency_mitigation")
    mitigation.set_weights(supernet.inconsistency_mitigation.get_weights())
    model.get_layer("logits").set_weights(supernet.head.get_weights())
    for training in (True, False):
        np.testing.assert_allclose(
            model(random_inputs(), training=training), supernet(random_inputs(), training=training), atol=1e-5
        )
    (expected,) = _correlation_losses(supernet)
    (received,) = _correlation_losses(model)
    assert received == pytest.approx(expected, abs=1e-5)


def _correlation_losses(model):
    model(random_inputs(), training=True)
    return [float(loss) for loss in model.losses]


def test_every_choice_of_a_module_builds():
    for changes in (
        {"imm_attention": False},
        {"imm_correlation": False},
        {"vector_to_grid": "tile"},
        {"lfbc_taps": ("text_low", "text_low"), "hfbc_taps": ("text_high", "text_high")},
    ):
        model = searched_model(make_genotype(), SHAPES, 4, dataclasses.replace(FUSION, **changes))
        assert model(random_inputs()).shape == (3, 4)


def test_missing_taps_are_refused():
    with pytest.raises(ValueError, match="`hfbc_taps` names `text_high`"):
        searched_model(make_genotype(), {"text_low": (6,), "image_low": (2, 2, 5)}, 4, FUSION)
