import keras
import numpy as np
import pytest
from keras import ops

from hfmnas_keras.genotype.genotype import Genotype
from hfmnas_keras.genotype.random_genotype import random_genotype
from hfmnas_keras.models.hf_mnas.searched_model import searched_model
from hfmnas_keras.search.strategies.candidate_network import CandidateNetwork
from hfmnas_keras.settings.space import SpaceSettings
from hfmnas_keras.settings.training import TrainingSettings
from hfmnas_keras.training.training_step import TrainingStep
from tests.hfmnas_keras.network_settings import NetworkSettings

SHAPES = {"text_low": (6,), "text_high": (5,), "image_low": (2, 2, 4), "image_high": (2, 2, 3)}
# Three edges a node from the second on: its two inputs are means over pairs then. Without dropout, whose masks are the
# only thing that two networks of the same weights do not share.
NETWORK = NetworkSettings(
    channels=8,
    grid=(2, 2),
    num_nodes=3,
    kept_nodes=2,
    kept_edges=3,
    num_heads=2,
    correlation_dim=4,
    dropout=0.0,
    sequence_encoder=False,
)
TRAINING = TrainingSettings(batch_size=8, learning_rate=1e-2, weight_decay=0.1, unfreeze_backbones=False, devices=1)
STEPS = 4


def batch(seed):
    generator = np.random.default_rng(seed)
    inputs = {name: generator.normal(size=(8, *shape)) for name, shape in SHAPES.items()}
    return {name: ops.convert_to_tensor(values) for name, values in inputs.items()}, ops.convert_to_tensor(
        generator.integers(0, 3, 8)
    )


def genotypes():
    """Two, of which the second has pruned a node."""
    drawn = [random_genotype(NETWORK.space, NETWORK.fusion, seed) for seed in range(30)]
    whole, pruned = (next(genotype for genotype in drawn if len(genotype.lfbc.nodes) == nodes) for nodes in (3, 2))
    return whole, pruned


@pytest.fixture(scope="module")
def candidate():
    # Adam divides by the size of a gradient: where that is zero but for rounding, networks part in single precision.
    # The policy too, which no longer follows once a test has set one.
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        yield make_candidate()
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")


def make_candidate():
    network = CandidateNetwork(SHAPES, 3, **NETWORK.supernet(), name="candidate")
    return network, TrainingStep(network, [], TRAINING, total_steps=STEPS)


def by_name(model):
    inputs = {tensor.name: tensor for tensor in model.inputs}
    return keras.Model(inputs, {"logits": model(inputs)})


def test_candidate_trains_as_its_searched_model_alone(candidate):
    network, step = candidate
    own = {id(variable) for variable in network.variables}
    fresh = [
        (variable, np.array(keras.ops.convert_to_numpy(variable)))
        for variable in step.variables
        if id(variable) not in own
    ]
    inputs, _ = batch(99)
    for number, genotype in enumerate(genotypes()):
        network.draw(genotype, seed=number)
        for variable, value in fresh:
            variable.assign(value)
        alone = searched_model(genotype, SHAPES, 3, **NETWORK.model)
        network.give_weights(genotype, alone)
        first = ops.convert_to_numpy(alone(inputs))
        np.testing.assert_allclose(network(inputs)["logits"], first, rtol=0, atol=1e-5)

        # The searched model is trained without this network.
        alone_step = TrainingStep(by_name(alone), [], TRAINING, total_steps=STEPS)
        for seed in range(STEPS):
            step.run(*batch(seed))
            alone_step.run(*batch(seed))
        expected = ops.convert_to_numpy(alone(inputs))
        assert np.abs(expected - first).max() > 0.1
        np.testing.assert_allclose(step.predict(inputs), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
        assert step.take_losses() == pytest.approx(alone_step.take_losses(), rel=1e-5)

        # And back: its weights in another searched model say the same.
        converted = searched_model(genotype, SHAPES, 3, **NETWORK.model)
        network.give_weights(genotype, converted)
        np.testing.assert_allclose(converted(inputs), step.predict(inputs), rtol=0, atol=1e-5)
        network.draw(genotype, seed=number + 1)
        network.take_weights(genotype, converted)
        np.testing.assert_allclose(network(inputs)["logits"], converted(inputs), rtol=0, atol=1e-5)
    assert step.traces == 1, "a further candidate cost a trace"


def test_draws_follow_from_the_seed_and_share_what_all_genotypes_have(candidate):
    network, _ = candidate
    first, second = genotypes()[:2]

    def drawn(genotype, seed):
        network.draw(genotype, seed)
        return {variable.path: np.array(keras.ops.convert_to_numpy(variable)) for variable in network.variables}

    values = drawn(first, 3)
    again = drawn(first, 3)
    assert all(np.array_equal(values[path], again[path]) for path in values)
    other = drawn(second, 3)
    shared = [path for path in values if "_input_" in path or "mitigation" in path or path.endswith("logits/kernel")]
    assert shared
    assert all(np.array_equal(values[path], other[path]) for path in shared)
    kernel = next(path for path in shared if path.endswith("logits/kernel"))
    assert not np.array_equal(values[kernel], drawn(first, 4)[kernel])


def test_dropout_has_a_mask_of_its_own_in_each_place_and_step():
    settings = NetworkSettings(
        channels=8,
        grid=(2, 2),
        num_nodes=1,
        kept_nodes=1,
        num_heads=2,
        dropout=0.5,
        attention=False,
        correlation=False,
        edge_operations=("none", "linear_relu"),
        node_operations=("sum",),
    )
    network = CandidateNetwork(SHAPES, 3, **settings.supernet(), name="candidate")
    network.draw(random_genotype(settings.space, settings.fusion, 0), 0)
    inputs, _ = batch(0)
    outputs = [ops.convert_to_numpy(network(inputs, training=True)["logits"]) for _ in range(2)]
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-3
    np.testing.assert_array_equal(network(inputs)["logits"], network(inputs)["logits"])


def test_genotypes_of_another_size_are_refused(candidate):
    network, _ = candidate
    other = random_genotype(SpaceSettings(num_nodes=2, kept_nodes=2), NETWORK.fusion, 0)
    with pytest.raises(ValueError, match=r"3 nodes a cell, keeps 2.*Received: a lfbc of 2 nodes"):
        network.draw(other, 0)
    assert isinstance(other, Genotype)
