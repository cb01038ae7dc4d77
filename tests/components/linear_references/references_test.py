"""The references without pickle say what scikit-learn's own pipelines say on the same rows."""

import json
import pathlib

import numpy as np
import pytest
import scipy.sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from components.linear_references.feature_scales import TextScale
from components.linear_references.raw_rows import RawRows
from components.linear_references.references import AVERAGE, JOINED, STRENGTHS, LinearReferences, fit_references
from hfmnas_keras.evidence.thresholds import choose_thresholds

CLASSES = ("bird", "boat", "größe", "tree")
WORDS = ("wing", "sail", "root", "the", "of", "Größe", "鳥", "blue", "salt", "leaf", "sky", "oar")


def make_rows(number, seed, multi_label, second="image"):
    """Rows whose words and numbers say something about their classes, not all."""
    generator = np.random.default_rng(seed)
    hot = (generator.random((number, 4)) < 0.3).astype("float32")
    hot[np.arange(number), generator.integers(0, 4, number)] = 1.0
    labels = hot if multi_label else hot.argmax(axis=1)
    shown = hot if multi_label else np.eye(4)[labels]
    texts = [" ".join([*(WORDS[place] for place in np.flatnonzero(row)), *generator.choice(WORDS, 5)]) for row in shown]
    numbers = (shown @ generator.random((4, 6)) + 0.7 * generator.random((number, 6))).astype("float32")
    return RawRows({"text": texts, second: numbers}, labels)


def classifier(strength, multi_label):
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=300)
    return OneVsRestClassifier(model) if multi_label else model


def tfidf():
    return TfidfVectorizer(token_pattern=r"[^\W_]+", dtype=np.float32)


@pytest.fixture(scope="module", params=[False, True], ids=["single-label", "multi-label"])
def fitted(request, tmp_path_factory):
    train, dev, test = (
        make_rows(number, seed, request.param) for number, seed in zip((160, 60, 80), range(3), strict=True)
    )
    references = fit_references(train, dev, CLASSES, request.param)
    folder = str(tmp_path_factory.mktemp("references") / "made")
    references.save(folder)
    return request.param, train, dev, test, references, folder


def test_probabilities_equal_those_of_scikit_learns_pipelines(fitted):
    multi_label, train, _, test, references, folder = fitted
    said = LinearReferences.load(folder).probabilities(test)
    strengths = references.strengths
    text = make_pipeline(tfidf(), classifier(strengths["text"], multi_label)).fit(train.columns["text"], train.labels)
    image = classifier(strengths["image"], multi_label).fit(train.columns["image"], train.labels)
    expected = {
        "text": text.predict_proba(test.columns["text"]),
        "image": image.predict_proba(test.columns["image"]),
    }
    words = tfidf().fit(train.columns["text"])
    both = [
        scipy.sparse.hstack([words.transform(rows.columns["text"]), rows.columns["image"]], "csr", np.float32)
        for rows in (train, test)
    ]
    expected[JOINED] = classifier(strengths[JOINED], multi_label).fit(both[0], train.labels).predict_proba(both[1])
    expected[AVERAGE] = (expected["text"] + expected["image"]) / 2
    assert list(said) == list(expected)
    for name, probabilities in expected.items():
        np.testing.assert_allclose(said[name], probabilities, atol=2e-5, err_msg=name)


def test_macro_f1_is_scikit_learns_at_the_threshold_that_dev_chose(fitted):
    multi_label, _, dev, test, references, _ = fitted
    for name, probabilities in references.probabilities(test).items():
        predicted = (probabilities > references.thresholds[name]) if multi_label else probabilities.argmax(axis=1)
        expected = f1_score(test.labels, predicted, average="macro", labels=range(4), zero_division=0)
        assert references.macro_f1(test)[name] == pytest.approx(expected, abs=1e-12)
    assert references.macro_f1(dev) == pytest.approx(references.dev_macro_f1)
    if multi_label:
        # Nearly as good on dev as the best of a hundred.
        of_dev = references.probabilities(dev)["text"]
        others = [
            f1_score(dev.labels, of_dev > place / 100, average="macro", zero_division=0) for place in range(2, 99)
        ]
        assert max(others) - 0.02 < references.dev_macro_f1["text"] < max(others) + 0.01


def test_dev_chooses_the_strength(fitted):
    multi_label, train, dev, _, references, _ = fitted
    scores = {}
    for strength in STRENGTHS:
        said = classifier(strength, multi_label).fit(train.columns["image"], train.labels)
        said = said.predict_proba(dev.columns["image"])
        threshold = choose_thresholds(dev.labels, np.log(said / (1 - said)), "dev")[0] if multi_label else None
        predicted = said > threshold if multi_label else said.argmax(axis=1)
        scores[strength] = f1_score(dev.labels, predicted, average="macro", zero_division=0)
    assert references.strengths["image"] == max(scores, key=scores.get)
    assert references.dev_macro_f1["image"] == pytest.approx(max(scores.values()))


def test_what_is_read_back_says_the_same_and_holds_nothing_that_runs(fitted):
    _, _, _, test, references, folder = fitted
    again = LinearReferences.load(folder)
    assert again.macro_f1(test) == references.macro_f1(test)
    assert (again.class_names, again.thresholds) == (references.class_names, references.thresholds)
    files = {path.name for path in pathlib.Path(folder).iterdir()}
    assert files == {"references.json", "references.npz", "words.json"}
    assert "größe" in json.loads((pathlib.Path(folder) / "words.json").read_text(encoding="utf-8"))["text"]
    with np.load(pathlib.Path(folder) / "references.npz", allow_pickle=False) as arrays:
        assert {array.dtype for array in arrays.values()} == {np.dtype("float32")}


def test_clips_are_standardised_by_their_train_rows():
    train, dev, test = (make_rows(60, seed, False, second="video") for seed in range(3))
    for rows in (train, dev, test):
        rows.columns["video"] *= 1000.0
    references = fit_references(train, dev, CLASSES, False)
    pipeline = make_pipeline(StandardScaler(), classifier(references.strengths["video"], False))
    expected = pipeline.fit(train.columns["video"], train.labels).predict_proba(test.columns["video"])
    np.testing.assert_allclose(references.probabilities(test)["video"], expected, atol=1e-3)


@pytest.mark.parametrize("multi_label", [False, True])
def test_classes_without_a_row_are_never_predicted(multi_label):
    train, dev = (make_rows(60, seed, multi_label) for seed in range(2))
    if multi_label:
        train.labels[:, 2] = 0.0
    else:
        train.labels[train.labels >= 2] = 0
    said = fit_references(train, dev, CLASSES, multi_label).probabilities(dev)
    for name, probabilities in said.items():
        assert np.isfinite(probabilities).all() and probabilities[:, 2].max() < 1e-9, name
    if not multi_label:
        references = fit_references(train, dev, CLASSES, multi_label)
        model = classifier(references.strengths["image"], False).fit(train.columns["image"], train.labels)
        expected = model.predict_proba(dev.columns["image"])
        np.testing.assert_allclose(said["image"][:, :2], expected, atol=2e-5)


def test_texts_without_a_word_are_no_error():
    scale = TextScale.of(["?!", "..."])
    assert scale(["a word", ""]).shape == (2, 1) and not scale(["a word", ""]).nnz


def test_one_modality_has_no_joined_model():
    train, dev = (make_rows(60, seed, False) for seed in range(2))
    alone = [RawRows({"image": rows.columns["image"]}, rows.labels) for rows in (train, dev)]
    assert list(fit_references(*alone, CLASSES, False).dev_macro_f1) == ["image"]


def test_chinese_characters_are_words():
    assert TextScale.of(["鳥が飛ぶ Blue_salt 3"]).words == ("3", "blue", "salt", "が", "ぶ", "飛", "鳥")
