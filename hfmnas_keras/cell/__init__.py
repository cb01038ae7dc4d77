"""The cell in its two forms: all choices open (`SupernetCell`) and all made (`SearchedCell`)."""

from hfmnas_keras.cell.mixed_edges import MixedEdges
from hfmnas_keras.cell.mixed_node import MixedNode
from hfmnas_keras.cell.searched_cell import SearchedCell
from hfmnas_keras.cell.supernet_cell import SupernetCell

__all__ = ["MixedEdges", "MixedNode", "SearchedCell", "SupernetCell"]
