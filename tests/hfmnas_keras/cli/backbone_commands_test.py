import keras
import pytest
from click.testing import CliRunner

from hfmnas_keras.cli import main
from tests.hfmnas_keras.backbones.tensor_files import write_safetensors
from tests.oracles.seeded_tensors import seeded_tensor


def run(*arguments):
    result = CliRunner().invoke(main, ["backbone", "convert", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def published_hcn():
    """The co-occurrence network of NTU RGB+D in full size, 25 joints and 60 classes."""
    shapes = {"conv5.0": (128, 128, 3, 3), "conv6.0": (256, 128, 3, 3), "fc7.0": (512, 1024), "fc8": (60, 512)}
    for stream in ("", "m"):
        shapes |= {f"conv1{stream}.0": (64, 3, 1, 1), f"conv2{stream}": (32, 64, 3, 1)}
        shapes |= {f"conv3{stream}.0": (32, 25, 3, 3), f"conv4{stream}.0": (64, 32, 3, 3)}
    return {
        f"{name}.{kind}": seeded_tensor(f"{name}.{kind}", shape if kind == "weight" else shape[:1])
        for name, shape in shapes.items()
        for kind in ("weight", "bias")
    }


@pytest.mark.parametrize(("head", "count"), [((), 1_031_872), (("--head",), 1_031_872 + 513 * 60)])
def test_convert_writes_a_trunk_or_a_backbone(tmp_path, head, count):
    source = write_safetensors(tmp_path / "hcn.safetensors", published_hcn())
    code, text = run("hcn", source, "-o", tmp_path / "new" / "hcn.keras", *head)
    setting = "weights" if head else "trunk_weights"
    assert code == 0 and f"{count:,} parameters. Name it in the setting `{setting}`" in text
    model = keras.saving.load_model(tmp_path / "new" / "hcn.keras", compile=False)
    assert model.count_params() == count and ("logits" in model.output) == bool(head)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet18", "x", "-o", "y.keras"), "is not one of 'hcn'"),
        (("hcn", "x"), "Missing option '-o'"),
        (("hcn", "missing.safetensors", "-o", "y.keras"), "missing.safetensors"),
        (("hcn", "x", "-o", "y.keras", "--stem-frames", "3"), "option of networks of clips"),
        (("hcn", "x", "-o", "y.keras", "--input-shape", "32,2,25"), "4 positive ints"),
        (("hcn", "x", "-o", "y.keras", "--grid", "0,1"), "2 positive ints"),
        (("resnext101", "x", "-o", "y.keras", "--stem-frames", "4"), "an odd number"),
    ],
)
def test_a_wrong_command_line_is_an_error_in_a_line(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, text = run(*arguments)
    assert code == 2 and message in text
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_network_is_an_error_and_leaves_nothing(tmp_path):
    source = write_safetensors(tmp_path / "hcn.safetensors", published_hcn())
    code, text = run("vgg16", source, "-o", tmp_path / "vgg16.keras")
    assert code == 2 and "missing: features.0.weight" in text
    assert [path.name for path in tmp_path.iterdir()] == ["hcn.safetensors"]
