"""`hfmnas genotype ...` on good and on hostile files."""

import json
import os
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from click.testing import CliRunner

from hfmnas_keras.cli import main
from hfmnas_keras.genotype import BMGenotype, CellGenotype, Genotype, NodeChoice
from tests import source_files


def make_genotype(fusion="linear_glu", edge="linear_tanh", importance=(0.2, 0.2, 0.6), **metadata):
    nodes = (
        NodeChoice(0, (0, 1), ("skip", "sep_conv_3x3"), "sum"),
        NodeChoice(2, (1, 2), ("max_pool_3x3", edge), fusion),
    )
    low = CellGenotype(num_nodes=3, nodes=nodes, kept=(2,), importance=importance)
    high = CellGenotype(num_nodes=3, nodes=nodes[:1], kept=(0,))
    return Genotype(low, high, metadata=metadata)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "genotype.json"
    make_genotype(seed=3).save(path)
    return str(path)


def run(*arguments):
    """Exit code, standard output, error output."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_show_prints_every_choice(file):
    code, text, _ = run("genotype", "show", file)
    assert code == 0
    assert text == (
        "LFBC: low features, 1 of 3 nodes in the output\n"
        "  node 0 = sum(skip(text_low), sep_conv_3x3(image_low))                read by node 2\n"
        "  node 2 = linear_glu(max_pool_3x3(image_low), linear_tanh(node 0))    output, importance 0.60\n"
        "  pruned: node 1\n"
        "HFBC: high features, 1 of 3 nodes in the output\n"
        "  node 0 = sum(skip(text_high), sep_conv_3x3(image_high))    output, importance 0.33\n"
        "  pruned: node 1, node 2\n"
        "metadata\n"
        "  seed: 3\n"
    )


def test_names_and_metadata_cannot_reach_the_terminal(tmp_path):
    path = tmp_path / "genotype.json"
    metadata = {"lfbc_taps": ["\x1b[2Jevil", "$\\frac"], "no\x07te": "\x1b]0;title\x07", "long": "x" * 10_000}
    make_genotype(**metadata).save(path)
    code, text, _ = run("genotype", "show", path)
    assert code == 0
    assert "2Jevil" in text and len(text) < 2000
    assert all(character.isprintable() or character == "\n" for character in text)


@pytest.mark.parametrize(("suffix", "start"), [("dot", "digraph genotype {"), ("mmd", "flowchart LR")])
def test_draw_writes_text(file, tmp_path, suffix, start):
    output = tmp_path / "folder" / f"drawing.{suffix}"
    assert run("genotype", "draw", file, "-o", output)[0] == 0
    text = output.read_text(encoding="utf-8")
    assert text.startswith(start) and "linear_glu" in text


def test_draw_prints_mermaid(file):
    code, text, _ = run("genotype", "draw", file)
    assert code == 0
    assert text.startswith("flowchart LR\n") and "lfbc_1 -->|sep_conv_3x3| lfbc_2" in text


def test_draw_writes_pictures_without_graphviz(file, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("PATH", "")
    assert run("genotype", "draw", file, "-o", tmp_path / "drawing.svg")[0] == 0
    words = [element.text for element in ElementTree.parse(tmp_path / "drawing.svg").iter() if element.text]
    assert words.count("linear_glu") == 1 and words.count("text_high") == 1
    assert run("genotype", "draw", file, "-o", tmp_path / "drawing.PNG")[0] == 0
    assert (tmp_path / "drawing.PNG").read_bytes().startswith(b"\x89PNG\r\n")


def test_draw_refuses_other_formats_and_places_and_leaves_nothing_behind(file, tmp_path):
    code, _, error = run("genotype", "draw", file, "-o", tmp_path / "drawing.pdf")
    assert code == 2 and ".svg, .png, .dot, .mmd" in error
    (tmp_path / "taken.dot").mkdir()
    code, _, error = run("genotype", "draw", file, "-o", tmp_path / "taken.dot")
    assert code == 2 and "not a regular file" in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["genotype.json", "taken.dot"]


def test_a_missing_extra_is_named(file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, error = run("genotype", "draw", file, "-o", tmp_path / "drawing.svg")
    assert code == 2 and "plots" in error
    assert not (tmp_path / "drawing.svg").exists()


def test_diff_names_what_differs(file, tmp_path):
    same, other = tmp_path / "same.json", tmp_path / "other.json"
    make_genotype(seed=4).save(same)
    assert run("genotype", "diff", file, same) == (0, "", "")
    make_genotype("concat_fc", "skip", importance=(0.1, 0.3, 0.6)).save(other)
    code, text, _ = run("genotype", "diff", file, other)
    assert code == 1
    assert text.splitlines() == [
        "lfbc/node_2/edge_2: linear_tanh -> skip",
        "lfbc/node_2/fusion: linear_glu -> concat_fc",
        "importance/lfbc/node_0: 0.2 -> 0.1",
        "importance/lfbc/node_1: 0.2 -> 0.3",
    ]
    assert run("genotype", "diff", "--choices", file, other)[1].splitlines() == text.splitlines()[:2]


def test_diff_names_what_only_one_has(file, tmp_path):
    content = json.loads(make_genotype().to_json())
    content["cells"] = {label: name for label, name in content["cells"].items() if not label.startswith("lfbc/node_2")}
    content["kept"]["lfbc"] = [0]
    other = tmp_path / "other.json"
    other.write_text(json.dumps(content), encoding="utf-8")
    code, text, _ = run("genotype", "diff", file, other)
    assert code == 1
    assert text.splitlines() == [
        "lfbc/node_2/edge_1: max_pool_3x3 -> (absent)",
        "lfbc/node_2/edge_2: linear_tanh -> (absent)",
        "lfbc/node_2/fusion: linear_glu -> (absent)",
        "kept/lfbc: 2 -> 0",
    ]


def test_validate(file, tmp_path):
    assert run("genotype", "validate", file) == (0, f"{file}: valid, 3 nodes a cell\n", "")
    bad = tmp_path / "bad.json"
    bad.write_text("{", encoding="utf-8")
    code, text, error = run("genotype", "validate", bad, file)
    assert code == 1 and f"{file}: valid" in text and "bad.json is not a genotype: A genotype is JSON text" in error
    code, _, error = run("genotype", "validate", tmp_path / "none.json", bad)
    assert code == 2 and "none.json" in error and "bad.json" in error


@pytest.fixture
def bm_file(tmp_path):
    path = tmp_path / "bm.json"
    first = [{"inputs": [0, 1], "operation": "linear_glu"}, {"inputs": [0, 2], "operation": "sum"}]
    second = [{"inputs": [0, 1], "operation": "sum"}, {"inputs": [1, 2], "operation": "concat_fc"}]
    cells = [
        {"features": ["text_low", "\x1b[2Jimage_low"], "steps": first},
        {"features": ["text_low", "text_high"], "steps": second},
    ]
    BMGenotype(cells, metadata={"seed": 3}).save(path)
    return str(path)


def test_show_prints_every_choice_of_bm_nas(bm_file):
    code, text, _ = run("genotype", "show", bm_file)
    assert code == 0
    assert text == (
        "cell 0, x = text_low, y = 2Jimage_low\n"
        "  step 0 = linear_glu(text_low, 2Jimage_low)    output; read by step 1\n"
        "  step 1 = sum(text_low, step 0)                output\n"
        "  output = step 0, step 1; text_low added\n"
        "cell 1, x = text_low, y = text_high\n"
        "  step 0 = sum(text_low, text_high)        output; read by step 1\n"
        "  step 1 = concat_fc(text_high, step 0)    output\n"
        "  output = step 0, step 1; text_low added\n"
        "metadata\n"
        "  seed: 3\n"
    )


def test_the_other_commands_take_bm_nas_too(bm_file, file, tmp_path):
    assert run("genotype", "validate", bm_file) == (0, f"{bm_file}: valid, BM-NAS, cells: 2, steps a cell: 2\n", "")
    assert "cell_0_2[" in run("genotype", "draw", bm_file)[1]
    assert run("genotype", "diff", bm_file, bm_file) == (0, "", "")
    other = tmp_path / "other.json"
    text = pathlib.Path(bm_file).read_text(encoding="utf-8")
    other.write_text(text.replace("concat_fc", "linear_glu"), encoding="utf-8")
    assert run("genotype", "diff", bm_file, other)[1] == "cell_1/step_1/operation: concat_fc -> linear_glu\n"
    code, text, _ = run("genotype", "diff", file, bm_file)
    assert code == 1 and text.startswith("model: hf_mnas -> bm_nas\n")
    other.write_text('{"version": 1, "model": "gmu"}', encoding="utf-8")
    code, _, error = run("genotype", "show", other)
    assert code == 2 and "There are genotypes of the models hf_mnas, bm_nas. Received: 'gmu'" in error


GOOD = make_genotype().to_json()


@pytest.mark.parametrize("command", ["show", "draw", "validate", "diff"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD[: len(GOOD) // 2], "JSON text"),
        ("", "JSON text"),
        ("[" * 100_000, "JSON text"),
        (GOOD + " " * 1_000_000, "few kilobytes"),
        (GOOD.replace('"version": 1', '"version": 2'), "reads genotypes of version 1. Received: version 2"),
        (GOOD.replace('"version": 1', '"version": "' + "9" * 900_000 + '"'), "reads genotypes of version 1"),
        (GOOD.replace("linear_glu", "\\u001b[31m"), "node operation"),
        (GOOD.replace('"metadata"', '"\\u001b[31mmetadata"'), r"Not known: \x1b[31mmetadata"),
    ],
)
def test_hostile_files_are_told_in_a_line(tmp_path, command, text, message):
    path = tmp_path / "bad.json"
    path.write_text(text, encoding="utf-8")
    code, output, error = run("genotype", command, *[path] * (2 if command == "diff" else 1))
    assert code == (1 if command == "validate" else 2)
    assert output == "" and f"{path} is not a genotype" in error and message in error
    assert len(error) < 3000 and "\x1b" not in error and "Traceback" not in error


@pytest.mark.parametrize("place", ["none.json", "."])
def test_what_cannot_be_read_is_told(tmp_path, place):
    code, _, error = run("genotype", "show", tmp_path / place)
    assert code == 2 and re.search(r"Error: .*(No such file|Is a directory)", error)


def test_the_command_starts_without_keras(file):
    """A person waits for `show` as long as for `cat`, not as long as for TensorFlow."""
    program = (
        "import sys\n"
        "from hfmnas_keras.cli import main\n"
        "for arguments in (['--help'], ['operations'], ['genotype', 'show', sys.argv[1]]):\n"
        "    main(arguments, standalone_mode=False)\n"
        "print(sorted({'keras', 'tensorflow', 'matplotlib'} & sys.modules.keys()))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(source_files.ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", program, file], capture_output=True, text=True, timeout=300, env=environment
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("\n[]\n")


def test_it_is_a_module_too(file):
    result = subprocess.run(
        [sys.executable, "-m", "hfmnas_keras", "genotype", "validate", file],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=source_files.ROOT,
    )
    assert result.returncode == 0 and "valid" in result.stdout
