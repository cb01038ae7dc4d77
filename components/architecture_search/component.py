"""TFX component ArchitectureSearch."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components import Backbones, Genotype, SearchReport
from components.architecture_search import executor
from components.code_fingerprint import code_fingerprint
from components.settings_json import settings_to_json
from hfmnas_keras.settings.fusion import FusionSettings, MitigationSettings
from hfmnas_keras.settings.search import SearchSettings
from hfmnas_keras.settings.space import BMSpaceSettings, SpaceSettings


class ArchitectureSearchSpec(ComponentSpec):
    """Inputs, outputs and properties of `ArchitectureSearch`."""

    PARAMETERS = {
        "model": ExecutionParameter(type=str),
        "num_outputs": ExecutionParameter(type=int),
        "fusion": ExecutionParameter(type=str),
        "mitigation": ExecutionParameter(type=str),
        "space": ExecutionParameter(type=str),
        "search": ExecutionParameter(type=str),
        "checkpoint_root": ExecutionParameter(type=str),
        "code_fingerprint": ExecutionParameter(type=str),
    }
    INPUTS = {
        "features": ChannelParameter(type=standard_artifacts.Examples),
        "backbones": ChannelParameter(type=Backbones),
    }
    OUTPUTS = {
        "genotype": ChannelParameter(type=Genotype),
        "search_report": ChannelParameter(type=SearchReport),
    }


class ArchitectureSearch(base_component.BaseComponent):
    """Searches how the features of two modalities are fused (HF-MNAS, Algorithm 1; docs/method.md, section 7).

    ```python
    architecture_search = ArchitectureSearch(
        features=feature_extractor.outputs["features"],
        backbones=backbone_trainer.outputs["backbones"],
        model="hf_mnas",
        num_outputs=9,
        fusion=FusionSettings(),
        mitigation=MitigationSettings(),
        space=SpaceSettings(),
        search=SearchSettings(),
        checkpoint_root="runs/demo/checkpoints",
    )
    ```

    A killed search continues from its last checkpoint when the pipeline is run again.

    Args:
        features: channel of `Examples` with the splits `train` and `dev`, from `FeatureExtractor`.
        backbones: channel of `Backbones`, which the features come from; the report shows the scores of their heads.
        model: str. What is searched, one of `SEARCHED_MODELS` of `hfmnas_keras.settings.models`.
        num_outputs: int. Classes.
        fusion: `FusionSettings`.
        mitigation: `MitigationSettings`.
        space: `SpaceSettings`, or `BMSpaceSettings` for `bm_nas`.
        search: `SearchSettings`.
        checkpoint_root: str. Folder of checkpoints that outlives an attempt.

    Outputs:
        `genotype`: `components.Genotype`, the architecture.
        `search_report`: `components.SearchReport`, how the search came to it.
    """

    SPEC_CLASS = ArchitectureSearchSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        features: types.BaseChannel,
        backbones: types.BaseChannel,
        model: str,
        num_outputs: int,
        fusion: FusionSettings,
        mitigation: MitigationSettings,
        space: SpaceSettings | BMSpaceSettings,
        search: SearchSettings,
        checkpoint_root: str,
    ):
        super().__init__(
            spec=ArchitectureSearchSpec(
                features=features,
                backbones=backbones,
                model=model,
                num_outputs=num_outputs,
                fusion=settings_to_json(fusion),
                mitigation=settings_to_json(mitigation),
                space=settings_to_json(space),
                search=settings_to_json(search),
                checkpoint_root=checkpoint_root,
                code_fingerprint=code_fingerprint(*executor.CODE),
                genotype=types.Channel(type=Genotype),
                search_report=types.Channel(type=SearchReport),
            )
        )
