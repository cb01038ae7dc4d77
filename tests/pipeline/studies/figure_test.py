"""What is drawn of a study, read back from the drawing."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

from pipeline.studies.figure import draw_costs

ROWS = [
    {
        "variant": "plain",
        "test_macro_f1": [0.5, 0.7],
        "parameters": [1000, 1000],
        "flops": [None, None],
        "latency_ms": [1.0, 3.0],
        "search_seconds": [None, None],
        "training_seconds": [10.0, 20.0],
    },
    {
        "variant": "searched",
        "test_macro_f1": [0.8],
        "parameters": [5000],
        "flops": [2_500_000],
        "latency_ms": [4.0],
        "search_seconds": [60.0],
        "training_seconds": [40.0],
    },
    {
        "variant": "not trained yet",
        "test_macro_f1": [],
        **{name: [] for name in ("parameters", "flops", "latency_ms", "search_seconds", "training_seconds")},
    },
]


def test_the_costs_have_a_panel_each_and_what_is_not_known_is_left_out(monkeypatch):
    figures = []
    save = Figure.savefig

    def kept(figure, *arguments, **options):
        figures.append(figure)
        return save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", kept)
    file = io.BytesIO()
    draw_costs(ROWS, "a title", file)
    assert file.getvalue().startswith(b"\x89PNG")
    drawn = {
        axes.get_xlabel(): {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}
        for axes in figures[0].axes
    }
    expected = {
        "parameters": ([[1000, 0.6]], [[5000, 0.8]]),
        "MFLOPs of an answer": ([], [[2.5, 0.8]]),
        "latency of an answer, ms": ([[2.0, 0.6]], [[4.0, 0.8]]),
        "search and training, s": ([[15.0, 0.6]], [[100.0, 0.8]]),
    }
    assert drawn == {
        label: {"plain": plain, "searched": searched, "not trained yet": []}
        for label, (plain, searched) in expected.items()
    }
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == [row["variant"] for row in ROWS]
