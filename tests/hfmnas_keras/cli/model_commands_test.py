import csv
import json

import pytest
from click.testing import CliRunner

from hfmnas_keras.cli import main
from tests.tiny_served_model import expected_probabilities, write_tiny_model


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run that has pushed two versions, the older of which is empty."""
    root = tmp_path_factory.mktemp("run")
    write_tiny_model(root / "serving" / "demo" / "10")
    (root / "serving" / "demo" / "9").mkdir()
    (root / "serving" / "demo" / "9" / "saved_model.pb").write_bytes(b"")
    return root


@pytest.fixture
def data(tmp_path):
    rows = []
    for number in range(130):
        text, picture = "word " * (number % 7), b"p" * (1 + number % 5)
        (tmp_path / f"{number}.png").write_bytes(b"broken" if number == 100 else picture)
        label = "text" if len(text) > len(picture) else "image"
        rows.append({"id": f"row {number}", "words": text, "photo": f"{number}.png", "label": label})
    rows[70]["photo"] = "absent.png"
    rows[71]["photo"] = "../absent.png"
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path, rows


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_predictions_of_a_run_are_written_row_by_row(run_folder, data, tmp_path):
    path, rows = data
    result = run("predict", run_folder, path, "-o", tmp_path / "out.jsonl")
    assert result.exit_code == 1, result.output
    assert "130 rows, 3 of them with an error" in result.stdout
    answers = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [answer["id"] for answer in answers] == [row["id"] for row in rows]
    bad = {70: "absent.png", 71: "leads out of the folder", 100: "image: The picture is broken."}
    for number, (answer, row) in enumerate(zip(answers, rows, strict=True)):
        if number in bad:
            assert bad[number] in answer["error"]
            continue
        expected = expected_probabilities(row["words"], (path.parent / row["photo"]).read_bytes())
        assert list(answer["probabilities"].values()) == pytest.approx(expected, abs=1e-5)
        assert answer["label"] == row["label"] and answer["error"] == ""
        assert answer["score"] == pytest.approx(expected.max(), abs=1e-5)
        assert answer["uncertainty"] == 0.5 and answer["abstain"] is False


def test_a_table_for_a_spreadsheet(run_folder, data, tmp_path):
    path, rows = data
    assert run("predict", run_folder, path, "-o", tmp_path / "out.csv").exit_code == 1
    with open(tmp_path / "out.csv", encoding="utf-8", newline="") as file:
        answers = list(csv.DictReader(file))
    assert len(answers) == 130
    assert list(answers[0]) == [
        *("id", "label", "score", "conflict", "uncertainty", "abstain", "error", "p_image", "p_text")
    ]
    assert answers[3]["label"] == rows[3]["label"]


def test_several_labels(data, tmp_path):
    path, _ = data
    model = write_tiny_model(tmp_path / "several", multi_label=True)
    assert run("predict", model, path, "-o", tmp_path / "out.jsonl").exit_code == 1
    answers = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    # Row 1 has 5 characters and 2 bytes, row 0 none and 1.
    assert answers[0]["labels"] == ["image"] and answers[1]["labels"] == ["text"]


def test_scores(run_folder, data):
    path, rows = data
    result = run("evaluate", run_folder / "serving" / "demo", path, "--json")
    assert result.exit_code == 0, result.output
    scores = json.loads(result.stdout)
    assert (scores["rows"], scores["errors"]) == (130, 3)
    # All but some of those with an error are right.
    assert 127 / 130 <= scores["accuracy"] <= 1
    shown = run("evaluate", run_folder, path).stdout
    assert f"macro F1 {scores['macro_f1']:.4f}" in shown and "3 rows cannot be used" in shown


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["absent", "DATA", "-o", "out.jsonl"], "There is no model in 'absent'"),
        (["MODEL", "absent.jsonl", "-o", "out.jsonl"], "absent.jsonl"),
        (["MODEL", "DATA", "-o", "out.txt"], "must end in .jsonl or .csv"),
        (["MODEL", "DATA", "-o", "out.jsonl", "--text", "plot"], "no column 'plot'"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(arguments, message, run_folder, data):
    given = {"MODEL": run_folder, "DATA": data[0]}
    result = run("predict", *(given.get(argument, argument) for argument in arguments))
    assert result.exit_code == 2
    assert message in result.stderr and "Traceback" not in result.stderr


def test_a_run_that_pushed_nothing_is_told(tmp_path, data):
    (tmp_path / "artifacts").mkdir()
    result = run("predict", tmp_path, data[0], "-o", tmp_path / "out.jsonl")
    assert result.exit_code == 2 and "was it blessed" in result.stderr
