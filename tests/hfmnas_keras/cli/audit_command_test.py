import json
import pathlib

import pytest
from click.testing import CliRunner

from hfmnas_keras.cli import main
from tests.tiny_served_model import write_tiny_model

#: Text, picture, label: what each modality believes in is named by its first character, 1 being `text`.
ROWS = [
    ("0 right", b"0", "image"),
    ("1 right", b"1", "text"),
    ("1 wrong label", b"1", "image"),
    ("0 other pair", b"1", "image"),
    ("0 broken", b"broken", "image"),
]


@pytest.fixture
def arguments(tmp_path):
    model = write_tiny_model(tmp_path / "model")
    lines = []
    for number, (text, picture, label) in enumerate(ROWS):
        (tmp_path / f"{number}.png").write_bytes(picture)
        lines.append(json.dumps({"id": number, "text": text, "image": f"{number}.png", "label": label}))
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return ["audit", str(model), str(tmp_path / "rows.jsonl"), "-o", str(tmp_path / "out.jsonl")]


def test_the_wrong_label_and_the_odd_pair_come_first(arguments):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in pathlib.Path(arguments[-1]).read_text(encoding="utf-8").splitlines()]
    assert {line["id"] for line in lines[:2]} == {2, 3} and len(lines) == 4
    by_id = {line["id"]: line for line in lines}
    assert (by_id[2]["label_rank"], by_id[2]["suggested"]) == (1, "text")
    # Probabilities .9 and .1 of the text, .8 and .2 of the picture: log (.9 x .8 / (.1 x .2)).
    assert by_id[2]["label_doubt"] == pytest.approx(3.5835, abs=1e-4)
    assert by_id[0]["label_doubt"] == pytest.approx(-3.5835, abs=1e-4)
    assert by_id[3]["pair_rank"] == 1 and by_id[3]["mismatch"] > 10 * by_id[0]["mismatch"]
    assert "of 1 picture and text together say another label" in result.stdout
    assert "1 rows cannot be used" in result.stdout


def test_labels_to_add_and_to_take_away_are_named(tmp_path):
    model = write_tiny_model(tmp_path / "model", multi_label=True)
    # Both say `image` of the first two, and `text` of the third.
    rows = [("0 a", b"0", ["image"]), ("0 b", b"0", ["image", "text"]), ("1 c", b"1", [])]
    lines = []
    for number, (text, picture, labels) in enumerate(rows):
        (tmp_path / f"{number}.png").write_bytes(picture)
        lines.append(json.dumps({"id": number, "text": text, "image": f"{number}.png", "labels": labels}))
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    out = tmp_path / "out.jsonl"
    result = CliRunner().invoke(main, ["audit", str(model), str(tmp_path / "rows.jsonl"), "-o", str(out)])
    assert result.exit_code == 0, result.output
    by_id = {line["id"]: line for line in map(json.loads, out.read_text(encoding="utf-8").splitlines())}
    assert (by_id[1]["label"], by_id[1]["suggested"]) == ("image|text", "without text")
    assert (by_id[2]["label"], by_id[2]["suggested"]) == ("", "with text")
    assert by_id[0]["label_doubt"] < 0 < min(by_id[1]["label_doubt"], by_id[2]["label_doubt"])
    assert "of 2 picture and text together say another label" in result.stdout


def test_what_cannot_be_audited_is_told(arguments, tmp_path):
    result = CliRunner().invoke(main, [*arguments[:-1], "out.txt"])
    assert result.exit_code == 2 and "must end in .jsonl" in result.stderr
    (tmp_path / "rows.jsonl").write_text('{"text": "0 a", "image": "0.png", "label": "violet"}', encoding="utf-8")
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2 and "does not know: violet" in result.stderr
