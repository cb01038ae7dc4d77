"""Rows that are shown, from a model whose every answer is known."""

import base64
import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.evaluator.row_samples import SHOWN, calibration_of, read_samples, write_samples
from tests.components.evaluator import fixed_predictions

CLASSES = ["animal", "food", "größe"]
EVIL = "<script>alert(1)</script>"


def png(colour, size=(300, 200)):
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def write_rows(folder, truths, said, text_says, image_says, sure, multi_label=False):
    """Each modality believes .8 in what it says; the fused model is `sure` of what it says."""
    folder.mkdir()
    eye = np.eye(3)
    with tf.io.TFRecordWriter(str(folder / "rows.gz"), "GZIP") as writer:
        for row, truth in enumerate(truths):
            other = (1 - sure[row]) / 2
            scores = {
                "probabilities": other + (sure[row] - other) * eye[said[row]],
                "text_belief": 0.8 * eye[text_says[row]],
                "image_belief": 0.8 * eye[image_says[row]],
            }
            scalars = dict.fromkeys(("image_uncertainty", "text_uncertainty"), 0.2)
            scalars |= {"conflict": 0.1 * row % 1, "uncertainty": 0.1}
            if multi_label:
                scalars = {name: np.full(3, value) for name, value in scalars.items()}
            serialized = fixed_predictions.serialize(truth, CLASSES, scores, scalars, multi_label)
            example = tf.train.Example.FromString(serialized)
            example.features.feature["id"].bytes_list.value[:] = [f"row {row}".encode()]
            example.features.feature["text"].bytes_list.value[:] = [f"text {row} {EVIL}".encode() + b"x" * 1000]
            example.features.feature["image"].bytes_list.value[:] = [png((row, 0, 0)) if row != 1 else b""]
            writer.write(example.SerializeToString())
    return str(folder)


def test_rows_are_chosen_by_how_sure_and_how_doubtful_they_are(tmp_path):
    truths = np.arange(30) % 3
    said, sure = truths.copy(), np.full(30, 0.9)
    wrong = {4: 0.6, 7: 0.95, 11: 0.7}
    for row, score in wrong.items():
        said[row], sure[row] = (truths[row] + 1) % 3, score
    text, image = truths.copy(), truths.copy()
    # Both agree on another class; and one contradicts the other.
    text[20] = image[20] = (truths[20] + 1) % 3
    text[25] = (truths[25] + 2) % 3
    folder = write_rows(tmp_path / "rows", truths, said, text, image, sure)
    model = fixed_predictions.save_model(str(tmp_path / "model"), CLASSES, False)
    write_samples(str(tmp_path), model, [folder], CLASSES, False)
    samples = read_samples(str(tmp_path))
    assert samples["rows"] == 30
    assert [row["id"] for row in samples["wrong"]] == ["row 7", "row 11", "row 4"]
    first = samples["wrong"][0]
    assert (first["labels"], first["given"]) == (["food"], ["größe"]) and first["score"] == pytest.approx(0.95)
    assert first["alone"] == {"image": "food", "text": "food"} and first["conflict"] == pytest.approx(0.7)
    assert first["text"].startswith(f"text 7 {EVIL}") and len(first["text"]) < 410
    picture = Image.open(io.BytesIO(base64.b64decode(first["picture"])))
    assert picture.format == "JPEG" and picture.size == (112, 75)
    assert len(samples["right"]) == SHOWN and [row["id"] for row in samples["right"]][:3] == ["row 0", "row 1", "row 2"]
    assert "picture" not in samples["right"][1]
    assert {row["id"] for row in samples["doubtful"][:2]} == {"row 20", "row 25"}
    of_label = next(row for row in samples["doubtful"] if row["id"] == "row 20")
    assert of_label["suggested"] == CLASSES[(20 + 1) % 3] and of_label["label_doubt"] > 0
    assert max(samples["doubtful"], key=lambda row: row["mismatch"])["id"] == "row 25"
    assert (tmp_path / "samples.json").stat().st_size < 200_000


def test_of_several_labels_those_to_add_or_to_take_away_are_doubtful(tmp_path):
    truths = np.eye(3)[np.arange(12) % 3]
    said, sure = np.arange(12) % 3, np.full(12, 0.9)
    said[5] = 0
    # Row 8 lacks the label that both modalities see.
    truths[8] = [0, 0, 0]
    folder = write_rows(tmp_path / "rows", truths, said, said, said, sure, multi_label=True)
    model = fixed_predictions.save_model(str(tmp_path / "model"), CLASSES, True, thresholds=[0.5] * 3)
    write_samples(str(tmp_path), model, [folder], CLASSES, True)
    samples = read_samples(str(tmp_path))
    assert {row["id"] for row in samples["wrong"]} == {"row 5", "row 8"}
    wrong = next(row for row in samples["wrong"] if row["id"] == "row 5")
    assert wrong["labels"] == ["größe"] and wrong["given"] == ["animal"]
    # In row 5 both see `animal` in the place of its label.
    suggested = {row["id"]: row["suggested"] for row in samples["doubtful"]}
    assert suggested["row 8"] == "also größe" and suggested["row 5"] in ("also animal", "not größe")


def test_nothing_is_written_of_a_model_without_numbers(tmp_path):
    folder = write_rows(tmp_path / "rows", [0, 1], [0, 1], [0, 1], [0, 1], [0.9, 0.9])
    model = fixed_predictions.save_model(str(tmp_path / "model"), CLASSES, False, scale=np.nan)
    write_samples(str(tmp_path), model, [folder], CLASSES, False)
    assert read_samples(str(tmp_path)) is None


def test_calibration_by_hand():
    probabilities = np.array([[0.95, 0.05], [0.93, 0.07], [0.36, 0.64], [0.34, 0.66]])
    truth = np.array([[1, 0], [0, 1], [0, 1], [0, 1]])
    found = calibration_of(probabilities, truth)
    assert json.loads(json.dumps(found))["bins"] == [
        {"count": 2, "said": pytest.approx(0.65), "true": 1.0},
        {"count": 2, "said": pytest.approx(0.94), "true": 0.5},
    ]
    assert found["error"] == pytest.approx((0.35 + 0.44) / 2)
    # Of several labels each counts.
    several = calibration_of(np.array([[0.95, 0.95]]), np.array([[1, 0]]))
    assert several == {"bins": [{"count": 2, "said": pytest.approx(0.95), "true": 0.5}], "error": pytest.approx(0.45)}
