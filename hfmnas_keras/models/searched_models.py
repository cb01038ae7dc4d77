"""What a model that is searched is made of, by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras

from hfmnas_keras.genotype.base_genotype import BaseGenotype
from hfmnas_keras.genotype.bm_genotype import BMGenotype
from hfmnas_keras.genotype.genotype import Genotype
from hfmnas_keras.models.bm_nas.bm_model import bm_model
from hfmnas_keras.models.bm_nas.bm_supernet import BMSupernet
from hfmnas_keras.models.hf_mnas.searched_model import searched_model
from hfmnas_keras.models.hf_mnas.supernet import Supernet
from hfmnas_keras.models.parts.base_supernet import BaseSupernet
from hfmnas_keras.settings.models import SEARCHED_MODELS


@dataclasses.dataclass(frozen=True)
class SearchedModel:
    """A model whose architecture is searched: its network before, its genotype, its network after.

    `SEARCHED_MODELS.register(name, description)(SearchedModel(...))` gives one its name.

    Args:
        supernet: `BaseSupernet`, the network with all choices open. Its `SPACE_CLASS` has the settings of the space.
        genotype: `BaseGenotype`, what is chosen; its `model` is the name.
        network: function `(genotype, feature_shapes, num_outputs, fusion, final_model, mitigation, vocabulary_size,
            max_tokens)`, the settings as of `fusion_network`, that returns a functional model from features to logits.
    """

    supernet: type[BaseSupernet]
    genotype: type[BaseGenotype]
    network: Callable[..., keras.Model]


def _bm_network(*arguments: Any) -> keras.Model:
    # It reads no tokens.
    return bm_model(*arguments[:-2])


SEARCHED_MODELS.register("hf_mnas")(SearchedModel(Supernet, Genotype, searched_model))
SEARCHED_MODELS.register("bm_nas")(SearchedModel(BMSupernet, BMGenotype, _bm_network))
