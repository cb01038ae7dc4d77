import pytest

from components.run_report.advice import advice


def summary(verdict="decided", strategy="race", sees_labels=False):
    return {
        "evaluation": {
            "overall": {"probabilities": {"f1_m": 0.8}, "text_belief": {"f1_m": 0.6}},
            "references": {"macro_f1": {"text": 0.7}},
            "by_class": {"probabilities": {"a": {"f1": 0.7}, "b": {"f1": 0.9}}},
            "multi_label": True,
        },
        "backbones": {"modalities": {"text": {"sees_labels": sees_labels}}},
        "ingest": {"rows_by_class": {"train": {"a": 100, "b": 100}}},
        "search": {"verdict": verdict, "settings": {"strategy": strategy}},
    }


def calibration(said, true):
    return {"bins": [{"count": 10, "said": said, "true": true}], "error": abs(said - true)}


def test_a_run_in_which_nothing_stands_out_gets_no_advice():
    assert advice(summary(), calibration(0.8, 0.75)) == []


@pytest.mark.parametrize(
    ("changes", "measured", "told", "not_told"),
    [
        ({"verdict": "undecided", "strategy": "bilevel"}, None, "search.strategy: race", "vote"),
        ({"verdict": "undecided", "strategy": "race"}, None, "let several vote", "search.strategy: race"),
        ({"sees_labels": True}, None, "kind: encoder", "linear"),
        ({}, calibration(0.9, 0.6), "less often right than it says. Try training.label_smoothing", "more often"),
        ({}, calibration(0.5, 0.8), "more often right than it says", "Try training.label_smoothing"),
    ],
)
def test_advice_fits_what_was_done(changes, measured, told, not_told):
    (sentence,) = advice(summary(**changes), measured)
    assert told in sentence and not_told not in sentence
