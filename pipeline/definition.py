"""The pipeline: which stages there are and what each gets from the others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tfx.components.infra_validator.component import InfraValidator
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.components.statistics_gen.component import StatisticsGen
from tfx.components.transform.component import Transform
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.pipeline import Pipeline
from tfx.proto.infra_validator_pb2 import LocalDockerConfig, ServingSpec, TensorFlowServing
from tfx.proto.pusher_pb2 import PushDestination
from tfx.proto.transform_pb2 import SplitsConfig
from tfx.types.channel import Channel
from tfx.types.standard_artifacts import Model, ModelBlessing

from components.architecture_search.component import ArchitectureSearch
from components.backbone_trainer.component import BackboneTrainer
from components.code_fingerprint import CODE_FINGERPRINT, code_fingerprint
from components.evaluator.baseline_strategy import CANDIDATE_KEY, OtherBlessedModelStrategy
from components.evaluator.component import Evaluator
from components.evaluator.eval_config import make_eval_config
from components.example_validator.component import ExampleValidator
from components.feature_extractor.component import FeatureExtractor
from components.given_genotype.component import GivenGenotype
from components.linear_references.component import LinearReferenceTrainer
from components.multimodal_example_gen.component import MultimodalExampleGen
from components.multimodal_example_gen.executor import PATH_PREFIX
from components.pusher.component import Pusher
from components.run_report.component import RunReport
from components.served_model.component import ServedModel
from components.serving_check.component import ServingCheck
from components.trainer.component import Trainer
from components.transform import preprocessing
from components.transform.encoder_preparation import encoder_preparation
from components.tuner.component import Tuner
from hfmnas_keras.genotype.base_genotype import read_text
from hfmnas_keras.models.parts.taps import modalities_of_taps
from hfmnas_keras.plugins import use_plugins
from hfmnas_keras.settings.models import SEARCHED_MODELS
from pipeline.config import RunConfig
from pipeline.told_configuration import told_configuration

PREPROCESSING_FN = "components.transform.preprocessing.preprocessing_fn"
FEATURES_STAGE = "FeatureExtractor"


def training_stages(config: RunConfig) -> tuple[str, ...]:
    """The stages of a configuration that train, and so want accelerators."""
    searches = ["ArchitectureSearch"] if config.model in SEARCHED_MODELS and config.genotype is None else []
    tuners = ["Tuner"] if config.tuning is not None else []
    return ("BackboneTrainer", FEATURES_STAGE, *searches, *tuners, "Trainer")


def create_pipeline(
    config: RunConfig,
    pipeline_root: str,
    schema_file: Any,
    checkpoint_root: str,
    push_destination: str | RuntimeParameter,
    source_paths: Mapping[str, RuntimeParameter] | None = None,
    source_fingerprint: RuntimeParameter | None = None,
    metadata_connection_config: Any = None,
    with_metadata: bool = True,
    last_stage: str | None = None,
) -> Pipeline:
    """Returns the pipeline from data to a served model.

    What describes the method and the data comes in `config`; what depends on where the pipeline runs, as arguments.

    Args:
        config: `RunConfig`.
        pipeline_root: str. Folder of the artifacts.
        schema_file: str or RuntimeParameter. Schema of the raw examples.
        checkpoint_root: str. Folder of checkpoints that outlives an attempt at a stage.
        push_destination: str or RuntimeParameter. Folder of the pushed models.
        source_paths: mapping from settings of the source that are paths, such as `data_root`, to the parameters by
            which a run says where its data are. `None` (default): as `config` says.
        source_fingerprint: RuntimeParameter or None. What stands for the data in the cache. `None` (default): a digest
            of the data, which have to be on this machine.
        metadata_connection_config: connection to ML Metadata, for runners that need one.
        with_metadata: bool. Whether a resolver may ask ML Metadata for the last blessed model, which the new one must
            not fall behind. Defaults to `True`; `False` takes the one that serves, for backends without resolvers.
        last_stage: str or None. Id of the stage to end with, such as `FEATURES_STAGE`; what a whole run has in the
            cache is served from there, and the other way round. `None` (default): the whole pipeline.

    Returns:
        `tfx.orchestration.pipeline.Pipeline`.

    Raises:
        ValueError: when settings do not fit each other or files are missing.
    """
    use_plugins(config.plugins)
    preparation = config.preparation
    num_outputs = len(preparation.classes)
    modalities = config.data.modalities
    # What the final model reads: in a unimodal run one of them.
    served_modalities = [modality for modality in modalities if modality in modalities_of_taps(config.fusion)]

    # Reads the source's files into examples of the splits train, dev and test.
    example_gen = MultimodalExampleGen(
        source=config.data.source,
        source_config=config.source_settings(),
        source_fingerprint=source_fingerprint,
        fingerprint_by=config.data.fingerprint_by,
        inconsistency=config.data.inconsistency.model_dump() if config.data.inconsistency else None,
    )
    if source_paths:
        settings = {name: value for name, value in config.source_settings().items() if name not in source_paths}
        example_gen.exec_properties["source_config"] = json.dumps(settings, sort_keys=True)
        for name, parameter in source_paths.items():
            example_gen.exec_properties[f"{PATH_PREFIX}{name}"] = parameter

    # Looks at the data before anything is learnt from them: an anomaly stops the run.
    statistics_gen = StatisticsGen(examples=example_gen.outputs["examples"])
    schema_gen = ImportSchemaGen(schema_file=schema_file)
    example_validator = ExampleValidator(
        statistics=statistics_gen.outputs["statistics"], schema=schema_gen.outputs["schema"]
    )

    # Resizes, splits into words, numbers words and classes; the same graph goes into the served model.
    transform = Transform(
        examples=example_gen.outputs["examples"],
        schema=schema_gen.outputs["schema"],
        preprocessing_fn=PREPROCESSING_FN,
        # Test is left out: the Evaluator, the only one to read it, transforms it through the served model.
        splits_config=SplitsConfig(analyze=["train"], transform=["train", "dev"]),
        custom_config={
            "classes": list(preparation.classes),
            "multi_label": preparation.multi_label,
            "modalities": list(modalities),
            **preparation.model_dump(mode="json", include=set(preprocessing.settings_of(modalities))),
            **encoder_preparation(getattr(config.backbones, modality) for modality in modalities),
            CODE_FINGERPRINT: code_fingerprint(*preprocessing.CODE),
        },
        disable_statistics=True,
    )
    # Nothing reads its output, so the order has to be said.
    transform.add_upstream_node(example_validator)

    # One backbone and head a modality, and copies that have not seen the rows whose features they make.
    backbone_trainer = BackboneTrainer(
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        num_outputs=num_outputs,
        multi_label=preparation.multi_label,
        grid=config.fusion.grid,
        backbones={modality: getattr(config.backbones, modality) for modality in modalities},
        pretraining=config.pretraining,
        checkpoint_root=checkpoint_root,
    )

    # Features once, so that the search never runs a backbone.
    feature_extractor = FeatureExtractor(
        examples=transform.outputs["transformed_examples"],
        backbones=backbone_trainer.outputs["backbones"],
        taps=backbone_trainer.outputs["taps"],
    )

    # What a user would have without a search, in seconds: linear models on simple features.
    linear_references = LinearReferenceTrainer(
        examples=example_gen.outputs["examples"],
        class_names=preparation.classes,
        multi_label=preparation.multi_label,
        modalities=served_modalities,
    )

    # How to fuse: the bilevel search on train and dev, where the model is a searched one.
    searches: list[Any] = []
    search_outputs = {}
    if config.genotype is not None:
        # Found by an earlier search.
        given_genotype = GivenGenotype(genotype_json=_genotype_text(config.genotype), model=config.model)
        searches.append(given_genotype)
        search_outputs = {"genotype": given_genotype.outputs["genotype"]}
    elif config.model in SEARCHED_MODELS:
        architecture_search = ArchitectureSearch(
            features=feature_extractor.outputs["features"],
            backbones=backbone_trainer.outputs["backbones"],
            model=config.model,
            num_outputs=num_outputs,
            fusion=config.fusion,
            mitigation=config.mitigation,
            space=config.search_space,
            search=config.search,
            checkpoint_root=checkpoint_root,
        )
        searches.append(architecture_search)
        search_outputs = {key: architecture_search.outputs[key] for key in ("genotype", "search_report")}

    # What is not searched, where the configuration wants it tuned: trials on train and dev.
    tuners = []
    if config.tuning is not None:
        tuner = Tuner(
            features=feature_extractor.outputs["features"],
            transform_graph=transform.outputs["transform_graph"],
            genotype=search_outputs.get("genotype"),
            model=config.model,
            num_outputs=num_outputs,
            fusion=config.fusion,
            final_model=config.final_model,
            mitigation=config.mitigation,
            training=config.training,
            choices=config.tuning_choices,
            trials=config.tuning.trials,
            seed=config.tuning.seed,
            has_text="text" in modalities,
            checkpoint_root=checkpoint_root,
        )
        tuners.append(tuner)

    # The model, trained on train with dev watched, then on both; exported with its preprocessing.
    trainer = Trainer(
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema_gen.outputs["schema"],
        backbones=backbone_trainer.outputs["backbones"],
        features=feature_extractor.outputs["features"],
        genotype=search_outputs.get("genotype"),
        hyperparameters=tuners[0].outputs["best_hyperparameters"] if tuners else None,
        model=config.model,
        classes=preparation.classes,
        multi_label=preparation.multi_label,
        fusion=config.fusion,
        final_model=config.final_model,
        mitigation=config.mitigation,
        training=config.training,
        abstention=config.serving.abstention,
        threshold=config.gate.threshold,
        checkpoint_root=checkpoint_root,
    )

    # What the new model must not fall behind.
    candidate: dict[str, Any] = {CANDIDATE_KEY: trainer.outputs["model"]}
    baseline: Any = (
        Resolver(
            strategy_class=OtherBlessedModelStrategy,
            model=Channel(type=Model),
            model_blessing=Channel(type=ModelBlessing),
            **candidate,
        ).with_id("LatestBlessedModel")
        if with_metadata
        else ServedModel(push_destination=push_destination)
    )

    # The gate, on the test split, which it alone reads.
    evaluator = Evaluator(
        examples=example_gen.outputs["examples"],
        model=trainer.outputs["model"],
        baseline_model=baseline.outputs["model"],
        references=linear_references.outputs["references"],
        above_reference=config.gate.above_reference,
        eval_config=make_eval_config(
            preparation.classes,
            preparation.multi_label,
            modalities=served_modalities,
            threshold=config.gate.threshold,
            min_f1_m=config.gate.min_f1_m,
            change_tolerance=config.gate.change_tolerance,
        ),
    )

    # Whether the model answers where none of our code is.
    serving_check = ServingCheck(
        model=trainer.outputs["model"],
        examples=example_gen.outputs["examples"],
        class_names=preparation.classes,
        multi_label=preparation.multi_label,
        modalities=served_modalities,
    )
    checks: list[Any] = [serving_check]
    if config.serving.infra_validation:
        # TensorFlow Serving's own container has the last word where there is a Docker daemon.
        infra_validator = InfraValidator(
            model=trainer.outputs["model"],
            serving_spec=ServingSpec(
                tensorflow_serving=TensorFlowServing(tags=["latest"]),
                local_docker=LocalDockerConfig(),
            ),
        )
        infra_validator.add_upstream_node(serving_check)
        checks.append(infra_validator)

    # A new numbered folder for TensorFlow Serving, if both said yes.
    pusher = Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=checks[-1].outputs["blessing"],
        push_destination=_push_destination(push_destination),
    )

    # The run told to a person.
    run_report = RunReport(
        name=config.name,
        card={str(key): said for key, said in config.serving.card.items()},
        configuration=told_configuration(config),
        examples=example_gen.outputs["examples"],
        statistics=statistics_gen.outputs["statistics"],
        backbones=backbone_trainer.outputs["backbones"],
        features=feature_extractor.outputs["features"],
        model_run=trainer.outputs["model_run"],
        references=linear_references.outputs["references"],
        evaluation=evaluator.outputs["evaluation"],
        blessing=evaluator.outputs["blessing"],
        infra_blessing=serving_check.outputs["blessing"],
        pushed_model=pusher.outputs["pushed_model"],
        tuner_results=tuners[0].outputs["tuner_results"] if tuners else None,
        **search_outputs,
    )

    stages = [
        example_gen,
        statistics_gen,
        schema_gen,
        example_validator,
        transform,
        backbone_trainer,
        feature_extractor,
        linear_references,
        *searches,
        *tuners,
        trainer,
        baseline,
        evaluator,
        *checks,
        pusher,
        run_report,
    ]
    if last_stage is not None:
        stages = stages[: _position(last_stage, stages) + 1]
    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=pipeline_root,
        components=stages,
        enable_cache=True,
        metadata_connection_config=metadata_connection_config,
        beam_pipeline_args=list(config.beam_args),
    )


def _genotype_text(file: str) -> str:
    try:
        return read_text(file).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"`genotype` must be the file of one. Received: {file!r} ({error}).") from error


def _push_destination(folder: str | RuntimeParameter) -> Any:
    if isinstance(folder, RuntimeParameter):
        return folder
    return PushDestination(filesystem=PushDestination.Filesystem(base_directory=folder))


def _position(stage_id: str, stages: Sequence[Any]) -> int:
    ids = [stage.id for stage in stages]
    if stage_id not in ids:
        raise ValueError(f"There is no stage {stage_id!r} in this pipeline. Its stages: {', '.join(ids)}.")
    return ids.index(stage_id)
