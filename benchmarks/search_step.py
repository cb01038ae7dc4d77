"""What a step of the search costs, beside its plain form: `python -m benchmarks.search_step`.

On random features of the paper's shapes, the supernet as the search runs it (`Supernet`) and the same network with a
layer for each edge, node and operation (`PlainSupernet`), first shown to compute the same. In one process: times are
of alternating steps, so that whatever else the machine does slows both, and the machine's own rate of products is
measured beside them.

Useful operations of a step are the products and depthwise convolutions in the graph of its plain form, forward and
backward of what the step differentiates (`benchmarks/graph_products.py`). The share of the machine's rate is these, by
the time of the step, of the rate of a large product; or of the rate of the products in the step's own graph by
themselves, which are small.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import click
import keras
import numpy as np
import tensorflow as tf

from benchmarks import graph_products
from benchmarks.plain_supernet import PlainSupernet
from hfmnas_keras.data.batch_order import BatchOrder
from hfmnas_keras.data.device_rows import DeviceRows
from hfmnas_keras.data.feature_set import FeatureSet
from hfmnas_keras.models.hf_mnas.supernet import Supernet
from hfmnas_keras.optimization.peak_memory import peak_memory_bytes
from hfmnas_keras.optimization.schedules import steps_of_epoch
from hfmnas_keras.search.bilevel_step import BilevelStep
from hfmnas_keras.search.graph_rewriting import without_graph_rewriting
from hfmnas_keras.settings.fusion import FusionSettings
from hfmnas_keras.settings.search import SearchSettings
from hfmnas_keras.settings.space import SpaceSettings

# Rows of MM-IMDB's splits, by which an epoch is counted.
TRAIN_ROWS, DEV_ROWS = 15_552, 2_608
_ROWS = 256
_LARGE_PRODUCT = 1536
_KINDS = ("weights", "architecture")
_TOLERANCE = 1e-5


@dataclasses.dataclass(frozen=True)
class Case:
    """Shapes of one data set of the paper, or smaller ones.

    Args:
        channels: int. Width of the supernet.
        fusion: `FusionSettings`.
        feature_shapes: dict from feature name to shape without the rows.
        num_outputs: int.
        space: `SpaceSettings`. Defaults to the paper's.
    """

    channels: int
    fusion: FusionSettings
    feature_shapes: dict[str, tuple[int, ...]]
    num_outputs: int
    space: SpaceSettings = SpaceSettings()

    def supernet(self, form: type[Supernet], dropout: float | None = None, **kwargs: Any) -> Supernet:
        """The network of this case in one form; `None` leaves the dropout as it is."""
        fusion = self.fusion if dropout is None else dataclasses.replace(self.fusion, dropout=dropout)
        settings = {"fusion": fusion, "space": self.space, "channels": self.channels}
        return form(self.feature_shapes, self.num_outputs, **settings, **kwargs)


# VGG-19 and Maxout; inflated ResNet-50 and the co-occurrence network.
CASES = {
    "image_text": Case(
        192,
        FusionSettings(grid=(4, 4)),
        {"text_low": (64,), "text_high": (128,), "image_low": (4, 4, 512), "image_high": (4, 4, 512)},
        23,
    ),
    "video": Case(
        128,
        FusionSettings(
            grid=(8, 1),
            lfbc_taps=("video_low", "skeleton_low"),
            hfbc_taps=("video_high", "skeleton_high"),
        ),
        {"video_low": (8, 1, 512), "video_high": (2048,), "skeleton_low": (8, 1, 256), "skeleton_high": (512,)},
        60,
    ),
}


@click.command(help="Measures the steps of the search on random features of the paper's shapes.")
@click.option("--case", "names", type=click.Choice(list(CASES)), multiple=True, help="Default: all.")
@click.option("--channels", type=int, help="Width of the supernet; default: the paper's.")
@click.option("--steps", default=30, show_default=True, help="Measured steps of each kind and form.")
@click.option("--memory-steps", default=500, show_default=True, help="Steps over which memory may grow.")
@click.option("--quick", is_flag=True, help="Small networks and few steps: whether it runs, not what it measures.")
@click.option("--output", default="runs/benchmark/search_step.json", show_default=True, help="JSON to write.")
def main(names: tuple[str, ...], channels: int | None, steps: int, memory_steps: int, quick: bool, output: str) -> None:
    """Runs the comparison, prints a table and writes the numbers."""
    if quick:
        channels, steps, memory_steps = channels or 8, min(steps, 3), min(memory_steps, 10)
    results: dict[str, Any] = {"machine": machine(), "cases": {}}
    path = pathlib.Path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    for name in names or CASES:
        case = CASES[name]
        changes: dict[str, Any] = {"channels": channels} if channels else {}
        if quick:
            changes["space"] = SpaceSettings(num_nodes=2, kept_nodes=1)
        case = dataclasses.replace(case, **changes)
        click.echo(f"{name}: {case.channels} channels, this takes minutes.")
        # As the search does, for both forms.
        with without_graph_rewriting():
            results["cases"][name] = measure(case, steps, memory_steps, results["machine"]["large_product_gflops"])
        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    click.echo("\n".join(table(results)))
    click.echo(f"Written to {path}.")


def machine() -> dict[str, Any]:
    """Processor or accelerator, and its rate of a large float32 product."""
    operands = [tf.random.normal((_LARGE_PRODUCT, _LARGE_PRODUCT)) for _ in range(2)]
    seconds = graph_products.median_seconds(lambda: tf.linalg.matmul(*operands).numpy(), 10)
    accelerators = [device.name for device in tf.config.list_physical_devices("GPU")]
    return {
        "cores": len(os.sched_getaffinity(0)),
        "accelerators": accelerators,
        "large_product_gflops": 2 * _LARGE_PRODUCT**3 / seconds / 1e9,
    }


def measure(case: Case, steps: int, memory_steps: int, large_product_gflops: float) -> dict[str, Any]:
    """All numbers of one case.

    Raises:
        RuntimeError: when the two forms do not compute the same.
    """
    difference = largest_difference(case)
    if not difference <= _TOLERANCE:
        raise RuntimeError(f"The plain form computes something else: it differs by {difference}.")
    settings = SearchSettings(channels=case.channels)
    rows = _random_rows(case, _ROWS)
    # The fast form alone first: what the process takes until then is its own.
    fast, fast_compile = _compiled(Supernet, case, rows, settings)
    memory = _memory(fast, settings, memory_steps)
    plain, plain_compile = _compiled(PlainSupernet, case, rows, settings)
    seconds = _alternating_seconds({"fast": fast, "plain": plain}, settings.batch_size, steps)

    epoch = steps_of_epoch(settings.alternation, TRAIN_ROWS, DEV_ROWS, settings.batch_size)
    result: dict[str, Any] = {
        "channels": case.channels,
        "grid": list(case.fusion.grid),
        "nodes": case.space.num_nodes,
        "batch_size": settings.batch_size,
        "largest_difference": difference,
        "memory": memory,
        "epoch_steps": {kind: epoch.count(kind) for kind in _KINDS},
        "forms": {},
        "steps": {},
    }
    for form, compile_seconds in (("fast", fast_compile), ("plain", plain_compile)):
        result["forms"][form] = {
            "compile_seconds": compile_seconds,
            "step_seconds": seconds[form],
            "epoch_seconds": sum(result["epoch_steps"][kind] * seconds[form][kind]["median"] for kind in _KINDS),
        }
    for kind in _KINDS:
        useful = graph_products.flops(graph_products.counted_operations(_graph(plain, kind)))
        own = graph_products.products(graph_products.counted_operations(_graph(fast, kind)))
        own_gflops = graph_products.flops(own) / graph_products.seconds_of_products(own) / 1e9
        gflops = {form: useful / seconds[form][kind]["median"] / 1e9 for form in seconds}
        result["steps"][kind] = {
            "useful_flops": useful,
            "useful_gflops": gflops,
            "own_products": len(own),
            "own_products_gflops": own_gflops,
            "share_of_large_product": gflops["fast"] / large_product_gflops,
            "share_of_own_products": gflops["fast"] / own_gflops,
            "times_faster_than_plain": seconds["plain"][kind]["median"] / seconds["fast"][kind]["median"],
        }
    return result


def largest_difference(case: Case) -> float:
    """Largest difference of the two forms with the same weights, in double precision, which rounding does not blur.

    Of the logits in inference and while training, of the added loss, and of the task's gradients by gamma and beta.
    """
    fast, plain = (case.supernet(form, dropout=0.0, dtype="float64") for form in (Supernet, PlainSupernet))
    plain.copy_weights(fast)
    rows = _random_rows(case, 4)
    received = []
    for model in (fast, plain):
        values = [model(rows.features, training=False)]
        with tf.GradientTape() as tape:
            logits = model(rows.features, training=True)
            loss = tf.reduce_mean(tf.square(logits - rows.labels))
        values += [logits, *model.losses]
        values += tape.gradient(loss, [variable.value for variable in model.architecture_variables])
        received.append([np.asarray(value, "float64") for value in values])
    return max(float(np.abs(one - other).max()) for one, other in zip(*received, strict=True))


def table(results: dict[str, Any]) -> list[str]:
    """The numbers in Markdown."""
    lines = [
        f"{results['machine']['cores']} cores, {len(results['machine']['accelerators'])} accelerators; a product of "
        f"{_LARGE_PRODUCT} x {_LARGE_PRODUCT}: {results['machine']['large_product_gflops']:.0f} GFLOP/s.",
        "",
        "| case, step | fast, ms (quartiles) | plain, ms (quartiles) | times faster | useful MFLOP "
        "| GFLOP/s | share of large product | share of own products | compile, s (plain) |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, case in results["cases"].items():
        for kind in _KINDS:
            step = case["steps"][kind]
            forms = [case["forms"][form] for form in ("fast", "plain")]
            times = [
                "{median:.1f} ({lower:.1f} - {upper:.1f})".format(
                    **{quantile: 1e3 * value for quantile, value in form["step_seconds"][kind].items()}
                )
                for form in forms
            ]
            lines.append(
                f"| {name} {case['channels']}, {kind} | {times[0]} | {times[1]} "
                f"| {step['times_faster_than_plain']:.1f} "
                f"| {step['useful_flops'] / 1e6:.0f} | {step['useful_gflops']['fast']:.1f} "
                f"| {step['share_of_large_product']:.0%} | {step['share_of_own_products']:.0%} "
                f"| {forms[0]['compile_seconds'][kind]:.1f} ({forms[1]['compile_seconds'][kind]:.1f}) |"
            )
    lines.append("")
    for name, case in results["cases"].items():
        counts, memory = case["epoch_steps"], case["memory"]
        lines.append(
            f"{name}: an epoch of {counts['weights']} weight and {counts['architecture']} architecture steps takes "
            f"{case['forms']['fast']['epoch_seconds']:.0f} s (plain: {case['forms']['plain']['epoch_seconds']:.0f} s). "
            f"Both compile in {sum(case['forms']['fast']['compile_seconds'].values()):.1f} s "
            f"(plain: {sum(case['forms']['plain']['compile_seconds'].values()):.1f} s). "
            f"Peak memory {memory['peak_bytes'] / 2**20:.0f} MiB, grown by {memory['growth_bytes'] / 2**20:.1f} MiB in "
            f"{memory['steps']} steps. The forms differ by {case['largest_difference']:.1g}."
        )
    return lines


def _random_rows(case: Case, rows: int) -> FeatureSet:
    generator = np.random.default_rng(0)
    features = {
        name: generator.normal(size=(rows, *shape)).astype("float32") for name, shape in case.feature_shapes.items()
    }
    labels = generator.integers(0, 2, size=(rows, case.num_outputs)).astype("float32")
    return FeatureSet(np.array([str(row) for row in range(rows)]), features, labels)


def _compiled(
    form: type[Supernet], case: Case, rows: FeatureSet, settings: SearchSettings
) -> tuple[BilevelStep, dict[str, float]]:
    """The two steps after their first call, and how long tracing and that call took."""
    keras.utils.set_random_seed(0)
    model = case.supernet(form, name="supernet")
    device_rows = DeviceRows(rows, tuple(case.feature_shapes))
    steps_per_epoch = -(-TRAIN_ROWS // settings.batch_size)
    step = BilevelStep(model, device_rows, device_rows, settings, steps_per_epoch, 3e-4)
    numbers = np.arange(settings.batch_size, dtype="int32")
    return step, {kind: _seconds(step, kind, numbers) for kind in _KINDS}


def _alternating_seconds(
    forms: dict[str, BilevelStep], batch_size: int, steps: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Median and quartiles by form and kind; one step of each, in turn."""
    order = BatchOrder(_ROWS, batch_size, seed=0)
    seconds: dict[str, dict[str, list[float]]] = {form: {kind: [] for kind in _KINDS} for form in forms}
    for number in range(steps + 2):
        for kind in _KINDS:
            for form, step in forms.items():
                seconds[form][kind].append(_seconds(step, kind, order.batch(number)))
    # The first two warm up.
    return {form: {kind: _quartiles(values[2:]) for kind, values in kinds.items()} for form, kinds in seconds.items()}


def _quartiles(values: list[float]) -> dict[str, float]:
    return dict(zip(("lower", "median", "upper"), np.quantile(values, (0.25, 0.5, 0.75)).tolist(), strict=True))


def _memory(step: BilevelStep, settings: SearchSettings, steps: int) -> dict[str, int]:
    """Peak memory, and by how much the resident set grows over steps in the order of an epoch."""
    epoch = steps_of_epoch(settings.alternation, TRAIN_ROWS, DEV_ROWS, settings.batch_size)
    order = BatchOrder(_ROWS, settings.batch_size, seed=0)
    warm_up = min(steps, 20)
    for number in range(warm_up + steps):
        if number == warm_up:
            before = _resident_bytes()
        _seconds(step, epoch[number % len(epoch)], order.batch(number))
    return {"peak_bytes": peak_memory_bytes(), "growth_bytes": _resident_bytes() - before, "steps": steps}


def _seconds(step: BilevelStep, kind: str, row_numbers: np.ndarray) -> float:
    started = time.perf_counter()
    (step.weight_step if kind == "weights" else step.architecture_step)(row_numbers)
    # Waits for an accelerator, and sees that the losses are finite.
    step.mean_losses()
    return time.perf_counter() - started


def _graph(step: BilevelStep, kind: str) -> tf.Graph:
    return step.compiled_steps[kind].get_concrete_function().graph


def _resident_bytes() -> int:
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
