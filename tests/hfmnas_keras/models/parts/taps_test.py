"""Which feature each cell reads (Fig. 10), seen by what moves when one feature changes."""

import numpy as np
import pytest
from keras import ops

from hfmnas_keras.genotype import CellGenotype, Genotype, NodeChoice
from hfmnas_keras.inconsistency.inconsistency_mitigation import InconsistencyMitigation
from hfmnas_keras.models.hf_mnas.searched_model import searched_model
from hfmnas_keras.models.hf_mnas.supernet import Supernet
from tests.hfmnas_keras.network_settings import NetworkSettings

SHAPES = {"text_low": (6,), "text_high": (5,), "image_low": (2, 2, 4), "image_high": (2, 2, 3)}
FUSION = NetworkSettings(
    channels=4, grid=(2, 2), num_nodes=1, kept_nodes=1, num_heads=2, correlation_dim=3, sequence_encoder=False
)
CELL = CellGenotype(1, (NodeChoice(0, (0, 1), ("skip", "linear_tanh"), "concat_fc"),), kept=(0,))
NETWORKS = {
    "supernet": lambda fusion: Supernet(SHAPES, 3, **fusion.supernet()),
    # The second cell of a branch reads the features too.
    "searched": lambda fusion: searched_model(Genotype(CELL, CELL), SHAPES, 3, **fusion.changed(num_cells=2).model),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("lfbc_taps", "hfbc_taps"),
    [
        (("text_low", "image_low"), ("text_high", "image_high")),
        # Exchanged: the low cell reads the high features.
        (("text_high", "image_high"), ("image_low", "text_low")),
        # One modality a cell.
        (("image_low", "image_high"), ("text_high", "text_low")),
    ],
)
def test_a_feature_moves_the_output_of_its_cell_alone(monkeypatch, name, lfbc_taps, hfbc_taps):
    network = NETWORKS[name](FUSION.changed(lfbc_taps=lfbc_taps, hfbc_taps=hfbc_taps))
    read = []
    mitigate = InconsistencyMitigation.call

    def mitigate_and_tell(self, inputs, training=False):
        read.append([ops.convert_to_numpy(branch) for branch in inputs])
        return mitigate(self, inputs, training)

    # Where the two branches meet, that of the low cell first.
    monkeypatch.setattr(InconsistencyMitigation, "call", mitigate_and_tell)
    generator = np.random.default_rng(0)
    features, others = (
        {feature: generator.normal(size=(3, *shape)).astype("float32") for feature, shape in SHAPES.items()}
        for _ in range(2)
    )
    network(features)
    for feature in SHAPES:
        network({**features, feature: others[feature]})
        moved = [np.abs(after - before).max() > 1e-3 for before, after in zip(read[0], read[-1], strict=True)]
        unmoved = [np.array_equal(before, after) for before, after in zip(read[0], read[-1], strict=True)]
        assert moved == [feature in lfbc_taps, feature in hfbc_taps], feature
        assert unmoved == [feature not in lfbc_taps, feature not in hfbc_taps], feature
