"""Batch scoring: each row of a manifest gets what the model says of it alone."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from pipeline.score import score_manifest
from pipeline.score_command import score
from tests import served_model


@pytest.fixture
def manifest(tmp_path):
    """Eight rows without labels."""
    lines = []
    for number, row in enumerate(served_model.raw_rows(multi_label=False)):
        (tmp_path / f"{number}.img").write_bytes(row["image"])
        lines.append({"id": f"row {number}", "text": row["text"].decode(), "image": f"{number}.img"})
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def scored(path):
    return {line["id"]: line for line in map(json.loads, path.read_text(encoding="utf-8").splitlines())}


@pytest.mark.parametrize("multi_label", [False, True])
def test_each_row_has_what_the_model_says_of_it(manifest, tmp_path, multi_label):
    folder = served_model.exported_model(multi_label)
    score_manifest(folder, str(manifest), str(tmp_path / "out.jsonl"), batch_size=3)
    answers = scored(tmp_path / "out.jsonl")
    assert len(answers) == 8
    serve = tf.saved_model.load(folder).signatures["serve_json"]
    for number, row in enumerate(served_model.raw_rows(multi_label=False)):
        expected = serve(text=tf.constant([row["text"]]), image_bytes=tf.constant([row["image"]]))
        answer = answers[f"row {number}"]
        assert list(answer["probabilities"]) == served_model.CLASS_NAMES
        np.testing.assert_allclose(list(answer["probabilities"].values()), expected["probabilities"][0], atol=1e-5)
        assert answer["error"] == ""
        if multi_label:
            assert answer["labels"] == [name.decode() for name in expected["labels"][0].numpy() if name]
        else:
            assert answer["label"] == expected["label"].numpy()[0].decode()


def test_a_row_that_cannot_be_used_says_why_and_costs_no_other(manifest, tmp_path):
    (tmp_path / "3.img").unlink()
    (tmp_path / "5.img").unlink()
    # Reading it would wait for somebody to write.
    os.mkfifo(tmp_path / "5.img")
    (tmp_path / "4.img").write_bytes(b"no picture")
    with manifest.open("a") as file:
        file.write(json.dumps({"id": "out", "text": "x", "image": "../x.png"}) + "\n")
    result = CliRunner().invoke(
        score, [served_model.exported_model(), str(manifest), "-o", str(tmp_path / "out.jsonl")], catch_exceptions=False
    )
    assert result.exit_code == 0 and "out.jsonl" in result.output
    answers = scored(tmp_path / "out.jsonl")
    assert answers["row 3"]["error"] == "there is no picture '3.img'"
    assert answers["row 5"]["error"] == "there is no picture '5.img'"
    assert answers["row 4"]["error"].startswith("image: ")
    assert "without '..'" in answers["out"]["error"]
    assert [answers[f"row {number}"]["error"] for number in (0, 1, 2, 6, 7)] == [""] * 5


def test_a_row_of_neither_text_nor_picture_is_refused_with_its_line(manifest, tmp_path):
    with manifest.open("a") as file:
        file.write(json.dumps({"id": "9"}) + "\n")
    with pytest.raises(ValueError, match="line 9"):
        score_manifest(served_model.exported_model(), str(manifest), str(tmp_path / "out.jsonl"))
