import numpy as np
import pytest

from hfmnas_keras.baselines import BASELINES
from hfmnas_keras.genotype.discretise import discretise
from hfmnas_keras.genotype.genotype import Genotype
from hfmnas_keras.networks.fusion_network import fusion_network
from hfmnas_keras.settings import FIXED_MODELS, FusionSettings

SHAPES = {"text_low": (5,), "text_high": (6,), "image_low": (2, 2, 3), "image_high": (2, 2, 4)}
FUSION = FusionSettings(channels=8, grid=(2, 2), num_nodes=1, kept_nodes=1, num_heads=2, correlation_dim=4)


def a_genotype():
    cell = discretise(np.eye(2, 10, 1), np.eye(1, 9), np.zeros(1), kept_nodes=1)
    return Genotype(lfbc=cell, hfbc=cell)


def test_the_names_of_the_settings_are_those_of_the_networks():
    assert set(FIXED_MODELS) == set(BASELINES)


@pytest.mark.parametrize("model", ["hf_mnas", *FIXED_MODELS])
def test_every_model_gives_logits_by_name(model):
    genotype = a_genotype() if model == "hf_mnas" else None
    network = fusion_network(model, SHAPES, 3, FUSION, genotype=genotype)
    outputs = network({name: np.ones((2, *shape), "float32") for name, shape in SHAPES.items()})
    assert outputs["logits"].shape == (2, 3)
    assert {tensor.name for tensor in network.inputs} <= set(SHAPES)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="no model 'gnu'. Known ones: hf_mnas, .*gmu"):
        fusion_network("gnu", SHAPES, 3, FUSION)
    with pytest.raises(ValueError, match="built from a genotype"):
        fusion_network("hf_mnas", SHAPES, 3, FUSION)
    with pytest.raises(ValueError, match="not searched"):
        fusion_network("gmu", SHAPES, 3, FUSION, genotype=a_genotype())
