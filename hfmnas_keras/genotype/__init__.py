"""The genotype: what a search chose, how it is chosen from the logits, and how it is drawn."""

from hfmnas_keras.genotype.base_genotype import BaseGenotype
from hfmnas_keras.genotype.bm_genotype import BMGenotype
from hfmnas_keras.genotype.cell_genotype import CellGenotype
from hfmnas_keras.genotype.discretise import discretise
from hfmnas_keras.genotype.genotype import CELLS, Genotype
from hfmnas_keras.genotype.load_genotype import load_genotype
from hfmnas_keras.genotype.node_choice import NodeChoice

__all__ = [
    "CELLS",
    "BMGenotype",
    "BaseGenotype",
    "CellGenotype",
    "Genotype",
    "NodeChoice",
    "discretise",
    "load_genotype",
]
