"""From a genotype to an ordinary Keras model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from hfmnas_keras.cell.searched_cell import SearchedCell
from hfmnas_keras.genotype.cell_genotype import CellGenotype
from hfmnas_keras.genotype.genotype import CELLS, Genotype
from hfmnas_keras.models.parts.feature_grid import FeatureGrid
from hfmnas_keras.models.parts.mitigation import mitigation_of
from hfmnas_keras.models.parts.sequence_encoder import SequenceEncoder
from hfmnas_keras.models.parts.taps import check_taps, modalities_of_taps
from hfmnas_keras.settings.fusion import FinalModelSettings, FusionSettings, MitigationSettings


def searched_model(
    genotype: Genotype,
    feature_shapes: Mapping[str, Sequence[int]],
    num_outputs: int,
    fusion: FusionSettings | None = None,
    final_model: FinalModelSettings | None = None,
    mitigation: MitigationSettings | None = None,
    vocabulary_size: int | None = None,
    max_tokens: int | None = None,
) -> keras.Model:
    """Builds the fusion network that a genotype describes (HF-MNAS, Fig. 7; docs/method.md, sections 3-6).

    Args:
        genotype: `Genotype`.
        feature_shapes: dict from feature name to shape without the batch, as of `FeatureSet.feature_shapes`.
        num_outputs: int. Classes or labels.
        fusion: `FusionSettings`. Defaults to the paper's.
        final_model: `FinalModelSettings`. Defaults to the paper's.
        mitigation: `MitigationSettings`. Defaults to the paper's.
        vocabulary_size: int. Number of token ids, padding counted. With `final_model.sequence_encoder` the model then
            reads tokens, if a cell reads a feature of the text; otherwise its Bi-LSTM reads the positions of the two
            high features. So a unimodal model reads one modality alone.
        max_tokens: int. Length of the token sequences; `None` for any.

    Returns:
        Functional `keras.Model` from a dict of the features that the cells read, and `tokens` `(batch, max_tokens)`
        where it has a vocabulary, to logits, float32 `(batch, num_outputs)`. Further entries of the dict are ignored.
        `.keras` files of it load wherever `hfmnas_keras.models.hf_mnas.searched_model` is imported.

    Raises:
        ValueError: when a tap of `fusion` is not among the features.

    Example:
    >>> genotype = Genotype.load("genotype.json")
    >>> model = searched_model(genotype, train.feature_shapes, num_outputs=5)
    """
    fusion, final_model = fusion or FusionSettings(), final_model or FinalModelSettings()
    channels = final_model.channels
    inputs = {name: keras.Input(tuple(feature_shapes[name]), name=name) for name in check_taps(feature_shapes, fusion)}
    branches = {}
    first_grids = {}
    for name, taps in zip(CELLS, (fusion.lfbc_taps, fusion.hfbc_taps), strict=True):
        grids = [
            FeatureGrid(
                channels,
                fusion.grid,
                fusion.vector_to_grid,
                dropout=fusion.dropout,
                name=f"{name}_input_{position}",
            )(inputs[tap])
            for position, tap in enumerate(taps)
        ]
        first_grids[name] = grids
        branches[name] = _branch(name, genotype.cells[name], grids, fusion, final_model)
    fused = mitigation_of(channels, fusion, mitigation or MitigationSettings())([branches[name] for name in CELLS])
    hidden = keras.layers.Flatten(name="flatten")(fused)
    if final_model.sequence_encoder:
        if "text" not in modalities_of_taps(fusion):
            vocabulary_size = None
        if vocabulary_size is not None:
            sequence = inputs["tokens"] = keras.Input((max_tokens,), dtype="int64", name="tokens")
        else:
            # Position by position, both modalities side by side.
            sequence = keras.layers.Concatenate(name="high_features")(first_grids["hfbc"])
            sequence = keras.layers.Reshape((-1, 2 * channels), name="high_sequence")(sequence)
        encoded = SequenceEncoder(channels, vocabulary_size, name="sequence_encoder")(sequence)
        hidden = keras.layers.Concatenate(name="fused_and_sequence")([hidden, encoded])
    logits = keras.layers.Dense(num_outputs, dtype="float32", name="logits")(hidden)
    # A list of named inputs: called with a dict, the model picks them by name. (One made of a dict would take a
    # larger dict's entries by their place.)
    return keras.Model(list(inputs.values()), logits, name="searched_model")


def _branch(
    name: str, cell_genotype: CellGenotype, grids: list, fusion: FusionSettings, final_model: FinalModelSettings
) -> Any:
    """The stacked cells of a branch (Fig. 11-12): cell 1 reads the features, a later one the two outputs before it."""
    channels = final_model.channels
    outputs = _cell(cell_genotype, channels, fusion, f"{name}_cell_1")(grids)
    if final_model.num_cells == 1:
        return outputs
    # Cell 2 reads cell 1 and what cell 1 read, the two features.
    previous = [keras.layers.Concatenate(name=f"{name}_features")(grids), outputs]
    for number in range(2, final_model.num_cells + 1):
        projected = [
            FeatureGrid(channels, fusion.grid, dropout=fusion.dropout, name=f"{name}_cell_{number}_input_{position}")(
                output
            )
            for position, output in enumerate(previous)
        ]
        outputs = _cell(cell_genotype, channels, fusion, f"{name}_cell_{number}")(projected)
        previous = [previous[1], outputs]
    return outputs


def _cell(cell_genotype: CellGenotype, channels: int, fusion: FusionSettings, name: str) -> SearchedCell:
    return SearchedCell(
        cell_genotype,
        channels,
        dropout=fusion.dropout,
        num_heads=fusion.num_heads,
        attention_values=fusion.attention_values,
        name=name,
    )
