"""BM-NAS, the closest peer (Yin et al., AAAI 2022; docs/method.md, section 11)."""

from hfmnas_keras.bm_nas.bm_model import bm_model
from hfmnas_keras.bm_nas.bm_supernet import BMSupernet
from hfmnas_keras.genotype.bm_genotype import BMGenotype

__all__ = ["BMGenotype", "BMSupernet", "bm_model"]
