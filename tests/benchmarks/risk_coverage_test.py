"""The table and the figure of the benchmark, on curves of a few decisions."""

import io

import numpy as np
import pytest

pytest.importorskip("tfx", reason="needs the extra `pipeline`")

from benchmarks.risk_coverage import draw, table
from hfmnas_keras.evidence.risk_coverage import risk_coverage

COVERAGE = np.arange(1, 101) / 100


def measured(seed, errors):
    """Eight decisions in the order of their conflict; uncertainty orders them the other way round."""
    by = {}
    for doubt, order in (("conflict", np.arange(8)), ("uncertainty", -np.arange(8)), ("probability", np.arange(8))):
        curve = risk_coverage(order, errors)
        by[doubt] = {
            "aurc": curve.aurc,
            "excess_aurc": curve.excess_aurc,
            "error_by_quarter": curve.error_by_part(4).tolist(),
            "risk": curve.risk(COVERAGE).tolist(),
        }
    return {"seed": seed, "decisions": 8, "error_rate": float(np.mean(errors)), "coverage": COVERAGE.tolist(), "by": by}


SEEDS = [measured(0, [0, 0, 0, 0, 0, 1, 1, 1]), measured(1, [0, 0, 0, 0, 0, 0, 1, 1])]


def test_the_table_has_means_and_deviations_over_seeds():
    lines = table(SEEDS)
    # 3 and 2 of 8 are wrong: mean 5/16, deviation sqrt(2) / 16.
    assert lines[0].startswith("8 test rows, error rate 0.312 ± 0.088 (2 seeds).")
    by_doubt = {line.split(" | ")[0].removeprefix("| "): line for line in lines[4:]}
    assert list(by_doubt) == ["conflict", "uncertainty", "probability"]
    # Third quarters: one of two wrong, and none; last ones all wrong.
    assert "| 0.000 ± 0.000, 0.000 ± 0.000, 0.250 ± 0.354, 1.000 ± 0.000 | 1.000 ± 0.000 |" in by_doubt["conflict"]
    # AURC by hand: the errors last, (1/6 + 2/7 + 3/8) / 8 and (1/7 + 2/8) / 8: a perfect order.
    areas = [(1 / 6 + 2 / 7 + 3 / 8) / 8, (1 / 7 + 2 / 8) / 8]
    expected = f"{np.mean(areas):.3f} ± {np.std(areas, ddof=1):.3f} | 0.000 ± 0.000"
    assert by_doubt["conflict"].startswith(f"| conflict | {expected} |")
    assert by_doubt["uncertainty"].endswith("| -1.000 ± 0.000 |")


def test_one_seed_has_no_deviation():
    assert "±" not in "\n".join(table(SEEDS[:1]))


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_figure_is_a_picture(seeds):
    file = io.BytesIO()
    draw(SEEDS[:seeds], file)
    assert file.getvalue().startswith(b"\x89PNG") and len(file.getvalue()) > 10_000
