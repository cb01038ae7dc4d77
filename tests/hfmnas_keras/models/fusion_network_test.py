import numpy as np
import pytest

from hfmnas_keras.genotype import BMGenotype, Genotype, discretise
from hfmnas_keras.models.fusion_network import fusion_network
from hfmnas_keras.settings.models import PLAIN_MODELS, SEARCHED_MODELS
from tests.hfmnas_keras.network_settings import NetworkSettings

SHAPES = {"text_low": (5,), "text_high": (6,), "image_low": (2, 2, 3), "image_high": (2, 2, 4)}
FUSION = NetworkSettings(channels=8, grid=(2, 2), num_nodes=1, kept_nodes=1, num_heads=2, correlation_dim=4)


def a_genotype(model="hf_mnas"):
    cell = discretise(np.eye(2, 10, 1), np.eye(1, 9), np.zeros(1), kept_nodes=1)
    steps = [{"inputs": [0, 1], "operation": "linear_glu"}]
    cells = [
        {"features": ["text_low", "image_low"], "steps": steps},
        {"features": ["text_low", "text_high"], "steps": steps},
    ]
    return {"hf_mnas": Genotype(lfbc=cell, hfbc=cell), "bm_nas": BMGenotype(cells)}[model]


def test_there_is_a_network_for_every_name_of_the_settings():
    assert all(callable(PLAIN_MODELS[name]) for name in PLAIN_MODELS)
    assert all(SEARCHED_MODELS[name].genotype.model == name for name in SEARCHED_MODELS)


@pytest.mark.parametrize("model", [*SEARCHED_MODELS, *PLAIN_MODELS])
def test_every_model_gives_logits_by_name(model):
    genotype = a_genotype(model) if model in SEARCHED_MODELS else None
    network = fusion_network(model, SHAPES, 3, **FUSION.model, genotype=genotype)
    outputs = network({name: np.ones((2, *shape), "float32") for name, shape in SHAPES.items()})
    assert outputs["logits"].shape == (2, 3)
    assert {tensor.name for tensor in network.inputs} <= set(SHAPES)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="no model 'gnu'. Known ones: hf_mnas, .*gmu"):
        fusion_network("gnu", SHAPES, 3, **FUSION.model)
    with pytest.raises(ValueError, match="built from a genotype"):
        fusion_network("hf_mnas", SHAPES, 3, **FUSION.model)
    with pytest.raises(ValueError, match="not searched"):
        fusion_network("gmu", SHAPES, 3, **FUSION.model, genotype=a_genotype())
    for model, other in (("hf_mnas", "bm_nas"), ("bm_nas", "hf_mnas")):
        with pytest.raises(ValueError, match=f"own kind. Received: one of '{other}'. Search with `model='{model}'`"):
            fusion_network(model, SHAPES, 3, **FUSION.model, genotype=a_genotype(other))
