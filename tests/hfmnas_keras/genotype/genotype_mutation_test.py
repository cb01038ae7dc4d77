"""Genotypes changed at random: read as what they say, or refused with one kind of error."""

from __future__ import annotations

import json
import random

import pytest

from hfmnas_keras.genotype import BMGenotype, CellGenotype, Genotype, NodeChoice
from hfmnas_keras.genotype.load_genotype import genotype_from_json
from tests.json_mutations import changed


def the_genotypes():
    """One of each method, as it is written."""
    cell = CellGenotype(
        num_nodes=3,
        nodes=(
            NodeChoice(0, (0, 1), ("skip", "sep_conv_3x3"), "sum"),
            NodeChoice(2, (0, 2), ("linear_tanh", "skip"), "linear_glu"),
        ),
        kept=(2,),
        importance=(0.2, 0.3, 0.5),
    )
    steps = [{"inputs": [0, 1], "operation": "linear_glu"}, {"inputs": [0, 2], "operation": "sum"}]
    bm_nas = BMGenotype([{"features": ["text_low", "image_high"], "steps": steps}])
    genotypes = [Genotype(cell, cell, metadata={"seed": 7}), bm_nas]
    return [json.loads(genotype.to_json()) for genotype in genotypes]


@pytest.mark.parametrize("number", [400, pytest.param(5000, marks=pytest.mark.long)])
def test_changed_genotypes_are_read_or_refused(number):
    draw = random.Random(0)
    genotypes = the_genotypes()
    refused = 0
    for _ in range(number):
        text = json.dumps(changed(draw, draw.choice(genotypes)))
        if draw.random() < 0.2:
            place = draw.randrange(len(text))
            text = text[:place] + chr(draw.randrange(256)) + text[place + 1 :]
        try:
            genotype = genotype_from_json(text)
        except ValueError as error:
            assert str(error)
            refused += 1
        else:
            # What is read can be written and read again.
            assert genotype_from_json(genotype.to_json()) == genotype
    assert refused > number // 2
