"""Figures that must not grow with the number of the user's classes."""

import numpy as np

from components.run_report import figures


def confusion(number):
    """A few errors in each class, most in the last three."""
    counts = np.diag(np.arange(10, 10 + number))
    counts[np.arange(number), (np.arange(number) + 1) % number] = 1
    counts[-3:, 0] = 50
    return counts


def test_the_confusion_of_many_classes_is_pooled():
    names = [f"class {number}" for number in range(400)]
    drawing = figures.confusion_figure(confusion(400), names)
    assert len(drawing) < 500_000
    others = 400 - figures.MOST_CLASSES + 1
    assert f"{others} others" in drawing
    # Which errors are seen: those that are most.
    assert all(f">class {number}<" in drawing for number in (0, 397, 398, 399))
    assert drawing.count(">class ") == 2 * (figures.MOST_CLASSES - 1)


def test_pooling_keeps_every_row_and_no_more_classes_than_drawn():
    counts = confusion(60)
    names = [f"class {number}" for number in range(60)]
    pooled, pooled_names = figures._pooled(counts, names)
    assert pooled.shape == (figures.MOST_CLASSES,) * 2 and pooled.sum() == counts.sum()
    kept = [names.index(name) for name in pooled_names[:-1]]
    np.testing.assert_array_equal(pooled[:-1, :-1], counts[np.ix_(kept, kept)])
    np.testing.assert_array_equal(pooled.sum(axis=1)[:-1], counts.sum(axis=1)[kept])
    few, few_names = figures._pooled(counts[:40, :40], names[:40])
    assert few_names == names[:40] and few is not None


def test_bars_are_those_of_the_worst_classes():
    by_class = {"probabilities": {f"class {number}": {"f1": number / 200} for number in range(200)}}
    drawing = figures.class_figure(by_class, {"probabilities": "fused"})
    assert "the 40 of 200 classes with the least F1" in drawing
    assert ">class 39<" in drawing and ">class 40<" not in drawing
