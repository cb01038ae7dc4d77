import dataclasses
import json

import click.testing
import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks import graph_products, search_step
from benchmarks.plain_supernet import PlainSupernet
from hfmnas_keras.models.hf_mnas.supernet import Supernet
from hfmnas_keras.search.graph_rewriting import without_graph_rewriting
from hfmnas_keras.settings.fusion import FusionSettings
from hfmnas_keras.settings.search import SearchSettings
from hfmnas_keras.settings.space import SpaceSettings

TINY = search_step.Case(
    4,
    FusionSettings(grid=(2, 2)),
    {"text_low": (3,), "text_high": (3,), "image_low": (2, 2, 3), "image_high": (2, 2, 3)},
    2,
    SpaceSettings(num_nodes=1, kept_nodes=1),
)


def operations_of(function, *shapes):
    specs = [tf.TensorSpec(shape) for shape in shapes]
    graph = tf.function(function, autograph=False).get_concrete_function(*specs).graph
    return graph_products.counted_operations(graph)


def test_the_benchmark_says_what_it_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(search_step, "CASES", {"tiny": TINY})
    path = tmp_path / "results.json"
    arguments = ["--steps", "2", "--memory-steps", "4", "--output", str(path)]
    outcome = click.testing.CliRunner().invoke(search_step.main, arguments, catch_exceptions=False)
    assert outcome.exit_code == 0
    assert "| tiny 4, architecture |" in outcome.output
    results = json.loads(path.read_text())
    assert results["machine"]["large_product_gflops"] > 0
    case = results["cases"]["tiny"]
    sums = [sum(case["forms"][form]["compile_seconds"].values()) for form in ("fast", "plain")]
    assert "Both compile in {:.1f} s (plain: {:.1f} s)".format(*sums) in outcome.output
    # ceil(15552 / 8) batches; one architecture step for ceil(15552 / 2608) = 6 of them
    assert case["epoch_steps"] == {"weights": 1944, "architecture": 324}
    assert case["largest_difference"] <= 1e-5
    assert case["memory"]["steps"] == 4 and case["memory"]["peak_bytes"] > 1e6
    for form in case["forms"].values():
        medians = {kind: form["step_seconds"][kind]["median"] for kind in ("weights", "architecture")}
        assert form["epoch_seconds"] == pytest.approx(1944 * medians["weights"] + 324 * medians["architecture"])
        assert min(form["compile_seconds"].values()) > max(medians.values()) > 0
    for step in case["steps"].values():
        assert step["own_products_gflops"] > 0 and step["share_of_own_products"] > 0
    # Backward of the weights is two products for one; the architecture needs but the way back to gamma and beta.
    assert case["steps"]["weights"]["useful_flops"] > case["steps"]["architecture"]["useful_flops"] > 0


@pytest.mark.long
def test_memory_does_not_grow_with_the_steps():
    case = search_step.CASES["image_text"]
    case = dataclasses.replace(case, channels=8)
    settings = SearchSettings(channels=8)
    with without_graph_rewriting():
        step, _ = search_step._compiled(Supernet, case, search_step._random_rows(case, search_step._ROWS), settings)
        memory = search_step._memory(step, settings, steps=500)
    # Were the rows of each step kept, half a MiB, it would grow by 200. Of less, some tens of MiB find room in what
    # tracing has freed, and do not show.
    assert memory["growth_bytes"] < 20 * 2**20


def test_a_plain_form_that_differs_is_refused(monkeypatch):
    def copy_all_but_one(self, supernet):
        copy_weights(self, supernet)
        kernel = self.cells["hfbc"].edges[-1].dense.kernel
        kernel.assign(2.0 * kernel)

    copy_weights = PlainSupernet.copy_weights
    monkeypatch.setattr(PlainSupernet, "copy_weights", copy_all_but_one)
    with pytest.raises(RuntimeError, match="computes something else"):
        search_step.measure(TINY, 1, 1, 1.0)


def test_products_are_counted_by_their_shapes():
    assert graph_products.flops(operations_of(tf.linalg.matmul, (3, 5), (5, 7))) == 2 * 3 * 5 * 7
    batched = operations_of(lambda a, b: tf.linalg.matmul(a, b, adjoint_a=True), (2, 4, 5, 3), (2, 4, 5, 7))
    assert graph_products.flops(batched) == 2 * 8 * 3 * 5 * 7
    einsum = operations_of(lambda a, b: tf.einsum("bqhd,bkhd->bhqk", a, b), (2, 3, 4, 5), (2, 6, 4, 5))
    assert graph_products.flops(einsum) == 2 * 2 * 4 * 3 * 6 * 5
    depthwise = operations_of(
        lambda grid, kernel: tf.nn.depthwise_conv2d(grid, kernel, (1, 1, 1, 1), "SAME"), (2, 4, 3, 5), (3, 3, 5, 1)
    )
    assert graph_products.flops(depthwise) == 2 * 2 * 4 * 3 * 5 * 9
    assert graph_products.products(depthwise) == []
    assert graph_products.seconds_of_products([*batched, *einsum]) > 0


@pytest.mark.parametrize(("watched", "times"), [("both", 3), ("inputs", 2), ("kernel", 2)])
def test_the_backward_pass_counts_what_is_differentiated(watched, times):
    def gradients(inputs, matrix, kernel):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch({"both": [inputs, kernel], "inputs": [inputs], "kernel": [kernel]}[watched])
            grid = tf.nn.depthwise_conv2d(inputs, kernel, (1, 1, 1, 1), "SAME")
            loss = tf.reduce_sum(tf.square(grid))
            unread = tf.linalg.matmul(matrix, matrix)
        del unread
        return [each for each in tape.gradient(loss, [inputs, kernel]) if each is not None]

    operations = operations_of(gradients, (2, 4, 4, 6), (9, 9), (3, 3, 6, 1))
    assert graph_products.flops(operations) == times * 2 * (2 * 4 * 4 * 6) * 9


def test_a_product_within_another_graph_is_not_overlooked():
    with pytest.raises(RuntimeError, match="calls another graph"):
        operations_of(tf.function(lambda a, b: tf.linalg.matmul(a, b)), (2, 3), (3, 4))


def test_a_shape_that_is_not_known_is_refused():
    with pytest.raises(RuntimeError, match="cannot be counted"):
        graph_products.flops(operations_of(tf.linalg.matmul, (None, 5), (5, 7)))


def test_the_useful_operations_of_an_edge_by_hand():
    """One input to one edge of the plain form: four Dense, three pointwise and three depthwise convolutions."""
    keras.utils.set_random_seed(0)
    channels, rows = 4, 3 * 2 * 2
    cell = TINY.supernet(PlainSupernet).cells["lfbc"]
    edge = cell.edges[:10]
    operations = operations_of(
        lambda grid: tf.add_n([layer(grid, training=True) for layer in edge]), (3, 2, 2, channels)
    )
    products = graph_products.products(operations)
    assert graph_products.flops(products) == 7 * 2 * rows * channels**2
    native = [each for each in operations if each not in products]
    # On a 2x2 grid a dilated kernel has one tap, and is not made into 3x3.
    taps = np.array([9, 9, 1])
    assert graph_products.flops(native) == 2 * rows * channels * taps.sum()
