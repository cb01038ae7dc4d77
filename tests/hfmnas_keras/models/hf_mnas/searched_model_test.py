import keras
import numpy as np
import pytest
from keras import ops

from hfmnas_keras.cell import SupernetCell
from hfmnas_keras.genotype import CellGenotype, Genotype, NodeChoice
from hfmnas_keras.models.hf_mnas.searched_model import searched_model
from hfmnas_keras.models.hf_mnas.supernet import Supernet
from tests.hfmnas_keras.cell.chosen_weights import copy_cell, copy_model, decide
from tests.hfmnas_keras.network_settings import NetworkSettings

SHAPES = {"text_low": (6,), "text_high": (7,), "image_low": (2, 2, 5), "image_high": (2, 2, 3)}
FUSION = NetworkSettings(
    channels=8, grid=(2, 2), num_nodes=2, kept_nodes=2, num_heads=2, correlation_dim=3, sequence_encoder=True
)


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
    fusion = FUSION.changed(num_cells=num_cells)
    words = {"vocabulary_size": 9, "max_tokens": 5} if tokens else {}
    model = searched_model(make_genotype(), SHAPES, 4, **fusion.model, **words)
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
    model = searched_model(make_genotype(), SHAPES, 4, **FUSION.model)
    inputs = random_inputs()
    noise = {"a_first": np.ones((3, 2)), "tokens": np.ones((3, 5)), "zz_last": np.ones((3, 1))}
    np.testing.assert_array_equal(model({**noise, **inputs}), model(inputs))
    np.testing.assert_allclose(model.predict({**noise, **inputs}, verbose=0), model(inputs), atol=1e-6)


def test_decided_supernet_is_the_searched_model():
    keras.utils.set_random_seed(0)
    fusion = FUSION.changed(sequence_encoder=False, dropout=0.0)
    supernet = Supernet(SHAPES, num_outputs=4, **fusion.supernet())
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
    model = searched_model(genotype, SHAPES, 4, **fusion.model)
    copy_model(supernet, model)
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


def test_decided_supernet_is_the_searched_model_of_two_cells_and_fewer_nodes(double_precision):
    """Two cells a branch, and one of the two nodes dropped: the supernet's mitigation must not read that node."""
    keras.utils.set_random_seed(0)
    fusion = FUSION.changed(sequence_encoder=False, dropout=0.0, num_cells=2, kept_nodes=1)
    supernet = Supernet(SHAPES, num_outputs=4, **fusion.supernet())
    choices = {
        "lfbc": (["linear_elu", "sep_conv_3x3", "none", "avg_pool_3x3", "skip"], ["linear_glu", "concat_fc"]),
        "hfbc": (["skip", "linear_tanh", "max_pool_3x3", "linear_relu", "none"], ["multiply", "multi_head_attention"]),
    }
    second_cells = {}
    for name, cell in supernet.cells.items():
        second_cells[name] = SupernetCell(8, num_nodes=2, dropout=0.0, num_heads=2)
        second_cells[name].build([(None, 2, 2, 8)] * 2)
        for each in (cell, second_cells[name]):
            decide(each, *choices[name])
            each.importance.assign([-0.5, 0.5])
    genotype = supernet.genotype()
    # In the LFBC node 0 is dropped and read by node 1, in the HFBC it is gone.
    assert [len(cell.nodes) for cell in (genotype.lfbc, genotype.hfbc)] == [2, 1]
    model = searched_model(genotype, SHAPES, 4, **fusion.model)
    for name in ("lfbc", "hfbc"):
        copy_cell(supernet.cells[name], model.get_layer(f"{name}_cell_1"))
        copy_cell(second_cells[name], model.get_layer(f"{name}_cell_2"))
        for position, feature_grid in enumerate(supernet.feature_grids_of(name)):
            model.get_layer(f"{name}_input_{position}").set_weights(feature_grid.get_weights())
    model.get_layer("logits").set_weights(supernet.head.get_weights())
    mitigation = supernet.inconsistency_mitigation
    carried = []
    for weight in mitigation.weights:
        value = ops.convert_to_numpy(weight)
        if weight.path.endswith("fbc_hidden/kernel"):
            # Rows of node 0, then of node 1.
            value = value.copy()
            value[:8] = 0.0
            weight.assign(value)
            value = value[8:]
        carried.append(value)
    model.get_layer("inconsistency_mitigation").set_weights(carried)

    def decided_supernet(inputs, training):
        branches = []
        for name, taps in supernet.taps.items():
            grids = [
                feature_grid(inputs[tap], training=training)
                for tap, feature_grid in zip(taps, supernet.feature_grids_of(name), strict=True)
            ]
            first_output = supernet.cells[name](grids, training=training)[..., 8:]
            previous = [ops.concatenate(grids, axis=-1), first_output]
            projected = [
                # A copy: training would move the model's moving averages.
                _copied_layer(model.get_layer(f"{name}_cell_2_input_{position}"), output)(output, training=training)
                for position, output in enumerate(previous)
            ]
            branches.append(second_cells[name](projected, training=training))
        return supernet.head(supernet.flatten(mitigation(branches, training=training)))

    inputs = random_inputs()
    for training in (False, True):
        expected = decided_supernet(inputs, training)
        np.testing.assert_allclose(model(inputs, training=training), expected, rtol=0, atol=1e-5)


def _copied_layer(layer, inputs):
    copy = type(layer).from_config(layer.get_config())
    copy.build(inputs.shape)
    copy.set_weights(layer.get_weights())
    return copy


def test_every_choice_of_a_module_builds():
    for changes in (
        {"attention": False},
        {"correlation": False},
        {"vector_to_grid": "tile"},
        {"lfbc_taps": ("text_low", "text_low"), "hfbc_taps": ("text_high", "text_high")},
    ):
        model = searched_model(make_genotype(), SHAPES, 4, **FUSION.changed(**changes).model)
        assert model(random_inputs()).shape == (3, 4)


@pytest.mark.parametrize(("modality", "reads_tokens"), [("image", False), ("text", True)])
def test_a_unimodal_model_reads_one_modality_alone(modality, reads_tokens):
    """The words of a picture would be a second modality: its Bi-LSTM runs over the high features."""
    fusion = FUSION.changed(lfbc_taps=(f"{modality}_low",) * 2, hfbc_taps=(f"{modality}_high",) * 2)
    model = searched_model(make_genotype(), SHAPES, 4, **fusion.model, vocabulary_size=9, max_tokens=5)
    names = {tensor.name for tensor in model.inputs}
    assert names == {f"{modality}_low", f"{modality}_high"} | ({"tokens"} if reads_tokens else set())
    encoder = model.get_layer("sequence_encoder")
    # (batch, steps) of tokens, or the 2x2 positions with both projections side by side.
    assert encoder.vocabulary_size == (9 if reads_tokens else None)
    assert tuple(encoder.input.shape[1:]) == ((5,) if reads_tokens else (4, 16))


def test_missing_taps_are_refused():
    with pytest.raises(ValueError, match="`hfbc_taps` names `text_high`"):
        searched_model(make_genotype(), {"text_low": (6,), "image_low": (2, 2, 5)}, 4, **FUSION.model)
