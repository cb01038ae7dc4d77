"""The supernet with plain cells."""

from __future__ import annotations

from benchmarks.plain_cell import PlainCell
from hfmnas_keras.genotype.genotype import CELLS
from hfmnas_keras.models.hf_mnas.supernet import Supernet


class PlainSupernet(Supernet):
    """A `Supernet` whose cells are `PlainCell`s; arguments, inputs and outputs are those of `Supernet`."""

    def copy_weights(self, supernet: Supernet) -> None:
        """Takes over all weights of a `Supernet` of the same settings."""
        for name in CELLS:
            self.cells[name].copy_weights(supernet.cells[name])
        own, others = ([*model.feature_grids, model.inconsistency_mitigation, model.head] for model in (self, supernet))
        for layer, source in zip(own, others, strict=True):
            layer.set_weights(source.get_weights())

    def _make_cell(self, name):
        return PlainCell(self.channels, self.fusion, self.space, dtype=self.dtype_policy, name=name)
