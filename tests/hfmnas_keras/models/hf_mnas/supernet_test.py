import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from hfmnas_keras.genotype import Genotype
from hfmnas_keras.models.hf_mnas.supernet import Supernet
from hfmnas_keras.operations import EDGE_OPERATIONS, NODE_OPERATIONS
from tests.hfmnas_keras.network_settings import NetworkSettings

SHAPES = {"text_low": (6,), "text_high": (7,), "image_low": (2, 2, 5), "image_high": (2, 2, 3)}
FUSION = NetworkSettings(channels=8, grid=(2, 2), num_nodes=2, kept_nodes=1, num_heads=2, correlation_dim=3)


def random_features(rows=4):
    generator = np.random.default_rng(0)
    return {name: generator.normal(size=(rows, *shape)).astype("float32") for name, shape in SHAPES.items()}


def make_supernet(**changes):
    keras.utils.set_random_seed(0)
    return Supernet(SHAPES, num_outputs=3, **FUSION.changed(**changes).supernet())


@pytest.fixture(scope="module")
def supernet():
    return make_supernet()


def test_every_trainable_variable_is_either_architecture_or_weight(supernet):
    architecture = supernet.architecture_variables
    weights = supernet.weight_variables
    assert [variable.path.split("/")[-2:] for variable in architecture] == [
        ["lfbc", "gamma"],
        ["lfbc", "beta"],
        ["hfbc", "gamma"],
        ["hfbc", "beta"],
    ]
    identities = {id(variable) for variable in architecture + weights}
    assert len(identities) == len(architecture) + len(weights) == len(supernet.trainable_variables)
    assert sum(variable.name == "importance" for variable in weights) == 2
    paths = [variable.path for variable in supernet.variables]
    assert len(set(paths)) == len(paths)


def test_logits_and_correlation_loss(supernet):
    features = random_features()
    logits = supernet(features, training=False)
    assert logits.shape == (4, 3)
    assert supernet.losses == []
    supernet(features, training=True)
    (loss,) = supernet.losses
    # The weight times a loss between 0 and 1.
    assert 0 < float(loss) <= 0.1
    # At inference nothing depends on the batch, and a feature that no cell reads is ignored.
    np.testing.assert_allclose(
        supernet({**{name: array[:1] for name, array in features.items()}, "other": np.ones((1, 2))}),
        supernet(features)[:1],
        atol=1e-5,
    )


def test_stateless_training_call_changes_no_variable(supernet):
    features = random_features()
    before = [ops.convert_to_numpy(variable.value) for variable in supernet.variables]

    @tf.function
    def architecture_gradients():
        with keras.StatelessScope(), tf.GradientTape() as tape:
            loss = ops.mean(ops.square(supernet(features, training=True)))
        return tape.gradient(loss, [variable.value for variable in supernet.architecture_variables])

    for gradient in architecture_gradients():
        assert np.abs(gradient).max() > 0
    for variable, value in zip(supernet.variables, before, strict=True):
        np.testing.assert_array_equal(variable.value, value, err_msg=variable.path)
    # The same call outside of the scope does move them, so the test can fail.
    supernet(features, training=True)
    assert any(
        not np.array_equal(variable.value, value) for variable, value in zip(supernet.variables, before, strict=True)
    )


def test_weight_step_reaches_every_weight(supernet):
    features = random_features()
    variables = supernet.weight_variables
    with tf.GradientTape() as tape:
        loss = ops.mean(ops.square(supernet(features, training=True) - 1.0)) + sum(supernet.losses)
    for variable, gradient in zip(variables, tape.gradient(loss, [each.value for each in variables]), strict=True):
        # On a 2x2 grid the scans have one step, in which nothing decays.
        if variable.name == "decay_log":
            continue
        assert gradient is not None, variable.path
        assert np.isfinite(gradient).all(), variable.path


@pytest.mark.parametrize("rows", [1, 4])
def test_mixed_precision_has_finite_losses_and_gradients(rows):
    keras.utils.set_random_seed(0)
    supernet = Supernet(SHAPES, num_outputs=3, **FUSION.supernet(), dtype="mixed_float16")
    with tf.GradientTape() as tape:
        logits = supernet(random_features(rows), training=True)
        (correlation_loss,) = supernet.losses
        loss = ops.mean(ops.square(logits - 1.0)) + correlation_loss
    assert logits.dtype == correlation_loss.dtype == "float32"
    assert np.isfinite(loss)
    for variable, gradient in zip(
        supernet.trainable_variables,
        tape.gradient(loss, [each.value for each in supernet.trainable_variables]),
        strict=True,
    ):
        assert gradient is None or np.isfinite(gradient).all(), variable.path


def test_the_genotype_knows_what_was_searched():
    supernet = make_supernet(
        num_nodes=3, edge_operations=("none", *EDGE_OPERATIONS[2:]), node_operations=NODE_OPERATIONS[1:]
    )
    # The first column that is left after `none`, and the first of the nodes.
    for cell in supernet.cells.values():
        for logits, column in ((cell.gamma, 1), (cell.beta, 0)):
            logits.assign(np.eye(logits.shape[1])[np.full(logits.shape[0], column)])
    genotype = supernet.genotype()
    assert genotype.edge_operations == ("none", *EDGE_OPERATIONS[2:])
    assert genotype.node_operations == NODE_OPERATIONS[1:]
    assert Genotype.from_json(genotype.to_json()) == genotype
    for cell in genotype.cells.values():
        assert {edge for node in cell.nodes for edge in node.edges} == {"max_pool_3x3"}
        assert {node.fusion for node in cell.nodes} == {"multiply"}
    tables = genotype.probability_tables()
    for name, probabilities in supernet.probabilities().items():
        if name in tables:
            assert probabilities.shape == (len(tables[name].rows), len(tables[name].columns))


def test_genotype_and_probabilities():
    supernet = make_supernet(num_nodes=3, kept_nodes=2)
    supernet.cells["hfbc"].importance.assign([0.0, 2.0, 1.0])
    genotype = supernet.genotype(metadata={"seed": 5})
    assert genotype.hfbc.kept == (1, 2)
    assert genotype.num_nodes == 3
    assert genotype.metadata["lfbc_taps"] == ["text_low", "image_low"]
    assert genotype.metadata["seed"] == 5
    assert Genotype.from_json(genotype.to_json()) == genotype
    probabilities = supernet.probabilities()
    assert {name: array.shape for name, array in probabilities.items()} == {
        "lfbc/gamma": (9, 10),
        "lfbc/beta": (3, 9),
        "lfbc/importance": (3,),
        "hfbc/gamma": (9, 10),
        "hfbc/beta": (3, 9),
        "hfbc/importance": (3,),
    }
    for name, array in probabilities.items():
        np.testing.assert_allclose(array.sum(axis=-1), 1.0, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(probabilities["hfbc/importance"], np.exp([0, 2, 1]) / np.exp([0, 2, 1]).sum(), atol=1e-6)


def test_saving(supernet, tmp_path):
    path = tmp_path / "supernet.keras"
    supernet.save(path)
    loaded = keras.saving.load_model(path)
    assert loaded.fusion == supernet.fusion
    np.testing.assert_allclose(loaded(random_features()), supernet(random_features()), atol=1e-6)


def test_unimodal_taps_have_projections_of_their_own():
    supernet = make_supernet(lfbc_taps=("text_low", "text_low"), hfbc_taps=("text_high", "text_high"))
    first, second = supernet.feature_grids_of("lfbc")
    assert not np.array_equal(first.projection.kernel, second.projection.kernel)
    text = {name: array for name, array in random_features().items() if name.startswith("text")}
    assert supernet(text).shape == (4, 3)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="`lfbc_taps` names `audio_low`.*'image_high'"):
        make_supernet(lfbc_taps=("audio_low", "image_low"))
    with pytest.raises(ValueError, match="two inputs"):
        make_supernet(hfbc_taps=("image_low",))
    with pytest.raises(ValueError, match="`num_outputs`"):
        Supernet(SHAPES, num_outputs=0, **FUSION.supernet())


def test_partial_channels_have_no_discretised_logits():
    supernet = Supernet(SHAPES, num_outputs=3, **FUSION.supernet(), partial_channels=2)
    assert Supernet.from_config(supernet.get_config()).partial_channels == 2
    with pytest.raises(ValueError, match="partial_channels=2"):
        supernet.discretised_logits({}, supernet.choices_of(supernet.genotype()))


def test_a_cell_of_one_node_has_probabilities_without_a_warning(recwarn):
    probabilities = Supernet(SHAPES, 3, **FUSION.changed(num_nodes=1, kept_nodes=1).supernet()).probabilities()
    np.testing.assert_array_equal(probabilities["lfbc/importance"], [1.0])
    np.testing.assert_allclose(probabilities["hfbc/gamma"].sum(axis=1), np.ones(2), atol=1e-6)
    assert not [warning for warning in recwarn if "softmax" in str(warning.message)]
