"""From a genotype of BM-NAS to an ordinary Keras model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from hfmnas_keras.genotype.bm_genotype import BMGenotype
from hfmnas_keras.models.bm_nas.fusion_cell import FusionCell
from hfmnas_keras.models.bm_nas.fusion_operations import grid_normalization
from hfmnas_keras.models.parts.feature_grid import FeatureGrid
from hfmnas_keras.models.parts.mitigation import mitigation_of
from hfmnas_keras.settings.fusion import FinalModelSettings, FusionSettings, MitigationSettings


def bm_model(
    genotype: BMGenotype,
    feature_shapes: Mapping[str, Sequence[int]],
    num_outputs: int,
    fusion: FusionSettings | None = None,
    final_model: FinalModelSettings | None = None,
    mitigation: MitigationSettings | None = None,
) -> keras.Model:
    """Builds the fusion network that a genotype of BM-NAS describes (docs/method.md, section 11).

    Args:
        genotype: `BMGenotype`.
        feature_shapes: dict from feature name to shape without the batch.
        num_outputs: int. Classes or labels.
        fusion: `FusionSettings`. Defaults to the paper's.
        final_model: `FinalModelSettings`, of which `channels` is read. Defaults to the paper's.
        mitigation: `MitigationSettings`; `in_bm_nas` decides whether two cells meet in it. Defaults to the paper's.

    Returns:
        Functional `keras.Model` from a dict of the features that its cells read to logits, float32
        `(batch, num_outputs)`.

    Raises:
        ValueError: when a feature of the genotype is missing, or more than two cells are to be mitigated.
    """
    fusion, mitigation = fusion or FusionSettings(), mitigation or MitigationSettings()
    channels = (final_model or FinalModelSettings()).channels
    names = list(genotype.read_features)
    missing = [name for name in names if name not in feature_shapes]
    if missing:
        raise ValueError(f"The genotype reads {missing}, which are not among the features {sorted(feature_shapes)}.")
    inputs = {name: keras.Input(tuple(feature_shapes[name]), name=name) for name in names}
    grids = {
        name: FeatureGrid(channels, fusion.grid, fusion.vector_to_grid, dropout=fusion.dropout, name=f"{name}_grid")(
            tensor
        )
        for name, tensor in inputs.items()
    }
    outputs = [
        FusionCell(cell["steps"], channels, dropout=fusion.dropout, name=f"cell_{number}")(
            [grids[name] for name in cell["features"]]
        )
        for number, cell in enumerate(genotype.cells)
    ]
    joined = (
        mitigation_of(channels, fusion, mitigation)(outputs) if is_mitigated(mitigation, outputs) else join(outputs)
    )
    hidden = keras.layers.ReLU(name="relu")(grid_normalization(None, "output_norm")(joined))
    logits = keras.layers.Dense(num_outputs, dtype="float32", name="logits")(
        keras.layers.Flatten(name="flatten")(hidden)
    )
    return keras.Model(list(inputs.values()), logits, name="bm_model")


def is_mitigated(mitigation: MitigationSettings, cells: Sequence) -> bool:
    """Whether two cells meet in the inconsistency mitigation; a single cell has none to meet."""
    if mitigation.in_bm_nas and len(cells) > 2:
        raise ValueError(
            f"Two cells of BM-NAS meet in the inconsistency mitigation. Received: {len(cells)} cells. "
            "Set `mitigation.in_bm_nas: false`, or search with `bm_nas.cells: 2`."
        )
    return mitigation.in_bm_nas and len(cells) == 2


def join(outputs: Any) -> Any:
    """The cells' outputs side by side, as BM-NAS has them."""
    return outputs[0] if len(outputs) == 1 else keras.layers.Concatenate(name="cells")(outputs)
