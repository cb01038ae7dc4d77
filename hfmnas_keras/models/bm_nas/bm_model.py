"""From a genotype of BM-NAS to an ordinary Keras model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras

from hfmnas_keras.genotype.bm_genotype import BMGenotype
from hfmnas_keras.models.bm_nas.fusion_cell import FusionCell
from hfmnas_keras.models.bm_nas.fusion_operations import grid_normalization
from hfmnas_keras.models.parts.feature_grid import FeatureGrid
from hfmnas_keras.models.parts.mitigation import mitigation_of
from hfmnas_keras.settings.fusion import FusionSettings


def bm_model(
    genotype: BMGenotype, feature_shapes: Mapping[str, Sequence[int]], num_outputs: int, fusion: FusionSettings
) -> keras.Model:
    """Builds the fusion network that a genotype of BM-NAS describes (docs/method.md, section 11).

    Args:
        genotype: `BMGenotype`.
        feature_shapes: dict from feature name to shape without the batch.
        num_outputs: int. Classes or labels.
        fusion: `FusionSettings`: `channels`, `grid`, `dropout`, `vector_to_grid`, and whether two cells meet in the
            inconsistency mitigation (`bm_mitigation`, with the `imm_` settings).

    Returns:
        Functional `keras.Model` from a dict of the features that its cells read to logits, float32
        `(batch, num_outputs)`.

    Raises:
        ValueError: when a feature of the genotype is missing, or more than two cells are to be mitigated.
    """
    names = list(genotype.read_features)
    missing = [name for name in names if name not in feature_shapes]
    if missing:
        raise ValueError(f"The genotype reads {missing}, which are not among the features {sorted(feature_shapes)}.")
    inputs = {name: keras.Input(tuple(feature_shapes[name]), name=name) for name in names}
    grids = {
        name: FeatureGrid(
            fusion.channels, fusion.grid, fusion.vector_to_grid, dropout=fusion.dropout, name=f"{name}_grid"
        )(tensor)
        for name, tensor in inputs.items()
    }
    outputs = [
        FusionCell(cell["steps"], fusion.channels, dropout=fusion.dropout, name=f"cell_{number}")(
            [grids[name] for name in cell["features"]]
        )
        for number, cell in enumerate(genotype.cells)
    ]
    joined = mitigation_of(fusion)(outputs) if is_mitigated(fusion, outputs) else join(outputs)
    hidden = keras.layers.ReLU(name="relu")(grid_normalization(None, "output_norm")(joined))
    logits = keras.layers.Dense(num_outputs, dtype="float32", name="logits")(
        keras.layers.Flatten(name="flatten")(hidden)
    )
    return keras.Model(list(inputs.values()), logits, name="bm_model")


def is_mitigated(fusion: FusionSettings, cells: Sequence) -> bool:
    """Whether two cells meet in the inconsistency mitigation; a single cell has none to meet."""
    if fusion.bm_mitigation and len(cells) > 2:
        raise ValueError(
            f"Two cells of BM-NAS meet in the inconsistency mitigation. Received: {len(cells)} cells. "
            "Set `bm_mitigation: false`, or search with `bm_cells: 2`."
        )
    return fusion.bm_mitigation and len(cells) == 2


def join(outputs):
    """The cells' outputs side by side, as BM-NAS has them."""
    return outputs[0] if len(outputs) == 1 else keras.layers.Concatenate(name="cells")(outputs)
