"""What the searched model of a genotype costs, without building it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hfmnas_keras.cost.layer_rules import multiply_accumulates
from hfmnas_keras.cost.model_cost import ModelCost, model_cost
from hfmnas_keras.genotype.genotype import Genotype
from hfmnas_keras.models.hf_mnas.searched_model import searched_model
from hfmnas_keras.search.strategies.candidate_layers import edge_layer, node_layer
from hfmnas_keras.settings.fusion import FinalModelSettings, FusionSettings, MitigationSettings


class GenotypeCost:
    """Parameters and FLOPs of searched models, as `model_cost` counts them.

    A searched model is its operations and what all have: projections, mitigation and classifier. The latter is counted
    once, from the first genotype's model, each operation once, and the rest is addition.

    Args:
        feature_shapes: dict from feature name to shape without the batch.
        num_outputs: int. Classes or labels.
        fusion, mitigation: `FusionSettings`, `MitigationSettings`.
        channels: int. Width; there is one cell a branch, and no sequence encoder.

    Call arguments:
        genotype: `Genotype` that keeps as many nodes as the first one.

    Returns:
        `ModelCost`, without parts.

    Raises:
        ValueError: when an operation has no rule for its FLOPs.
    """

    def __init__(
        self,
        feature_shapes: Mapping[str, Sequence[int]],
        num_outputs: int,
        fusion: FusionSettings,
        mitigation: MitigationSettings,
        channels: int,
    ):
        self._model = (feature_shapes, num_outputs, fusion, FinalModelSettings(channels=channels), mitigation)
        self._fusion = fusion
        self._channels = channels
        self._operations: dict[tuple[str, str], tuple[int, int]] = {}
        self._common: tuple[int, int] | None = None

    def __call__(self, genotype: Genotype) -> ModelCost:
        own = self._of_cells(genotype)
        if self._common is None:
            whole = model_cost(searched_model(genotype, *self._model))
            self._common = (whole.parameters - own[0], whole.flops - own[1])
        return ModelCost(self._common[0] + own[0], self._common[1] + own[1])

    def _of_cells(self, genotype: Genotype) -> tuple[int, int]:
        places = [
            place
            for cell in genotype.cells.values()
            for node in cell.nodes
            for place in (("node", node.fusion), *(("edge", name) for name in node.edges))
        ]
        counted = [self._of_operation(*place) for place in places]
        return sum(parameters for parameters, _ in counted), sum(flops for _, flops in counted)

    def _of_operation(self, kind: str, name: str) -> tuple[int, int]:
        if (kind, name) not in self._operations:
            grid = (*self._fusion.grid, self._channels)
            is_edge = kind == "edge"
            layer = (edge_layer if is_edge else node_layer)(name, self._fusion, self._channels)
            shape = grid if is_edge else [grid, grid]
            self._operations[kind, name] = (layer.count_params(), 2 * multiply_accumulates(layer, shape))
        return self._operations[kind, name]
