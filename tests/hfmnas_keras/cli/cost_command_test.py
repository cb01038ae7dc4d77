"""`hfmnas genotype cost`, against counts made by hand."""

import json
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from hfmnas_keras.cli import main
from hfmnas_keras.data.feature_files import write_feature_set
from hfmnas_keras.data.feature_set import FeatureSet
from hfmnas_keras.genotype import BMGenotype, CellGenotype, Genotype, NodeChoice
from tests import source_files

CONFIG = """
name: counted
fusion: {grid: [2, 2], num_heads: 2}
final_model: {channels: 4, sequence_encoder: false}
mitigation: {attention: false, correlation: false}
preparation: {classes: [a, b, c], image_size: [32, 32], max_tokens: 5}
backbones:
  text: {hidden_units: [3, 5], pieces: 2, embedding_dim: 2}
  image: {depth: 16, width: 0.05}
gate: {min_f1_m: 0.5}
"""
# Per example: vectors to 4 positions of 4 channels, maps position by position; then nothing but sums; a Dense of each
# branch; the classifier over 4 positions of both.
TEXT = 3 * 16 + 5 * 16
REST = 2 * 4 * (4 * 4) + 4 * 8 * 3
# Kernels, four normalisations of four rows each, two of two, two Dense, the classifier.
TEXT_WEIGHTS = 3 * 16 + 5 * 16
REST_WEIGHTS = 4 * 16 + 2 * 8 + 2 * (4 * 4 + 4) + 32 * 3 + 3


@pytest.fixture
def files(tmp_path):
    """A genotype, a configuration and a feature set."""
    cell = CellGenotype(1, (NodeChoice(0, (0, 1), ("skip", "skip"), "sum"),), kept=(0,))
    taps = {f"{name}_taps": [f"text_{level}", f"image_{level}"] for name, level in (("lfbc", "low"), ("hfbc", "high"))}
    Genotype(cell, cell, metadata=taps).save(tmp_path / "genotype.json")
    (tmp_path / "run.yaml").write_text(CONFIG, encoding="utf-8")
    shapes = {"text_low": (3,), "text_high": (5,), "image_low": (2, 2, 6), "image_high": (2, 2, 7)}
    features = {name: np.zeros((2, *shape), "float32") for name, shape in shapes.items()}
    feature_set = FeatureSet(np.array(["a", "b"]), features, np.array([0, 1]), np.ones((2, 5), "int64"))
    write_feature_set(feature_set, tmp_path / "features")
    return tmp_path


def run(*arguments):
    result = CliRunner().invoke(main, ["genotype", "cost", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_it_counts_what_a_hand_counts(files):
    options = ("--config", files / "run.yaml", "--features", files / "features")
    code, text, _ = run(files / "genotype.json", *options, "--calls", 3, "--json")
    assert code == 0
    counted = json.loads(text)
    assert counted["flops"] == 2 * (TEXT + 4 * 6 * 4 + 4 * 7 * 4 + REST)
    assert counted["parameters"] == TEXT_WEIGHTS + 6 * 4 + 7 * 4 + REST_WEIGHTS
    assert counted["parts"]["logits"] == {"parameters": 99, "flops": 192, "parts": {}}
    assert counted["latency"]["calls"] == 3
    assert 0 < counted["latency"]["p50_ms"] <= counted["latency"]["p99_ms"] < 10_000


def test_it_counts_bm_nas(files):
    steps = [{"inputs": [0, 1], "operation": "sum"}]
    cells = [{"features": ["text_low", name], "steps": steps} for name in ("image_low", "text_high")]
    BMGenotype(cells).save(files / "bm.json")
    # It has no sequence encoder, whatever the configuration says.
    config = (
        (files / "run.yaml").read_text(encoding="utf-8").replace("sequence_encoder: false", "sequence_encoder: true")
    )
    (files / "run.yaml").write_text(config, encoding="utf-8")
    options = ("--config", files / "run.yaml", "--features", files / "features")
    code, text, _ = run(files / "bm.json", *options, "--calls", 0, "--json")
    assert code == 0
    counted = json.loads(text)
    assert counted["flops"] == 2 * (TEXT + 4 * 6 * 4 + 32 * 3)
    # Kernels; a normalisation of four rows a feature; scale and offset of 16 values a cell, of 32 after them.
    assert counted["parameters"] == TEXT_WEIGHTS + 6 * 4 + 3 * 4 * 4 + 2 * 2 * 16 + 2 * 32 + 32 * 3 + 3
    assert "without the words" not in run(files / "bm.json", *options, "--calls", 0)[1]


def test_clips_have_the_width_and_grid_that_a_run_gives_them(files):
    cell = CellGenotype(1, (NodeChoice(0, (0, 1), ("skip", "skip"), "sum"),), kept=(0,))
    shapes = {"skeleton_low": (8, 1, 6), "skeleton_high": (5,), "video_low": (8, 1, 6), "video_high": (7,)}
    taps = {
        f"{name}_taps": [f"skeleton_{level}", f"video_{level}"] for name, level in (("lfbc", "low"), ("hfbc", "high"))
    }
    Genotype(cell, cell, metadata=taps).save(files / "clips.json")
    features = {name: np.zeros((1, *shape), "float32") for name, shape in shapes.items()}
    write_feature_set(FeatureSet(np.array(["a"]), features, np.array([0])), files / "clips")
    # Neither channels nor grid: of clips they are 128 and 8 x 1 (docs/method.md, introduction).
    config = (
        "name: clips\ndata: {source: ntu}\npreparation: {classes: [a, b, c]}\ngate: {min_f1_m: 0.5}\n"
        "final_model: {sequence_encoder: false}\nmitigation: {attention: false, correlation: false}"
    )
    (files / "run.yaml").write_text(config, encoding="utf-8")
    options = ("--config", files / "run.yaml", "--features", files / "clips", "--classes", 3, "--calls", 0, "--json")
    code, text, error = run(files / "clips.json", *options)
    assert code == 0, error
    inputs = 2 * 8 * 6 * 128 + (5 + 7) * 8 * 128
    assert json.loads(text)["flops"] == 2 * (inputs + 2 * 8 * 128 * 128 + 8 * 256 * 3)


def test_without_features_the_taps_are_those_of_the_configured_backbones(files):
    code, text, _ = run(files / "genotype.json", "--config", files / "run.yaml", "--calls", 0, "--json")
    assert code == 0
    counted = json.loads(text)
    # The taps relu4_1 and pool5 of a VGG of width .05 have 26 channels each.
    assert counted["flops"] == 2 * (TEXT + 2 * 4 * 26 * 4 + REST)
    assert counted["latency"] is None


def test_the_table_names_layers_and_the_total(files):
    options = ("--features", files / "features", "--classes", 3, "--calls", 2)
    code, text, _ = run(files / "genotype.json", *options, "--config", files / "run.yaml")
    assert code == 0
    lines = text.splitlines()
    assert lines[0].split() == ["layer", "parameters", "MFLOPs"]
    assert ["logits", "99", "0.000"] in [line.split() for line in lines]
    assert lines[-2].split() == ["total", "399", "0.001"]
    assert lines[-1].startswith("Latency at batch 1, 2 calls: p50 ")


def test_words_of_the_sequence_encoder_are_counted_when_their_number_is_given(files):
    config = CONFIG.replace("sequence_encoder: false", "sequence_encoder: true")
    (files / "run.yaml").write_text(config, encoding="utf-8")
    options = (files / "genotype.json", "--config", files / "run.yaml", "--features", files / "features", "--calls", 0)
    code, text, _ = run(*options)
    assert code == 0 and "without the words" in text
    parameters = {}
    for words in (10, 15):
        code, text, _ = run(*options, "--vocabulary-size", words, "--json")
        parameters[words] = json.loads(text)["parameters"]
    assert code == 0 and "without the words" not in text
    assert parameters[15] - parameters[10] == 5 * 4


def test_a_preset_is_found_by_its_name(files, monkeypatch):
    pytest.importorskip("pydantic", reason="needs the extra `pipeline`")
    monkeypatch.chdir(files)
    options = ("genotype.json", "--calls", 0, "--json")
    preset = source_files.ROOT / "pipeline" / "configs" / "demo.yaml"
    by_path, by_name = (run(*options, "--config", config) for config in (preset, "demo"))
    assert by_name == by_path and by_name[0] == 0, by_name
    # A file of that name comes first.
    (files / "demo").write_text(CONFIG, encoding="utf-8")
    assert run(*options, "--config", "demo") == run(*options, "--config", "run.yaml")
    code, _, error = run(*options, "--config", "no_preset")
    assert code == 2 and "Give the path of a YAML file or a preset" in error


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (None, [], "give --config, --features or both"),
        (None, ["--features", "none"], "holds no feature set"),
        (None, ["--features", "features"], "give --classes"),
        (None, ["--config", "none.yaml"], "There is no configuration file 'none.yaml'"),
        ("final_model: {chanels: 4}", ["--config", "run.yaml"], "`final_model.chanels`: unknown key"),
    ],
)
def test_wrong_use_is_told(files, monkeypatch, change, arguments, message):
    monkeypatch.chdir(files)
    if change is not None:
        (files / "run.yaml").write_text(change, encoding="utf-8")
    code, text, error = run("genotype.json", *arguments)
    assert code == 2 and text == "" and message in error


def test_hostile_shapes_and_taps_are_refused(files):
    description = files / "features" / "features.json"
    content = json.loads(description.read_text(encoding="utf-8"))
    for features in ({"text_low": [10**6, 10**6]}, {"text_low": [True]}, {"text_low": []}, [1]):
        description.write_text(json.dumps({**content, "features": features}), encoding="utf-8")
        code, _, error = run(files / "genotype.json", "--features", files / "features", "--classes", 3)
        assert code == 2 and "shapes that no feature has" in error
    text = (files / "genotype.json").read_text(encoding="utf-8")
    for taps in ("3", '[["a"], "b"]', '"ab"'):
        hostile = json.loads(text)
        hostile["metadata"]["lfbc_taps"] = json.loads(taps)
        (files / "hostile.json").write_text(json.dumps(hostile), encoding="utf-8")
        code, _, error = run(files / "hostile.json", "--config", files / "run.yaml")
        assert code == 2 and "must be two names of features" in error


def test_a_missing_extra_is_named(files, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    for module in ("pipeline.network_description", "pipeline.config_file"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    code, _, error = run(files / "genotype.json", "--config", files / "run.yaml")
    assert code == 2 and "extra `pipeline`" in error
