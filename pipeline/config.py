"""What describes a run: one frozen object, read from one YAML file."""

from __future__ import annotations

import dataclasses
import itertools
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Annotated, Any, get_args

import pydantic
import yaml

from hfmnas_keras.backbones.published_encoders import PUBLISHED_ENCODERS
from hfmnas_keras.evidence.abstention import Abstention
from hfmnas_keras.plugins import installed_plugins, use_plugins
from hfmnas_keras.settings.backbones import (
    PATH_SETTINGS,
    ImageBackboneSettings,
    SkeletonBackboneSettings,
    TextBackboneSettings,
    VideoBackboneSettings,
    backbone_settings_class,
)
from hfmnas_keras.settings.fusion import FinalModelSettings, FusionSettings, MitigationSettings, defaults_by_modality
from hfmnas_keras.settings.models import SEARCHED_MODELS, check_model
from hfmnas_keras.settings.pretraining import PretrainingSettings
from hfmnas_keras.settings.search import SearchSettings
from hfmnas_keras.settings.space import BMSpaceSettings, SpaceSettings
from hfmnas_keras.settings.training import TrainingSettings
from hfmnas_keras.training.tuned_settings import OF_HF_MNAS, TUNABLE
from pipeline.data_config import DataConfig, DemoData, FolderData, source_data

CONFIG_VARIABLE = "HFMNAS_CONFIG"
SCHEMAS_FOLDER = pathlib.Path(__file__).resolve().parent.parent / "schemas"
PRESETS_FOLDER = pathlib.Path(__file__).resolve().parent / "configs"

_STRICT = pydantic.ConfigDict(frozen=True, extra="forbid")
_Share = Annotated[float, pydantic.Field(ge=0, le=1)]


class PreparationConfig(pydantic.BaseModel):
    """What Transform makes of the raw examples.

    Args:
        classes: tuple of str. Names of the classes, in the order of the model's outputs.
        multi_label: bool. Whether an example may carry any number of classes instead of exactly one.
        image_size: pair of ints. Height and width.
        max_tokens: int. Tokens kept of a text.
        max_subwords: int. Parts of four characters kept of a text's words, by which a backbone that is trained on these
            data tells words that it never saw, some five a word; 0: none.
        min_frequency: int. How often a token must occur in the train split to enter the vocabulary.
        clip_frames: int. Frames kept of a clip, colour or depth, evenly over all of it.
        clip_size: pair of ints. Height and width of a clip's frames.
        skeleton_frames: int. Frames that a skeleton is resampled to; the network needs 16.
    """

    model_config = _STRICT

    classes: Annotated[tuple[str, ...], pydantic.Field(min_length=2)]
    multi_label: bool = False
    image_size: tuple[pydantic.PositiveInt, pydantic.PositiveInt] = (128, 128)
    max_tokens: pydantic.PositiveInt = 64
    max_subwords: pydantic.NonNegativeInt = 256
    min_frequency: pydantic.PositiveInt = 1
    clip_frames: Annotated[int, pydantic.Field(ge=1, le=1024)] = 8
    clip_size: tuple[pydantic.PositiveInt, pydantic.PositiveInt] = (224, 224)
    skeleton_frames: Annotated[int, pydantic.Field(ge=16, le=1024)] = 32

    @pydantic.field_validator("classes")
    @classmethod
    def _are_distinct(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) != len(classes):
            raise ValueError("class names must be distinct")
        return classes


def _backbone(modality: str) -> Any:
    """The type of a backbone's settings: those of the modality's own network, or of the kind that they name."""

    def of_its_kind(settings: Any) -> Any:
        if dataclasses.is_dataclass(settings):
            return settings
        if not isinstance(settings, dict):
            raise ValueError("must be a mapping of keys")
        settings_class: Any = backbone_settings_class(modality, settings.get("kind"))
        # As everywhere in a configuration, an unknown key is an error.
        strict_class = pydantic.with_config(pydantic.ConfigDict(extra="forbid"))(settings_class)
        return pydantic.TypeAdapter(strict_class).validate_python(settings)

    return Annotated[Any, pydantic.BeforeValidator(of_its_kind)]


class BackbonesConfig(pydantic.BaseModel):
    """The unimodal backbones by modality; those of the source's two modalities are made.

    A `kind` asks for another than the modality's own network: a pre-trained one, `encoder`, for texts and pictures, or
    what a package of your own registers.
    """

    model_config = _STRICT

    text: _backbone("text") = TextBackboneSettings()
    image: _backbone("image") = ImageBackboneSettings()
    skeleton: _backbone("skeleton") = SkeletonBackboneSettings()
    depth: _backbone("depth") = VideoBackboneSettings()
    video: _backbone("video") = VideoBackboneSettings()


class TuningConfig(pydantic.BaseModel):
    """What is tuned before the final model is trained, by trials on train and dev.

    Args:
        choices: mapping from settings of the final model and its training, such as `training.learning_rate`, to values
            to try; the configuration's own value is always one of them. See `hfmnas_keras.training.tuned_settings`.
        trials: int. Most trials; fewer where there are fewer combinations.
        seed: int. Of the drawing.
    """

    model_config = _STRICT

    choices: Annotated[
        dict[str, Annotated[tuple[int | float, ...], pydantic.Field(min_length=1)]], pydantic.Field(min_length=1)
    ]
    trials: pydantic.PositiveInt = 10
    seed: int = 0


class GateConfig(pydantic.BaseModel):
    """When a model may be served.

    Args:
        min_f1_m: float. Least macro F1 on the test split.
        change_tolerance: float. How much macro F1 may fall below that of the last blessed model.
        above_reference: bool. Whether the model must not fall behind a linear model on one modality, nor behind one of
            its own heads. Defaults to `True`; `False` shows the references only.
        threshold: float. Multi-label data only: probability above which a label counts as predicted by a modality's
            head, and by the fused model where `training.threshold` is `"fixed"`; otherwise that has its own.
    """

    model_config = _STRICT

    min_f1_m: _Share
    change_tolerance: _Share = 0.0
    above_reference: bool = True
    threshold: _Share = 0.5


class ServingConfig(pydantic.BaseModel):
    """Where blessed models go.

    Args:
        push_destination: str or None. Folder that receives one numbered SavedModel a push, as TF Serving reads it.
            `None` (default) is `serving/<name>` below the root of the run.
        infra_validation: bool. Whether TFX's InfraValidator tries the model in TF Serving's own container, which needs
            a Docker daemon. Defaults to `False`; the check in a fresh process is always made.
        abstention: `max_conflict` and `max_uncertainty`, floats in [0, 1] or None (default). Above one of them the
            served output `abstain` is true.
    """

    model_config = _STRICT

    push_destination: str | None = None
    infra_validation: bool = False
    abstention: Abstention = Abstention()


class PathsConfig(pydantic.BaseModel):
    """Where a run writes.

    Args:
        root: str or None. Folder of artifacts, metadata, checkpoints and pushed models; relative to the current
            folder. `None` (default) is `runs/<name>`.
    """

    model_config = _STRICT

    root: str | None = None


class ResourcesConfig(pydantic.BaseModel):
    """What a container of the stages that train asks for on Kubeflow."""

    model_config = _STRICT

    cpu: pydantic.PositiveFloat = 8.0
    memory_gb: pydantic.PositiveFloat = 32.0
    gpu_type: str = "nvidia.com/gpu"
    gpu_count: pydantic.NonNegativeInt = 1


class KubeflowConfig(pydantic.BaseModel):
    """What the compiled Kubeflow pipeline needs to know.

    Args:
        image: str. Container image with this project and its pipeline extra installed.
        pipeline_root: str. Folder of the artifacts, a default that a run may replace.
        schema_folder: str. Where the image has the folder `schemas/` of this project.
        checkpoint_root: str. Folder of checkpoints; on a volume, if a killed stage is to continue.
        resources: `ResourcesConfig`. For BackboneTrainer, FeatureExtractor, ArchitectureSearch, Tuner and Trainer.
    """

    model_config = _STRICT

    image: str = "hfmnas-keras:latest"
    pipeline_root: str = "gs://your-bucket/hfmnas"
    schema_folder: str = "/app/schemas"
    checkpoint_root: str = "/tmp/hfmnas/checkpoints"
    resources: ResourcesConfig = ResourcesConfig()


class RunConfig(pydantic.BaseModel):
    """Everything that describes a run of the pipeline.

    Unknown keys are errors. The settings of the method are the dataclasses of `hfmnas_keras.settings`, so the
    configuration and the library cannot drift apart.

    Args:
        name: str. Name of the pipeline; small letters, digits, `-` and `_`.
        model: str. The fusion model: `"hf_mnas"` (default) or `"bm_nas"` (docs/method.md, section 11), which are
            searched, or a plain one (section 10), for which there is no search.
        data, preparation, backbones, pretraining, fusion, mitigation, space, bm_nas, search, final_model, training,
            gate, serving, paths, kubeflow: see the class of each field. `space` is what `hf_mnas` chooses from,
            `bm_nas` what the model of that name does.
        tuning: `TuningConfig`, or None (default): nothing is tuned.
        plugins: tuple of str. Modules of other packages that register operations, models, backbones or sources; they
            are imported wherever a stage runs. Those that installed packages offer as entry points of the group
            `hfmnas.plugins` are always among them.
        beam_args: tuple of str. Options of Beam, for the stages that use it. One process by default; several by
            `["--direct_running_mode=multi_processing", "--direct_num_workers=2", "--sdk_container_image=unused"]`.
    """

    model_config = _STRICT

    name: Annotated[str, pydantic.Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,60}$")]
    model: str = "hf_mnas"
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
        # What is no mapping is wrong, or complete.
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
            # Of more, nothing would read the first: the searched model's cells read features alone.
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
            for values in itertools.product(*(choices[name] for name in names)):
                pair = dict(zip(names, values, strict=True))
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
        if self.model in (own := {"hf_mnas": self.space, "bm_nas": self.bm_nas}):
            return own[self.model]
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
    def schema_file(self) -> pathlib.Path:
        """Schema of the raw examples."""
        return pathlib.Path(self.data.schema_file or SCHEMAS_FOLDER / f"{self.data.source}.pbtxt")

    @property
    def root(self) -> pathlib.Path:
        """Absolute folder that everything of this run goes below."""
        root = pathlib.Path(self.paths.root or f"runs/{self.name}").absolute()
        if set("[]*?") & set(str(root)):
            raise ValueError(
                f"The folder of a run must have none of [ ] * ? in its path, which Beam takes for a pattern. Received: "
                f"{str(root)!r}. Set `paths: {{root: ...}}` to another folder."
            )
        return root

    @property
    def pipeline_root(self) -> pathlib.Path:
        """Folder of the artifacts."""
        return self.root / "artifacts"

    @property
    def metadata_path(self) -> pathlib.Path:
        """SQLite file of ML Metadata."""
        return self.root / "metadata.sqlite"

    @property
    def checkpoint_root(self) -> pathlib.Path:
        """Folder of the checkpoints from which a killed run continues."""
        return self.root / "checkpoints"

    @property
    def push_destination(self) -> pathlib.Path:
        """Folder that receives the pushed models."""
        if self.serving.push_destination is not None:
            return pathlib.Path(self.serving.push_destination).absolute()
        return self.root / "serving" / self.name


def _with_plugins(content: Any) -> Any:
    """A configuration with the plugins that are installed beside those that it names, all of them imported."""
    named = content.get("plugins", ()) if isinstance(content, dict) else None
    if not isinstance(named, list | tuple) or not all(isinstance(module, str) for module in named):
        return content
    plugins = tuple(dict.fromkeys((*installed_plugins(), *named)))
    use_plugins(plugins)
    return {**content, "plugins": plugins}


def load_config(path: str | os.PathLike[str] | None = None) -> RunConfig:
    """Reads a run's configuration.

    Paths of data and of weights in the file are relative to the file itself.

    Args:
        path: path of a YAML file, or the name of a preset such as `"demo"`. `None` (default) takes the environment
            variable `HFMNAS_CONFIG`, and the demo where it is not set.

    Returns:
        `RunConfig`, with paths made absolute.

    Raises:
        ValueError: when there is no such file, or it does not describe a run; the message names file, key and cure.
    """
    file = config_file(path if path is not None else os.environ.get(CONFIG_VARIABLE) or "demo")
    try:
        loader = _EachKeyOnce(file.read_text(encoding="utf-8"))
        content = loader.get_single_data()
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not YAML that can be read: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} must hold a mapping of keys. Received: {type(content).__name__}.")
    try:
        config = RunConfig.model_validate(content)
    except pydantic.ValidationError as error:
        raise ValueError(_explanation(file, error, content)) from error
    return _with_absolute_paths(config, file.resolve().parent)


class _EachKeyOnce(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML's readers silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                line = key.start_mark.line + 1
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} is given twice, in lines {seen[key.value]} and {line}"
                    )
                seen[key.value] = line
        return super().construct_mapping(node, deep)


def config_file(source: str | os.PathLike[str]) -> pathlib.Path:
    """Returns the file of a configuration that is given by its path or, where no such file is, by a preset's name.

    Raises:
        ValueError: when there is neither.
    """
    file = pathlib.Path(source)
    if not file.is_file() and re.fullmatch(r"[a-z0-9_]+", str(source)):
        file = PRESETS_FOLDER / f"{source}.yaml"
    if not file.is_file():
        presets = ", ".join(sorted(preset.stem for preset in PRESETS_FOLDER.glob("*.yaml")))
        raise ValueError(
            f"There is no configuration file {str(source)!r}. Give the path of a YAML file or a preset: {presets}."
        )
    return file


def with_overrides(config: RunConfig, overrides: Mapping[str, Any]) -> RunConfig:
    """Copies a configuration with some values replaced.

    Args:
        config: `RunConfig`.
        overrides: dict from dotted keys, such as `"mitigation.attention"`, to values.

    Returns:
        `RunConfig`.

    Raises:
        ValueError: when the result does not describe a run, as for a configuration file.
    """
    content = _content(config)
    for key, value in overrides.items():
        *sections, last = key.split(".")
        owner = content
        for section in sections:
            # What may be left out is None where it is.
            owner[section] = owner.get(section) or {}
            owner = owner[section]
        owner[last] = value
    try:
        return RunConfig.model_validate(content)
    except pydantic.ValidationError as error:
        raise ValueError(_explanation(f"{config.name!r} with {dict(overrides)}", error, content)) from error


def _explanation(source: pathlib.Path | str, error: pydantic.ValidationError, content: Mapping[str, Any]) -> str:
    lines = [f"{source} does not describe a run:"]
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"]) or "(the whole file)"
        if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            lines.append(f"  `{key}`: unknown key. Known here: {', '.join(_known_keys(problem['loc'][:-1], content))}.")
        elif problem["type"] == "missing":
            lines.append(f"  `{key}`: is missing. Add it.")
        else:
            message = problem["msg"].removeprefix("Value error, ").rstrip(".")
            received = "" if "Received:" in message else f" Received: {problem['input']!r}."
            lines.append(f"  `{key}`: {message}.{received}")
    return "\n".join(lines)


def _known_keys(location: tuple[int | str, ...], content: Mapping[str, Any]) -> list[str]:
    known: Any = RunConfig
    for part in location:
        if known is RunConfig and part == "data":
            known = source_data(content["data"]["source"])
        elif known is BackbonesConfig:
            known = backbone_settings_class(str(part), content["backbones"][part].get("kind"))
        else:
            known = known.model_fields[part].annotation
            # Of what may be left out, the other kind.
            known = next((kind for kind in get_args(known) if kind is not type(None)), known)
    return sorted(getattr(known, "model_fields", None) or known.__dataclass_fields__)


def _with_absolute_paths(config: RunConfig, folder: pathlib.Path) -> RunConfig:
    """Copies `config` with the paths that the user's own files have, relative to the configuration, made absolute."""
    content = _content(config)
    if isinstance(config.data, FolderData) and config.data.data_root is None:
        content["data"]["data_root"] = config.data.default_root()
    for owner, key in (
        *((content["data"], path) for path in config.data.paths),
        *((settings, path) for settings in content["backbones"].values() for path in PATH_SETTINGS),
    ):
        if owner.get(key) is not None:
            owner[key] = str((folder / owner[key]).resolve())
    for settings in content["backbones"].values():
        if settings.get("kind") == "encoder" and settings["encoder"] not in PUBLISHED_ENCODERS:
            settings["encoder"] = str((folder / settings["encoder"]).resolve())
    return RunConfig.model_validate(content)


def _content(config: RunConfig) -> dict[str, Any]:
    """A configuration as its file would say it."""
    content = config.model_dump()
    content["backbones"] = {modality: content["backbones"][modality] for modality in config.data.modalities}
    return content
