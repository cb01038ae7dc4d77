"""Makes the layers of this package known to Keras, without importing Keras or them."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from types import ModuleType
from typing import Any

#: By the package under which Keras knows them and by module, what `keras.saving.register_keras_serializable` decorates.
_CLASSES: dict[str, dict[str, tuple[str, ...]]] = {
    "hfmnas_keras": {
        "attention.multi_head_fusion_attention": ("MultiHeadFusionAttention",),
        "backbones.adaptive_average_pool": ("AdaptiveAveragePool",),
        "backbones.adaptive_max_pool": ("AdaptiveMaxPool",),
        "backbones.bottleneck": ("Bottleneck",),
        "backbones.caffe_preprocessing": ("CaffePreprocessing",),
        "backbones.cooccurrence_network": ("CooccurrenceNetwork",),
        "backbones.grouped_convolution": (
            "GroupedConvolution3D",
            "GroupedConvolution2D",
        ),
        "backbones.maxout": ("Maxout",),
        "backbones.text_vector": ("TextVector",),
        "backbones.token_grid": ("TokenGrid",),
        "backbones.token_pool": ("TokenPool",),
        "backbones.trim_padding": ("TrimPadding",),
        "backbones.word_topics": ("WordTopics",),
        "cell.mixed_edges": ("MixedEdges",),
        "cell.mixed_node": ("MixedNode",),
        "cell.searched_cell": ("SearchedCell",),
        "cell.supernet_cell": ("SupernetCell",),
        "edge_operations.avg_pool": ("AvgPool",),
        "edge_operations.dilated_convolution": ("DilatedConvolution",),
        "edge_operations.linear_activation": ("LinearActivation",),
        "edge_operations.max_pool": ("MaxPool",),
        "edge_operations.separable_convolution": ("SeparableConvolution",),
        "edge_operations.skip": ("Skip",),
        "edge_operations.zero": ("Zero",),
        "evidence.opinion_report": ("OpinionReport",),
        "inconsistency.dcca": ("CorrelationLoss",),
        "inconsistency.inconsistency_mitigation": ("InconsistencyMitigation",),
        "layers.normalization": ("BatchNormalization",),
        "layers.weighted_vote": ("WeightedVote",),
        "models.baselines.average_logits": ("AverageLogits",),
        "models.baselines.central_fusion": ("CentralFusion",),
        "models.baselines.feature_tokens": ("FeatureTokens",),
        "models.baselines.gated_multimodal_unit": ("GatedMultimodalUnit",),
        "models.baselines.multimodal_transfer": ("MultimodalTransfer",),
        "models.baselines.stacked_identity": ("StackedIdentity",),
        "models.hf_mnas.supernet": ("Supernet",),
        "models.parts.feature_grid": ("FeatureGrid",),
        "models.parts.sequence_encoder": ("SequenceEncoder",),
        "node_operations.bidirectional_attention": ("BidirectionalAttention",),
        "node_operations.concat_fc": ("ConcatFC",),
        "node_operations.linear_glu": ("LinearGLU",),
        "node_operations.mamba_fusion": ("MambaFusion",),
        "node_operations.multi_head_attention": ("MultiHeadAttention",),
        "node_operations.multiply": ("Multiply",),
        "node_operations.scaled_dot_attention": ("ScaledDotAttention",),
        "node_operations.squeeze_excitation": ("SqueezeExcitation",),
        "node_operations.sum": ("Sum",),
        "optimization.fused_adam": ("FusedAdam",),
        "optimization.schedules": ("CosineWithRestarts",),
        "state_space.es2d": ("ES2D",),
    },
    "hfmnas_keras.bm_nas": {
        "models.bm_nas.bm_supernet": ("BMSupernet",),
        "models.bm_nas.fusion_cell": (
            "OpenFusionCell",
            "FusionCell",
        ),
        "models.bm_nas.fusion_operations": (
            "Sum",
            "ScaledDotAttention",
            "LinearGLU",
            "ConcatFC",
        ),
    },
}


def make_known() -> None:
    """Lets `keras.models.load_model` find the classes of this package, now or as soon as Keras is imported.

    Keras gets a stand-in for each, which imports the class once a file asks for it.
    """
    if "keras" in sys.modules:
        _offer(sys.modules["keras"])
    elif not any(isinstance(finder, _KerasFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _KerasFinder())


def _offer(keras: ModuleType) -> None:
    known = keras.saving.get_custom_objects()
    for package, modules in _CLASSES.items():
        for module, names in modules.items():
            for name in names:
                known.setdefault(f"{package}>{name}", _stand_in(f"hfmnas_keras.{module}", name))


def _stand_in(module: str, name: str) -> type:
    def from_config(cls: type, config: dict[str, Any]) -> Any:
        # The import also puts the class in the place of its stand-in.
        return getattr(importlib.import_module(module), name).from_config(config)

    return type(name, (), {"from_config": classmethod(from_config), "__doc__": f"Stands for `{module}.{name}`."})


class _KerasFinder(importlib.abc.MetaPathFinder):
    """Sees Keras being imported, once, and tells it of our classes when it is there."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_offer(module: ModuleType) -> None:
                execute(module)
                _offer(module)

            spec.loader.exec_module = execute_and_offer  # type: ignore[method-assign]
        return spec
