import types

import pytest

from hfmnas_keras.cost import model_cost
from hfmnas_keras.genotype.random_genotype import random_genotype
from hfmnas_keras.models.hf_mnas.searched_model import searched_model
from hfmnas_keras.search.strategies import bound
from hfmnas_keras.search.strategies.bound import Bound
from hfmnas_keras.search.strategies.genotype_cost import GenotypeCost
from hfmnas_keras.settings.race import RaceSettings
from tests.hfmnas_keras.network_settings import NetworkSettings

PARTS = NetworkSettings(channels=8, grid=(2, 2), num_heads=2, correlation_dim=4)
SHAPES = {"text_low": (6,), "text_high": (5,), "image_low": (2, 2, 4), "image_high": (2, 2, 3)}


def test_the_cost_is_that_of_the_built_model():
    cost_of = GenotypeCost(SHAPES, 3, PARTS.fusion, PARTS.mitigation, PARTS.channels)
    seen = set()
    for seed in range(4):
        genotype = random_genotype(PARTS.space, PARTS.fusion, seed)
        built = model_cost(searched_model(genotype, SHAPES, 3, PARTS.fusion, PARTS.final_model, PARTS.mitigation))
        counted = cost_of(genotype)
        assert (counted.parameters, counted.flops) == (built.parameters, built.flops)
        seen.add((built.parameters, built.flops))
    assert len(seen) == 4


def costs(*pairs):
    """Numbers in the place of genotypes, and the cost of each."""
    return lambda number: types.SimpleNamespace(**dict(zip(("parameters", "flops"), pairs[number], strict=True)))


@pytest.mark.parametrize(
    "bounds, expected",
    [({}, 0), ({"max_parameters": 10}, 1), ({"max_flops": 50}, 2), ({"max_parameters": 9, "max_flops": 90}, 3)],
)
def test_the_first_draw_within_all_bounds_is_taken(bounds, expected):
    cost = costs((20, 100), (10, 100), (11, 50), (9, 90))
    assert Bound(RaceSettings(**bounds), cost).first_within(lambda attempt: attempt) == expected


def test_a_bound_that_nothing_meets_is_told(monkeypatch):
    monkeypatch.setattr(bound, "MOST_DRAWS", 3)
    with pytest.raises(ValueError, match="None of 3 .*race.max_flops=40, where the least was 50"):
        Bound(RaceSettings(max_flops=40), costs((1, 70), (1, 50), (1, 60))).first_within(lambda attempt: attempt)


def test_a_bound_below_one_is_refused():
    with pytest.raises(ValueError, match="`race.max_parameters` must be at least 1, or None. Received: 0"):
        RaceSettings(max_parameters=0)
