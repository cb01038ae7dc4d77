"""What describes a run: one frozen object."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
from collections.abc import Mapping
from typing import Annotated, Any

import pydantic

from hfmnas_keras.addresses import absolute_path, is_address
from hfmnas_keras.plugins import installed_plugins, use_plugins
from hfmnas_keras.settings.backbones import PATH_SETTINGS
from hfmnas_keras.settings.fusion import FinalModelSettings, FusionSettings, MitigationSettings, defaults_by_modality
from hfmnas_keras.settings.models import SEARCHED_MODELS, check_model
from hfmnas_keras.settings.pretraining import PretrainingSettings
from hfmnas_keras.settings.search import SearchSettings
from hfmnas_keras.settings.space import BMSpaceSettings, SpaceSettings
from hfmnas_keras.settings.training import TrainingSettings
from hfmnas_keras.training.tuned_settings import OF_HF_MNAS, TUNABLE
from pipeline.config_parts import (
    STRICT,
    BackbonesConfig,
    GateConfig,
    PathsConfig,
    PreparationConfig,
    ServingConfig,
    TuningConfig,
    expanded,
)
from pipeline.data_config import DataConfig, DemoData, source_data
from pipeline.kubeflow_config import KubeflowConfig

SCHEMAS_FOLDER = pathlib.Path(__file__).resolve().parent.parent / "schemas"


class RunConfig(pydantic.BaseModel):
    """Everything that describes a run of the pipeline.

    Unknown keys are errors. The settings of the method are the dataclasses of `hfmnas_keras.settings`, so the
    configuration and the library cannot drift apart.

    Args:
        name: str. Name of the pipeline; small letters, digits, `-` and `_`.
        model: str. The fusion model: `"hf_mnas"` (default) or `"bm_nas"` (docs/method.md, section 11), which are
            searched, or a plain one (section 10), for which there is no search.
        genotype: str or None. File of a genotype that an earlier search found, relative to the configuration file; then
            nothing is searched. `None` (default): the model is searched.
        data: the source of the data and its settings, by the source. Defaults to the demo's.
        preparation: what Transform makes of the raw examples.
        backbones: the unimodal backbones, by modality.
        pretraining: training of the unimodal heads, and cross-fitting.
        fusion: the fusion network, searched or being searched.
        mitigation: the inconsistency mitigation.
        space: what `hf_mnas` chooses from.
        bm_nas: what `bm_nas` chooses from.
        search: the search.
        final_model: what only the final model has.
        training: the training of the final model.
        gate: when a model may be served.
        serving: where blessed models go.
        paths: where a run writes.
        kubeflow: what the compiled pipeline needs to know.
        tuning: `TuningConfig`, or None (default): nothing is tuned.
        plugins: tuple of str. Modules of other packages that register operations, models, backbones or sources; they
            are imported wherever a stage runs. Those that installed packages offer as entry points of the group
            `hfmnas.plugins` are always among them.
        beam_args: tuple of str. Options of Beam, for the stages that use it. One process by default; several by
            `["--direct_running_mode=multi_processing", "--direct_num_workers=2", "--sdk_container_image=unused"]`.
    """

    model_config = STRICT

    name: Annotated[str, pydantic.Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,60}$")]
    model: str = "hf_mnas"
    genotype: str | None = None
    data: DataConfig = DemoData()
    preparation: PreparationConfig
    backbones: BackbonesConfig = BackbonesConfig()
    pretraining: PretrainingSettings = PretrainingSettings()
    fusion: FusionSettings = FusionSettings()
    mitigation: MitigationSettings = MitigationSettings()
    space: SpaceSettings = SpaceSettings()
    bm_nas: BMSpaceSettings = BMSpaceSettings()
    search: SearchSettings = SearchSettings()
    final_model: FinalModelSettings = FinalModelSettings()
    tuning: TuningConfig | None = None
    training: TrainingSettings = TrainingSettings()
    gate: GateConfig
    serving: ServingConfig = ServingConfig()
    paths: PathsConfig = PathsConfig()
    kubeflow: KubeflowConfig = KubeflowConfig()
    plugins: tuple[str, ...] = ()
    # In one process: each further worker would import TensorFlow anew, which takes longer than small data do.
    # With an image named, though none is used: TFX would pack itself anew in every Beam stage, for workers elsewhere.
    beam_args: tuple[str, ...] = (
        "--direct_running_mode=in_memory",
        "--direct_num_workers=1",
        "--sdk_container_image=unused",
    )

    @pydantic.field_validator("model")
    @classmethod
    def _is_known(cls, model: str) -> str:
        check_model(model)
        return model

    @pydantic.model_validator(mode="after")
    def _has_a_genotype_only_where_there_is_a_search(self) -> RunConfig:
        if self.genotype is not None and self.model not in SEARCHED_MODELS:
            raise ValueError(f"`genotype` is for models that are searched. Received: `model: {self.model}`.")
        return self

    @pydantic.model_validator(mode="after")
    def _has_labels_as_the_source_has(self) -> RunConfig:
        if self.data.multi_label not in (None, self.preparation.multi_label):
            raise ValueError(
                f"`preparation.multi_label` must be {str(self.data.multi_label).lower()} for the source "
                f"{self.data.source!r}. Received: {str(self.preparation.multi_label).lower()}."
            )
        return self

    @pydantic.model_validator(mode="before")
    @classmethod
    def _takes_defaults_from_the_modalities(cls, content: Any) -> Any:
        # Before any name is looked up: a plugin may have registered it.
        content = _with_plugins(content)
        data = content.get("data", {}) if isinstance(content, dict) else 0
        source = data.get("source") if isinstance(data, dict) else getattr(data, "source", None)
        if not isinstance(content, dict) or not isinstance(source, str | None):
            # Wrong; the fields will say.
            return content
        defaults = defaults_by_modality(source_data(source or "demo").modalities)
        # A value that is no mapping is wrong, or the complete settings.
        parts = {
            part: {**defaults[part], **content.get(part, {})}
            for part in defaults
            if isinstance(content.get(part, {}), dict)
        }
        return {**content, **parts}

    @pydantic.model_validator(mode="after")
    def _has_only_modalities_of_its_source(self) -> RunConfig:
        modalities, source = self.data.modalities, self.data.source
        if foreign := sorted(self.backbones.model_fields_set - set(modalities)):
            raise ValueError(
                f"`backbones` must be of the modalities {modalities} of the source {source!r}. Received: {foreign}."
            )
        features = [f"{modality}_{level}" for modality in modalities for level in ("low", "high")]
        for name in ("lfbc_taps", "hfbc_taps"):
            if not set(getattr(self.fusion, name)) <= set(features):
                raise ValueError(
                    f"`fusion.{name}` must be two of {features}, which the source {source!r} has. "
                    f"Received: {list(getattr(self.fusion, name))}."
                )
        return self

    @pydantic.model_validator(mode="after")
    def _has_an_ensemble_of_frozen_backbones(self) -> RunConfig:
        if self.final_model.ensemble > 1 and self.training.unfreeze_backbones:
            raise ValueError(
                "`final_model.ensemble` above 1 needs `training.unfreeze_backbones: false`: its networks share one "
                f"pair of backbones, which cannot follow all of them. Received: {self.final_model.ensemble}, true."
            )
        return self

    @pydantic.model_validator(mode="after")
    def _has_widths_that_fit(self) -> RunConfig:
        """What the settings of one stage cannot know of another's, and would show after all the stages before it."""
        if self.model not in SEARCHED_MODELS:
            return self
        if self.model == "bm_nas" and self.search.partial_channels > 1:
            raise ValueError(
                "`search.partial_channels` must be 1 for `model: bm_nas`, whose edges have no operations. "
                f"Received: {self.search.partial_channels}."
            )
        if self.model == "bm_nas" and self.mitigation.in_bm_nas and self.bm_nas.cells != 2:
            # With more cells nothing would read the first: those of the searched model read features alone.
            raise ValueError(f"`bm_nas.cells` must be 2 for `mitigation.in_bm_nas`. Received: {self.bm_nas.cells}.")
        heads = self.fusion.num_heads
        for part, channels in (("search", self.search.channels), ("final_model", self.final_model.channels)):
            if channels < 1 or channels % heads:
                raise ValueError(
                    f"`{part}.channels` must be a positive multiple of `fusion.num_heads`, {heads}. "
                    f"Received: {channels}."
                )
        # BM-NAS has no sequence encoder.
        if self.model == "hf_mnas" and self.final_model.sequence_encoder and self.final_model.channels % 2:
            raise ValueError(
                "`final_model.channels` must be even for `final_model.sequence_encoder`, half of them a direction. "
                f"Received: {self.final_model.channels}. Or set `sequence_encoder: false`."
            )
        return self

    @pydantic.model_validator(mode="after")
    def _has_choices_that_fit(self) -> RunConfig:
        """Each value to try, as it would be tried: hours later it would cost a trial."""
        choices = self.tuning_choices
        for name, values in choices.items():
            if name in OF_HF_MNAS and self.model != "hf_mnas":
                raise ValueError(f"`tuning.choices` of {name!r} are for `model: hf_mnas`. Received: {self.model}.")
            for value in values:
                if name == "space.kept_nodes" and value > self.space.kept_nodes:
                    raise ValueError(
                        f"`tuning.choices` of {name!r} must be at most `space.kept_nodes`, "
                        f"{self.space.kept_nodes}: the nodes that the search keeps. Received: {value}."
                    )
                self._with_values({name: value})
        # Values that fit by themselves: some heads do not divide some channels.
        for names in itertools.combinations(choices, 2):
            for tried in itertools.product(*(choices[name] for name in names)):
                pair = dict(zip(names, tried, strict=True))
                try:
                    self._with_values(pair)
                except ValueError as error:
                    raise ValueError(f"`tuning.choices` do not fit together, {pair}: {error}") from error
        return self

    def _with_values(self, values: Mapping[str, Any]) -> RunConfig:
        parts: dict[str, Any] = {**dict(self), "tuning": None}
        for name, value in values.items():
            part, field = name.split(".")
            parts[part] = dataclasses.replace(parts[part], **{field: value})
        return self.__class__.model_validate(parts)

    @property
    def search_space(self) -> SpaceSettings | BMSpaceSettings:
        """What the searched model chooses from."""
        if self.model == "hf_mnas":
            return self.space
        if self.model == "bm_nas":
            return self.bm_nas
        return SEARCHED_MODELS[self.model].supernet.SPACE_CLASS()

    @property
    def tuning_choices(self) -> dict[str, list[int | float]]:
        """The values to try by setting, the one of the configuration first; empty where nothing is tuned."""
        choices: dict[str, list[int | float]] = {}
        for name, values in (self.tuning.choices if self.tuning else {}).items():
            if name not in TUNABLE:
                raise ValueError(f"`tuning.choices` knows no {name!r}. What can be tuned: {', '.join(TUNABLE)}.")
            part, field = name.split(".")
            own = getattr(getattr(self, part), field)
            if isinstance(own, int) and not all(float(value).is_integer() for value in values):
                raise ValueError(f"`tuning.choices` of {name!r} must be whole numbers. Received: {list(values)}.")
            choices[name] = list(dict.fromkeys([own, *(type(own)(value) for value in values)]))
        return choices

    def source_settings(self) -> dict[str, Any]:
        """Arguments of the source's class; what preparation says about the classes among them."""
        settings = self.data.model_dump(exclude=set(self.data.not_the_sources), exclude_none=True)
        settings.update({name: getattr(self.preparation, name) for name in self.data.shared})
        return {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}

    @property
    def schema_file(self) -> str:
        """Schema of the raw examples."""
        return self.data.schema_file or str(SCHEMAS_FOLDER / f"{self.data.source}.pbtxt")

    @property
    def root(self) -> pathlib.Path:
        """Absolute folder of this machine that metadata and logs go below, and all else where no address is given."""
        own = self.paths.root is None or is_address(self.paths.root)
        root = pathlib.Path(f"runs/{self.name}" if own else expanded(self.paths.root or "")).absolute()
        if set("[]*?") & set(str(root)):
            raise ValueError(
                f"The folder of a run must have none of [ ] * ? in its path, which Beam takes for a pattern. Received: "
                f"{str(root)!r}. Set `paths: {{root: ...}}` to another folder."
            )
        return root

    @property
    def pipeline_root(self) -> str:
        """Folder of the artifacts."""
        return self._below_root("artifacts")

    @property
    def metadata_path(self) -> pathlib.Path:
        """SQLite file of ML Metadata."""
        return self.root / "metadata.sqlite"

    @property
    def checkpoint_root(self) -> str:
        """Folder of the checkpoints from which a killed run continues."""
        return self._below_root("checkpoints")

    @property
    def push_destination(self) -> str:
        """Folder that receives the pushed models."""
        if self.serving.push_destination is not None:
            return absolute_path(expanded(self.serving.push_destination))
        return self._below_root(f"serving/{self.name}")

    def _below_root(self, name: str) -> str:
        """Returns a folder below the run's root, which may be an address."""
        if self.paths.root is not None and is_address(self.paths.root):
            return f"{self.paths.root.rstrip('/')}/{name}"
        return str(self.root / name)

    def addresses(self) -> list[str]:
        """The addresses with a scheme that this configuration names."""
        named: list[str | None] = [self.pipeline_root, self.checkpoint_root, self.push_destination, self.schema_file]
        named += [getattr(self.data, path) for path in self.data.paths]
        for modality in self.data.modalities:
            named += [getattr(getattr(self.backbones, modality), path, None) for path in PATH_SETTINGS]
        return [path for path in named if path is not None and is_address(path)]


def _with_plugins(content: Any) -> Any:
    """A configuration with the plugins that are installed beside those that it names, all of them imported."""
    named = content.get("plugins", ()) if isinstance(content, dict) else None
    if not isinstance(named, list | tuple) or not all(isinstance(module, str) for module in named):
        return content
    plugins = tuple(dict.fromkeys((*installed_plugins(), *named)))
    use_plugins(plugins)
    return {**content, "plugins": plugins}
