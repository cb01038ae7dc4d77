"""Whether doubt tells errors on the demo's test split, over seeds: `python -m benchmarks.risk_coverage`.

Each seed runs the whole pipeline as `benchmarks.demo` does, whose runs are taken from the cache where they are there.
The Evaluator reads the test split once a model and orders its predictions by conflict, by uncertainty and by one minus
the largest probability (docs/method.md, section 1); all numbers here are its. The backbones, and so the beliefs of
which conflict and uncertainty are made, are the same for all seeds: the spread is that of the fused model's errors.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import IO, Any

# The settings of the log come with it, before TensorFlow is imported.
from pipeline.local_runner import run_and_summarise  # isort: skip

import click
import numpy as np

from pipeline.config_file import load_config, with_overrides

_COLOURS = {"conflict": "tab:red", "uncertainty": "tab:orange", "probability": "tab:blue"}


@click.command(help="Measures whether conflict, uncertainty and probability tell the demo model's errors.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1), help="Number of seeds.")
@click.option("--config", "config_path", default="demo", show_default=True, help="Configuration of the runs.")
@click.option(
    "--output", default="runs/benchmark/risk_coverage.json", show_default=True, help="JSON to write; the figure beside."
)
def main(seeds: int, config_path: str, output: str) -> None:
    """Runs the seeds, prints a table and writes the numbers and the figure."""
    config = load_config(config_path)
    measured: list[dict[str, Any]] = []
    for seed in range(seeds):
        seeded = with_overrides(config, {"name": "benchmark", "search.seed": seed, "training.seed": seed})
        _, summary = run_and_summarise(seeded)
        if summary is None or summary.evaluation is None:
            raise click.ClickException(f"The run of seed {seed} came to no evaluation; its log says why.")
        evaluation = summary.evaluation
        if evaluation["risk_coverage"] is None:
            raise click.ClickException(f"The model of seed {seed} gave outputs that are not finite.")
        measured.append({"seed": seed, "decisions": evaluation["examples"], **evaluation["risk_coverage"]})
        # After each seed: the comparison takes long and may be cut off.
        _write(pathlib.Path(output), {"config": config_path, "seeds": measured})


def table(measured: Sequence[Mapping[str, Any]]) -> list[str]:
    """Mean and standard deviation over seeds in Markdown, one row a score of doubt."""
    lines = [
        f"{measured[0]['decisions']} test rows, error rate {_spread([seed['error_rate'] for seed in measured])} "
        f"({len(measured)} seeds). An order by chance has the error rate as its area (AURC) and in each quarter.",
        "",
        "| doubt | AURC | above a perfect order | error by quarter of doubt, least first | last less first quarter |",
        "| --- | --- | --- | --- | --- |",
    ]
    for doubt in measured[0]["by"]:
        seeds = [seed["by"][doubt] for seed in measured]
        quarters = np.array([seed["error_by_quarter"] for seed in seeds])
        columns = [
            _spread([seed["aurc"] for seed in seeds]),
            _spread([seed["excess_aurc"] for seed in seeds]),
            ", ".join(_spread(quarter) for quarter in quarters.T),
            _spread(quarters[:, -1] - quarters[:, 0]),
        ]
        lines.append(f"| {doubt} | {' | '.join(columns)} |")
    return lines


def draw(measured: Sequence[Mapping[str, Any]], file: IO[bytes]) -> None:
    """Draws risk against coverage, a line of each seed and their mean, and the error rate by quarter, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    curves, quarters = figure.subplots(1, 2)
    for doubt in measured[0]["by"]:
        colour = _COLOURS[doubt]
        risks = np.array([seed["by"][doubt]["risk"] for seed in measured])
        for risk in risks:
            curves.plot(measured[0]["coverage"], risk, color=colour, alpha=0.25, linewidth=1)
        curves.plot(measured[0]["coverage"], risks.mean(axis=0), color=colour, linewidth=2, label=doubt)
        errors = np.array([seed["by"][doubt]["error_by_quarter"] for seed in measured])
        quarters.errorbar(
            range(1, 5), errors.mean(axis=0), _deviation(errors), color=colour, marker="o", capsize=3, label=doubt
        )
    error_rate = np.mean([seed["error_rate"] for seed in measured])
    for axes, x_label in ((curves, "coverage: share of the test rows kept"), (quarters, "quarter of doubt")):
        axes.axhline(error_rate, color="black", linewidth=1, linestyle=":")
        axes.set_xlabel(x_label)
        axes.set_ylabel("error rate")
        axes.set_ylim(bottom=0)
        axes.legend()
    quarters.set_xticks(range(1, 5))
    figure.savefig(file, format="png", dpi=150)


def _write(path: pathlib.Path, results: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    figure = path.with_suffix(".png")
    with open(figure, "wb") as file:
        draw(results["seeds"], file)
    click.echo("\n" + "\n".join(table(results["seeds"])))
    click.echo(f"Written to {path} and {figure}.")


def _spread(values: Any) -> str:
    return f"{np.mean(values):.3f}" + (f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else "")


def _deviation(values: np.ndarray) -> np.ndarray:
    return values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1])


if __name__ == "__main__":
    main()
