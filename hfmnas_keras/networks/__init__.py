"""The fusion network, while its architecture is searched (`Supernet`) and after (`searched_model`)."""

from hfmnas_keras.networks.feature_grid import FeatureGrid
from hfmnas_keras.networks.searched_model import searched_model
from hfmnas_keras.networks.sequence_encoder import SequenceEncoder
from hfmnas_keras.networks.supernet import Supernet

__all__ = ["FeatureGrid", "SequenceEncoder", "Supernet", "searched_model"]
