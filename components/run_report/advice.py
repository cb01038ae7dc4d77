"""What to try next, by what a run's summary shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_FEW_ROWS = 30
_LITTLE_GAIN = 0.01
_MUCH_CONFUSED, _LEAST_CONFUSED = 0.2, 3
_FAR_OFF = 0.1


def confused_pairs(evaluation: Mapping[str, Any], most: int = 10) -> list[dict[str, Any]]:
    """The pairs of classes that are taken for each other most often.

    Args:
        evaluation: as `read_evaluation` gives it, of single-label data.
        most: int. Pairs at most. Defaults to `10`.

    Returns:
        list of dicts: `true`, `given`, `count`, and `share` of the rows of the true class.
    """
    names, counts = evaluation["class_names"], evaluation["confusion"]["probabilities"]
    pairs = [
        {"true": names[true], "given": names[given], "count": int(count), "share": count / sum(counts[true])}
        for true, row in enumerate(counts)
        for given, count in enumerate(row)
        if true != given and count
    ]
    return sorted(pairs, key=lambda pair: (-pair["count"], -pair["share"], pair["true"]))[:most]


def advice(summary: Mapping[str, Any], calibration: Mapping[str, Any] | None = None) -> list[str]:
    """Sentences on what is likely to help, the most likely first; none where nothing stands out.

    Args:
        summary: as in `summary.json`.
        calibration: what `calibration_of` returns, or None.
    """
    evaluation = summary["evaluation"]
    overall = evaluation["overall"]
    fused = overall["probabilities"]["f1_m"]
    if fused is None:
        return ["The model's outputs are not finite: lower training.learning_rate."]
    told = []
    references = evaluation["references"]
    if references is not None:
        name, best = max(references["macro_f1"].items(), key=lambda pair: pair[1])
        if best >= fused:
            told.append(
                f"A linear model ({name}) reaches {best:.3f} without any network: this one is not worth its cost."
            )
    heads = {name: scores["f1_m"] for name, scores in overall.items() if name != "probabilities" and scores["f1_m"]}
    if heads:
        name, best = max(heads.items(), key=lambda pair: pair[1])
        if fused < best + _LITTLE_GAIN:
            told.append(
                f"Fusing gains {fused - best:+.3f} over the {name.removesuffix('_belief')} head alone. Try "
                "final_model.ensemble: 3, or look whether the other modality says anything of these classes."
            )
    for modality, record in summary["backbones"]["modalities"].items():
        if record["sees_labels"]:
            told.append(
                f"The {modality} network is trained on these rows alone. A pre-trained encoder "
                f"(backbones.{modality}.kind: encoder; hfmnas encoder list) needs fewer rows and usually does better."
            )
    told += _of_classes(summary)
    search = summary["search"]
    if search is not None and search["verdict"] != "decided":
        cure = (
            "Its best candidates differ little on dev: let several vote (final_model.ensemble), or bring more dev rows."
        )
        if search["settings"]["strategy"] == "bilevel":
            cure = "Try search.strategy: race."
        told.append(f"The search ended {search['verdict']}. {cure}")
    if calibration is not None and calibration["error"] > _FAR_OFF:
        told.append(_of_probabilities(calibration))
    return told


def _of_probabilities(calibration: Mapping[str, Any]) -> str:
    said, true = (sum(one["count"] * one[name] for one in calibration["bins"]) for name in ("said", "true"))
    off = f"Probabilities are off by {calibration['error']:.2f} on average: "
    if said > true:
        return off + "the model is less often right than it says. Try training.label_smoothing: 0.1."
    return off + "the model is more often right than it says. Try more epochs, or less training.label_smoothing."


def _of_classes(summary: Mapping[str, Any]) -> Sequence[str]:
    evaluation, told = summary["evaluation"], []
    scores = evaluation["by_class"]["probabilities"]
    train = summary["ingest"]["rows_by_class"]["train"]
    worst = min(scores, key=lambda name: scores[name]["f1"])
    if train.get(worst, 0) < _FEW_ROWS:
        told.append(
            f"The class {worst} has the lowest F1, {scores[worst]['f1']:.2f}, and {train.get(worst, 0)} rows to train "
            "on: bring more of it."
        )
    if not evaluation["multi_label"]:
        for pair in confused_pairs(evaluation, most=1):
            if pair["share"] >= _MUCH_CONFUSED and pair["count"] >= _LEAST_CONFUSED:
                told.append(
                    f"Of the class {pair['true']}, {pair['share']:.0%} are taken for {pair['given']}: look at such "
                    "rows and at how the two are told apart."
                )
    return told
