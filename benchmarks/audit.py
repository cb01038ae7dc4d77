"""Whether the audit finds what is wrong with rows: `python -m benchmarks.audit --features FOLDER`.

Takes the features of a finished run on frozen encoders, of which no row's knows its label. 5 % of the rows get the text
of another row, 5 % a wrong label; logistic regressions say, of each fifth by the others, what a text, a picture and
both are. How many of the first 5 % of a ranking are such rows, by the ranking.
"""

from __future__ import annotations

import pathlib

import click
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hfmnas_keras.data.feature_files import read_feature_set
from hfmnas_keras.data.feature_set import FeatureSet
from hfmnas_keras.evidence.audit import audit

SHARE = 0.05
#: Of the text, the picture, and both; inverse strengths of the penalty.
_STRENGTHS = {"text": 0.003, "image": 0.01, "both": 0.003}


@click.command(help="Measures how well the audit finds swapped pairs and wrong labels.")
@click.option("--features", required=True, help="Folder with Split-train and Split-dev, as FeatureExtractor writes it.")
@click.option("--seeds", default=5, show_default=True, type=click.IntRange(1))
def main(features: str, seeds: int) -> None:
    """Prints a line for each ranking."""
    folder = pathlib.Path(features)
    train, dev = (read_feature_set(str(folder / f"Split-{split}")) for split in ("train", "dev"))
    found = [precisions(train.joined(dev), seed) for seed in range(seeds)]
    click.echo(f"{'of the first 5 %':34}{'swapped':>16}{'wrong label':>16}{'either':>16}")
    for ranking in found[0]:
        values = np.array([of_seed[ranking] for of_seed in found])
        cells = (f"{mean:.3f} ± {spread:.3f}" for mean, spread in zip(values.mean(0), values.std(0), strict=True))
        click.echo(f"{ranking:34}{''.join(f'{cell:>16}' for cell in cells)}")


def precisions(rows: FeatureSet, seed: int) -> dict[str, tuple[float, float, float]]:
    """Shares of swapped rows, of wrong labels and of either among the first rows of each ranking.

    Args:
        rows: `FeatureSet` with tokens. Of several labels a row, a wrong one is another in the place of a given one.
        seed: int. Decides which rows are changed.
    """
    if rows.multi_label:
        return _precisions_of_several(rows, seed)
    count, classes = rows.num_rows, int(rows.labels.max()) + 1
    generator = np.random.default_rng(seed)
    changed = round(SHARE * count)
    order = generator.permutation(count)
    swapped, wrong = order[:changed], order[changed : 2 * changed]
    text, image = (_vectors(rows, modality) for modality in ("text", "image"))
    text[swapped] = text[np.roll(swapped, 1)]
    labels = rows.labels.copy()
    labels[wrong] = (labels[wrong] + generator.integers(1, classes, changed)) % classes
    # Rows of the same words stay together.
    groups = np.unique(rows.tokens, axis=0, return_inverse=True)[1].reshape(-1)
    said = {
        name: _said(inputs, labels, groups, classes, _STRENGTHS[name])
        for name, inputs in {"text": text, "image": image, "both": np.hstack([text, image])}.items()
    }
    numbers = np.arange(count)
    both, own = said["both"], said["both"][numbers, labels]
    others = np.where(np.eye(classes, dtype=bool)[labels], -1.0, both).max(axis=1)
    usual = np.array([both[labels == one, one].mean() for one in range(classes)])
    result = audit({name: said[name] for name in ("text", "image")}, labels)
    rankings = {
        "label_doubt": result.label_doubt,
        "mismatch": result.mismatch,
        "loss of the model of both": -np.log(own + 1e-9),
        "normalised margin (cleanlab)": others - own,
        "adjusted confidence (cleanlab)": usual[labels] - own,
    }
    return _shares(rankings, swapped, wrong)


def _precisions_of_several(rows: FeatureSet, seed: int) -> dict[str, tuple[float, float, float]]:
    count, classes = rows.labels.shape
    generator = np.random.default_rng(seed)
    changed = round(SHARE * count)
    order = generator.permutation(count)
    swapped, wrong = order[:changed], order[changed : 2 * changed]
    text, image = (_vectors(rows, modality) for modality in ("text", "image"))
    text[swapped] = text[np.roll(swapped, 1)]
    labels = rows.labels.copy()
    for row in wrong:
        has = np.flatnonzero(labels[row])
        lacks = np.flatnonzero(labels[row] == 0)
        if len(has):
            labels[row, generator.choice(has)] = 0
        labels[row, generator.choice(lacks)] = 1
    groups = np.unique(rows.tokens, axis=0, return_inverse=True)[1].reshape(-1)

    def said(inputs: np.ndarray, strength: float) -> np.ndarray:
        of_label = [_said(inputs, labels[:, one].astype(int), groups, 2, strength)[:, 1] for one in range(classes)]
        return np.stack(of_label, axis=1)

    views = {"text": text, "image": image, "both": np.hstack([text, image])}
    probabilities = {name: said(inputs, _STRENGTHS[name]) for name, inputs in views.items()}
    both = np.clip(probabilities["both"], 1e-6, 1 - 1e-6)
    result = audit({name: probabilities[name] for name in ("text", "image")}, labels)
    off = np.where(labels > 0.5, 1 - both, both)
    rankings = {
        "label_doubt": result.label_doubt,
        "mismatch": result.mismatch,
        "loss of the model of both": -np.log(1 - off).sum(axis=1),
        "least probable label of both": off.max(axis=1),
    }
    return _shares(rankings, swapped, wrong)


def _shares(
    rankings: dict[str, np.ndarray], swapped: np.ndarray, wrong: np.ndarray
) -> dict[str, tuple[float, float, float]]:
    shares = {}
    for name, scores in rankings.items():
        first = np.argsort(-scores, kind="stable")[: len(wrong)]
        is_swapped, is_wrong = np.isin(first, swapped), np.isin(first, wrong)
        shares[name] = (is_swapped.mean(), is_wrong.mean(), (is_swapped | is_wrong).mean())
    return shares


def _vectors(rows: FeatureSet, modality: str) -> np.ndarray:
    taps = (rows.features[f"{modality}_{level}"] for level in ("low", "high"))
    # Maps by their means.
    return np.hstack([tap if tap.ndim == 2 else tap.mean(axis=(1, 2)) for tap in taps])


def _said(inputs: np.ndarray, labels: np.ndarray, groups: np.ndarray, classes: int, strength: float) -> np.ndarray:
    """Probabilities `(rows, classes)`, each row's by a model that has not seen it."""
    said = np.zeros((len(labels), classes))
    for seen, unseen in GroupKFold(5).split(inputs, labels, groups):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300))
        model.fit(inputs[seen], labels[seen])
        said[np.ix_(unseen, model[-1].classes_)] = model.predict_proba(inputs[unseen])
    return said


if __name__ == "__main__":
    main()
