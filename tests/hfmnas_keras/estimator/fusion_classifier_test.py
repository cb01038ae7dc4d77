import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from hfmnas_keras import FusionClassifier
from hfmnas_keras.estimator.fitting import fitting_epochs
from hfmnas_keras.estimator.record import read_record
from tests import source_files

COLOURS = {"red": (200, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 200)}
#: As small as it gets; rates at which a few steps suffice.
TINY = {
    "image_size": (16, 16),
    "text": {"kind": None, "embedding_dim": 8, "hidden_units": (8, 8), "dropout": 0.0, "token_dropout": 0.0},
    "image": {"kind": None, "depth": 16, "width": 1 / 32},
    "pretraining": {"max_epochs": 15, "folds": 0, "learning_rate": 1e-2},
    "space": {"num_nodes": 1, "kept_nodes": 1},
    "search": {"channels": 4, "race": {"candidates": 2, "rungs": (1,)}, "learning_rate": 1e-2},
    "final_model": {"channels": 8, "ensemble": 2},
    "training": {"max_epochs": 20, "learning_rate": 3e-3, "weight_decay": 0.1},
}


def made_rows(count, folder):
    """Pictures of one colour with a text that names it, beside other columns."""
    generator = np.random.default_rng(count)
    rows = []
    for number in range(count):
        name = list(COLOURS)[number % 3]
        noise = generator.integers(-20, 20, (12, 20, 3))
        picture = tf.io.encode_png(np.clip(np.array(COLOURS[name]) + noise, 0, 255).astype("uint8")).numpy()
        (folder / f"{number}.png").write_bytes(picture)
        rows.append({"photo": f"{number}.png", "title": f"the {name} one, {number}", "stock": number, "kind": name})
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="module")
def rows(folder):
    rows = made_rows(60, folder)
    # Kept, as far as they go.
    rows[57]["title"], rows[58]["title"], rows[59]["photo"] = None, "", None
    return rows


@pytest.fixture(scope="module")
def fitted(rows, folder):
    classifier = FusionClassifier(folder=folder, verbose=False, **TINY)
    assert classifier.fit(rows, label="kind", presets="fast") is classifier
    return classifier


def test_the_final_training_is_cut_to_the_time_that_is_left():
    candidates = [{"history": [{"seconds": 9.0}, {"seconds": 1.0}]}, {"history": [{"seconds": 1.0}]}]
    # An epoch of the median second takes two in the final model, which is trained twice.
    assert fitting_epochs(30, candidates, seconds_left=88.0) == 20
    assert fitting_epochs(15, candidates, seconds_left=88.0) == 15
    # Fewer than eight would cost more than the search gains.
    assert fitting_epochs(15, candidates, seconds_left=-5.0) == 8
    assert fitting_epochs(4, candidates, seconds_left=-5.0) == 4


def plain_tensorflow(model_folder, pictures, texts):
    """What the SavedModel says in a process that has none of our code."""
    program = """
import json, sys
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
pictures = [open(path, "rb").read() for path in json.loads(sys.argv[2])]
answers = model.signatures["serve_json"](text=tf.constant(json.loads(sys.argv[3])), image_bytes=tf.constant(pictures))
assert not any(name.startswith("hfmnas") for name in sys.modules)
print(json.dumps({"label": [name.decode() for name in answers["label"].numpy()],
                  "probabilities": answers["probabilities"].numpy().tolist()}))
"""
    arguments = [str(model_folder), json.dumps(list(map(str, pictures))), json.dumps(texts)]
    return json.loads(run(program, *arguments, cwd=model_folder))


def run(program, *arguments, cwd):
    result = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout.splitlines()[-1]


def test_it_learns_what_colours_are_called(fitted, rows, folder):
    new = made_rows(21, folder)
    scores = fitted.evaluate(new)
    predicted = fitted.predict(new)
    assert predicted.tolist() == [fitted.classes_[index] for index in fitted.predict_proba(new).argmax(axis=1)]
    assert scores["rows"] == 21 and set(scores["f1"]) == set(COLOURS)
    assert scores["accuracy"] == np.mean([name == row["kind"] for name, row in zip(predicted, new, strict=True)])
    assert scores["macro_f1"] > 0.8
    assert fitted.classes_.tolist() == ["blue", "green", "red"]
    # Two networks were fitted, as the settings ask for.
    members = read_record(fitted.path)["members"]
    assert len(members) == 2 and sum(member["votes"] for member in members) > 0
    assert repr(fitted).startswith("FusionClassifier(3 classes, dev macro F1 ")


def test_saved_loaded_and_exported_it_says_the_same(fitted, rows, folder, tmp_path):
    expected = fitted.predict_proba(rows[:7])
    fitted.save(tmp_path / "saved")
    fitted.export(tmp_path / "exported")
    program = (
        f"import sys; sys.path.insert(0, {str(source_files.ROOT)!r})\n"
        "import json\nfrom hfmnas_keras import FusionClassifier\n"
        "classifier = FusionClassifier.load(sys.argv[1], folder=sys.argv[2])\n"
        "print(json.dumps(classifier.predict_proba(json.loads(sys.argv[3])).tolist()))"
    )
    loaded = json.loads(run(program, str(tmp_path / "saved"), str(folder), json.dumps(rows[:7]), cwd=tmp_path))
    np.testing.assert_allclose(loaded, expected, atol=1e-6)
    pictures, texts = [folder / row["photo"] for row in rows[:7]], [row["title"] for row in rows[:7]]
    plain = plain_tensorflow(tmp_path / "exported", pictures, texts)
    np.testing.assert_allclose(plain["probabilities"], expected, atol=1e-6)
    assert plain["label"] == fitted.predict(rows[:7]).tolist()
    # The network alone, on rows prepared by hand.
    assert fitted.model.count_params() > 0 and fitted.genotype.size


def test_a_word_and_a_region_are_left_out_one_by_one(fitted, rows):
    (explanation,) = fitted.explain(rows, rows=1)
    probability = fitted.predict_proba(rows[:1])[0]
    assert explanation.label == fitted.classes_[probability.argmax()]
    assert explanation.score == pytest.approx(probability.max())
    assert [word for word, _ in explanation.words] == ["the", "red", "one,", "0"]
    without = [dict(rows[0], title="the one, 0")]
    fall = probability.max() - fitted.predict_proba(without)[0, probability.argmax()]
    assert dict(explanation.words)["red"] == pytest.approx(fall, abs=1e-6)
    assert explanation.regions.shape == (4, 4) and set(explanation.beliefs) == {"text", "image"}
    assert "red" in str(explanation)


def test_bad_rows_are_told_and_marked(fitted, rows, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    broken = [rows[0], dict(rows[1], photo=str(tmp_path / "broken.png"))]
    with pytest.raises(ValueError, match="1 rows cannot be used, the first is row 1: image"):
        fitted.predict(broken)
    assert [bool(error) for error in fitted.answers(broken)["error"]] == [False, True]
    with pytest.raises(ValueError, match="There is no column 'title'"):
        fitted.predict([{"photo": "0.png"}])
    with pytest.raises(ValueError, match="does not know: violet"):
        fitted.evaluate([dict(rows[0], kind="violet")])
    with pytest.raises(ValueError, match="This classifier is fitted"):
        fitted.fit(rows, label="kind")


def test_a_row_without_text_or_picture_is_answered_from_the_other(fitted, rows):
    whole = fitted.answers(rows[:2])
    answers = fitted.answers([rows[0], {"title": rows[1]["title"]}, dict(rows[1], title=None)])
    assert answers["missing"].tolist() == ["", "image", "text"] and not any(answers["error"])
    for row, there in ((1, "text"), (2, "image")):
        belief, doubt = whole[f"{there}_belief"][1], whole[f"{there}_uncertainty"][1]
        np.testing.assert_allclose(answers["probabilities"][row], belief + doubt / 3, atol=1e-5)
        assert answers["uncertainty"][row] == pytest.approx(doubt, abs=1e-6) and doubt > whole["uncertainty"][1]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"label": "stock"}, "60 different labels in 60 rows. These are no classes"),
        ({"label": "colour"}, "There is no column 'colour'"),
        ({"label": "kind", "time_limit": 0}, "time_limit"),
        ({"label": "kind", "presets": "great"}, "presets.*fast, medium, best"),
    ],
)
def test_what_cannot_be_fitted_is_told_before_anything_is_computed(change, message, rows, folder):
    with pytest.raises(ValueError, match=message):
        # With the label elsewhere, its own column looks like a text, too.
        FusionClassifier(folder=folder, verbose=False, columns={"text": "title"}, **TINY).fit(rows, **change)


def test_unknown_settings_and_taken_folders_are_told(tmp_path):
    with pytest.raises(ValueError, match="no section 'serach'.*search"):
        FusionClassifier(serach={"epochs": 3})
    with pytest.raises(ValueError, match="have no epohcs"):
        FusionClassifier(search={"epohcs": 3})
    with pytest.raises(ValueError, match="keeps its backbones frozen"):
        FusionClassifier(training={"unfreeze_backbones": True})
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="must be a new or an empty folder"):
        FusionClassifier(tmp_path)
    with pytest.raises(ValueError, match="There is no fitted classifier"):
        FusionClassifier.load(tmp_path)
    with pytest.raises(ValueError, match="not fitted"):
        FusionClassifier().predict([])
