"""A supernet read as its genotype's searched model (docs/method.md, sections 4 and 7)."""

import keras
import numpy as np
import pytest
from keras import ops

from hfmnas_keras.models.hf_mnas.searched_model import searched_model
from hfmnas_keras.models.hf_mnas.supernet import Supernet
from tests.hfmnas_keras.cell.chosen_weights import copy_model
from tests.hfmnas_keras.network_settings import NetworkSettings
from tests.hfmnas_keras.reference_arithmetic import randomize_statistics, randomize_weights

SHAPES = {"text_low": (6,), "text_high": (7,), "image_low": (2, 2, 5), "image_high": (2, 2, 3)}


@pytest.mark.parametrize(
    ("node_inputs", "kept_nodes", "kept_edges", "attention", "values"),
    [("pair", 1, 2, True, "query"), ("split", 2, 2, False, "query"), ("shared", 3, 4, True, "key")],
)
def test_equals_the_searched_model_with_the_same_weights(node_inputs, kept_nodes, kept_edges, attention, values):
    keras.utils.set_random_seed(kept_nodes)
    fusion = NetworkSettings(
        channels=8,
        grid=(2, 2),
        num_nodes=3,
        kept_nodes=kept_nodes,
        kept_edges=kept_edges,
        num_heads=2,
        node_inputs=node_inputs,
        correlation_dim=3,
        attention=attention,
        attention_values=values,
        sequence_encoder=False,
    )
    supernet = Supernet(SHAPES, num_outputs=4, **fusion.supernet())
    # The searched model has scale and offset in its norms, at their start; the supernet's others are random.
    randomize_weights(supernet)
    randomize_statistics(supernet)
    # Logits too close to decide, so that reading them as they are would be something else.
    for variable in supernet.architecture_variables:
        variable.assign(np.random.default_rng(kept_nodes).normal(size=variable.shape) * 0.1)
    before = [np.array(ops.convert_to_numpy(variable)) for variable in supernet.variables]
    inputs = {name: np.random.default_rng(9).normal(size=(5, *shape)) for name, shape in SHAPES.items()}
    inputs = {name: array.astype("float32") for name, array in inputs.items()}

    genotype = supernet.genotype()
    assert max(len(node.edges) for cell in genotype.cells.values() for node in cell.nodes) == kept_edges
    received = supernet.discretised_logits(inputs, supernet.choices_of(genotype))
    model = searched_model(genotype, SHAPES, 4, **fusion.model)
    copy_model(supernet, model)
    expected = ops.convert_to_numpy(model(inputs))
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-5)
    assert np.abs(expected - ops.convert_to_numpy(supernet(inputs))).max() > 1e-2
    for variable, value in zip(supernet.variables, before, strict=True):
        assert ops.convert_to_numpy(variable).tobytes() == value.tobytes(), variable.path
