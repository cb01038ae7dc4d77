import numpy as np
import pytest

from hfmnas_keras.cell.searched_cell import SearchedCell
from hfmnas_keras.genotype import CellGenotype, NodeChoice
from tests.hfmnas_keras.cell.reference_cell import searched_cell_reference
from tests.hfmnas_keras.layer_test_case import run_layer_test
from tests.hfmnas_keras.reference_arithmetic import (
    random_grid,
    randomize_statistics,
    randomize_weights,
)

# Of four nodes, 0 is dropped but read by 3, 1 is dropped and gone, 2 and 3 are kept.
GENOTYPE = CellGenotype(
    num_nodes=4,
    nodes=(
        NodeChoice(0, (0, 1), ("dil_conv_3x3", "linear_elu"), "mamba_fusion"),
        NodeChoice(2, (0, 1), ("max_pool_3x3", "skip"), "multi_head_attention"),
        # Its inputs are means over three pairs.
        NodeChoice(3, (0, 1, 2), ("avg_pool_3x3", "sep_conv_3x3", "linear_tanh"), "concat_fc"),
    ),
    kept=(2, 3),
    importance=(0.15, 0.05, 0.3, 0.5),
)


def test_layer():
    inputs = [random_grid(seed, (3, 4, 2, 8)) for seed in (0, 1)]
    run_layer_test(lambda: SearchedCell(GENOTYPE, 8), inputs, expected_output_shape=(3, 4, 2, 16))


@pytest.mark.parametrize(("batch", "grid", "values"), [(2, (5, 3), "query"), (1, (4, 4), "key")])
@pytest.mark.parametrize("training", [False, True])
def test_equals_numpy(batch, grid, values, training):
    """Eq. 12 and 24-25 in float64, scales and offsets too."""
    inputs = [random_grid(seed, (batch, *grid, 4)).astype("float64") for seed in (0, 1)]
    cell = SearchedCell(GENOTYPE, 4, dropout=0.0, num_heads=2, attention_values=values, dtype="float64")
    cell.build([grid.shape for grid in inputs])
    randomize_weights(cell)
    randomize_statistics(cell)
    expected = searched_cell_reference(cell, inputs, training)
    assert expected.shape[-1] == 2 * 4
    np.testing.assert_allclose(cell(inputs, training=training), expected, rtol=0, atol=1e-9)


def test_inputs_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match="two inputs with equal shapes"):
        SearchedCell(GENOTYPE, 8).build([(3, 4, 4, 8), (3, 4, 2, 8)])
