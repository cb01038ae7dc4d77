"""What a changed key of a configuration repeats: TFX's own cache keys of every stage, of which none is run."""

from __future__ import annotations

import functools

import pytest
from tfx import v1 as tfx
from tfx.dsl.compiler import compiler
from tfx.orchestration import data_types_utils
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import cache_utils, inputs_utils
from tfx.orchestration.portable.mlmd import context_lib

from hfmnas_keras.genotype.random_genotype import random_genotype
from pipeline.config_file import config_content, load_config, with_overrides
from pipeline.definition import create_pipeline

#: All stages can be told: searched, tuned.
BASE = with_overrides(load_config("demo_paper"), {"tuning": {"choices": {"fusion.dropout": [0.0]}}})
INGEST, TRANSFORM, BACKBONES = "MultimodalExampleGen", "Transform", "BackboneTrainer"
SEARCH, TUNER, TRAINER, EVALUATOR = "ArchitectureSearch", "Tuner", "Trainer", "Evaluator"
#: The stage that no other comes before.
EVERYTHING, NOTHING = "ImportSchemaGen", None
#: In place of it the opposite of a switch.
OTHER = "OTHER"
#: In place of it the path of a file that exists.
FILE = "FILE"
#: In place of it the path of a genotype.
GENOTYPE = "GENOTYPE"
#: The source says it.
CANNOT_CHANGE = {"preparation.multi_label"}


class Several(dict):
    """Values of several keys, where that of one alone would not do."""


#: By key another value and the first stage that runs again.
CHANGES = {
    "name": ("other", EVERYTHING),
    "model": ("bm_nas", SEARCH),
    "genotype": (GENOTYPE, "GivenGenotype"),
    "plugins": (("json",), INGEST),
    "data.source": (Several({"data": {"source": "manifest", "manifest": "rows.jsonl"}}), EVERYTHING),
    "data.seed": (1, INGEST),
    "data.inconsistency": ({"rate": 0.3}, INGEST),
    "data.fingerprint_by": ("metadata", INGEST),
    "data.schema_file": ("other.pbtxt", "ImportSchemaGen"),
    "preparation.classes": (BASE.preparation.classes[::-1], "LinearReferenceTrainer"),
    "preparation.image_size": ((96, 96), TRANSFORM),
    "preparation.max_tokens": (16, TRANSFORM),
    "preparation.max_subwords": (16, TRANSFORM),
    "preparation.min_frequency": (2, TRANSFORM),
    # There are no clips and no skeletons.
    "preparation.clip_frames": (4, NOTHING),
    "preparation.clip_size": ((112, 112), NOTHING),
    "preparation.skeleton_frames": (16, NOTHING),
    **{
        f"backbones.{key}": (value, BACKBONES)
        for key, value in {
            "text.embedding_dim": 64,
            "text.hidden_units": (32, 64),
            "text.pieces": 3,
            "text.dropout": 0.123,
            "text.token_dropout": 0.123,
            "text.learning_rate": 0.0123,
            "text.word_vectors": FILE,
            "text.weights": FILE,
            "image.depth": Several({"backbones.image.depth": 19, "backbones.image.trunk": None}),
            "image.width": Several({"backbones.image.width": 0.5, "backbones.image.trunk": None}),
            "image.low_tap": "block3_conv1",
            "image.high_tap": "block5_conv3",
            "image.preprocessing": Several({"backbones.image.preprocessing": "torch", "backbones.image.trunk": None}),
            "image.trunk": None,
            "image.train_trunk": OTHER,
            "image.head_units": 8,
            "image.head_dropout": 0.123,
            "image.trunk_weights": Several({"backbones.image.trunk_weights": FILE, "backbones.image.trunk": None}),
            "image.weights": Several({"backbones.image.weights": FILE, "backbones.image.trunk": None}),
        }.items()
    },
    **{
        f"pretraining.{key}": (value, BACKBONES)
        for key, value in {
            "max_epochs": 123,
            "batch_size": 24,
            "learning_rate": 0.0123,
            "weight_decay": 0.0123,
            "class_weights": "balanced",
            "folds": 2,
            "align_folds": OTHER,
            "seed": 123,
        }.items()
    },
    # The backbones pool their maps to the grid.
    "fusion.grid": ((2, 2), BACKBONES),
    "fusion.lfbc_taps": (("image_low", "text_low"), SEARCH),
    "fusion.hfbc_taps": (("image_high", "text_high"), SEARCH),
    "fusion.vector_to_grid": ("tile", SEARCH),
    "fusion.num_heads": (2, SEARCH),
    "fusion.attention_values": ("key", SEARCH),
    "fusion.dropout": (0.123, SEARCH),
    "mitigation.attention": (OTHER, SEARCH),
    "mitigation.attention_inputs": ("hidden", SEARCH),
    "mitigation.correlation": (OTHER, SEARCH),
    "mitigation.correlation_dim": (8, SEARCH),
    "mitigation.correlation_weight": (0.123, SEARCH),
    "mitigation.correlation_norm": ("frobenius", SEARCH),
    "mitigation.in_bm_nas": (OTHER, SEARCH),
    "space.num_nodes": (5, SEARCH),
    "space.kept_nodes": (2, SEARCH),
    "space.kept_edges": (3, SEARCH),
    "space.node_inputs": ("split", SEARCH),
    "space.edge_operations": (("none", "skip", "linear_relu"), SEARCH),
    "space.node_operations": (("sum", "multiply"), SEARCH),
    # The space of a model that is not searched here.
    "bm_nas.cells": (3, NOTHING),
    "bm_nas.inner_steps": (2, NOTHING),
    **{
        f"search.{key}": (value, SEARCH)
        for key, value in {
            "strategy": "race",
            "minutes": Several({"search.minutes": 12.3, "search.strategy": "race"}),
            "race.candidates": 5,
            "race.rungs": (1, 3),
            "race.kept": 0.123,
            "race.score": "train_loss",
            "race.label_smoothing": 0.123,
            "race.seeded": OTHER,
            "race.population": 5,
            "race.sample": 2,
            "race.max_parameters": 123_456,
            "race.max_flops": 1_234_567,
            "channels": 16,
            "partial_channels": 2,
            "epochs": 123,
            "batch_size": 24,
            "learning_rate": 0.0123,
            "min_learning_rate": 1.23e-5,
            "first_cycle_epochs": 2,
            "weight_decay": 0.0123,
            "architecture_learning_rate": 0.0123,
            "travel": 2.3,
            "architecture_weight_decay": 0.0123,
            "decay": "coupled",
            "class_weights": "balanced",
            "alternation": "phased",
            "second_order": OTHER,
            "look_ahead_rate": Several({"search.look_ahead_rate": 1e-3, "search.second_order": OTHER}),
            "discretised_every": 2,
            "stop_when_stable": 3,
            "select": "best_discretised",
            "deterministic": OTHER,
            "precision": "mixed_bfloat16",
            "seed": 123,
        }.items()
    },
    "final_model.channels": (32, TUNER),
    "final_model.num_cells": (2, TUNER),
    "final_model.sequence_encoder": (OTHER, TUNER),
    "final_model.ensemble": (2, TUNER),
    "tuning.choices": ({"fusion.dropout": [0.5]}, TUNER),
    "tuning.trials": (3, TUNER),
    "tuning.seed": (1, TUNER),
    **{
        f"training.{key}": (value, TUNER)
        for key, value in {
            "max_epochs": 123,
            "patience": 123,
            "batch_size": 24,
            "learning_rate": 0.0123,
            "min_learning_rate": 1.23e-5,
            "weight_decay": 0.0123,
            "decay": "coupled",
            "class_weights": "balanced",
            "label_smoothing": 0.0123,
            "threshold": "fixed",
            "head_shares": "none",
            "deterministic": OTHER,
            "precision": "mixed_bfloat16",
            "seed": 123,
        }.items()
    },
    # Trials train no backbones.
    "training.unfreeze_backbones": (OTHER, TRAINER),
    "training.backbone_rate": (0.123, TRAINER),
    "training.head_weight": (0.123, TRAINER),
    "serving.abstention.max_conflict": (0.5, TRAINER),
    "serving.abstention.max_uncertainty": (0.5, TRAINER),
    "gate.min_f1_m": (0.7, EVALUATOR),
    "gate.change_tolerance": (0.0123, EVALUATOR),
    "gate.above_reference": (OTHER, EVALUATOR),
    "gate.threshold": (0.4, TRAINER),
    "serving.infra_validation": (OTHER, "InfraValidator"),
    "serving.push_destination": ("/elsewhere", "Pusher"),
    "serving.card": ({"owner": "the team"}, "RunReport"),
    # How, not what.
    "search.devices": (1, NOTHING),
    "search.device_bytes": (0, NOTHING),
    "search.checkpoint_seconds": (5.0, NOTHING),
    "training.devices": (1, NOTHING),
    "training.device_bytes": (0, NOTHING),
    # Of another runner.
    **{
        f"kubeflow.{key}": (value, NOTHING)
        for key, value in {
            "image": "other:1",
            "pipeline_root": "gs://other",
            "schema_folder": "/other",
            "checkpoint_root": "/other",
            "resources.cpu": 1.0,
            "resources.memory_gb": 1.0,
            "resources.gpu_count": 0,
            "resources.kubernetes_gpu": "other",
            "resources.vertex_gpu": "other",
            "other_resources.cpu": 1.0,
            "other_resources.memory_gb": 1.0,
            "other_resources.gpu_count": 1,
            "other_resources.kubernetes_gpu": "other",
            "other_resources.vertex_gpu": "other",
            "parameters": {"schema-file": "/other"},
            "retries": 0,
        }.items()
    },
    # TFX counts the options of Beam as part of its executors.
    "beam_args": (("--direct_num_workers=2",), INGEST),
    # By its checkpoints; but in a new folder are no metadata yet, so there nothing is served from a cache.
    "paths.root": ("/elsewhere", BACKBONES),
}


def cache_keys(config, monkeypatch):
    """By stage, in their order, the key under which the local runner would look for its outputs."""
    pipeline = create_pipeline(
        config,
        pipeline_root=str(config.pipeline_root),
        schema_file=str(config.schema_file),
        checkpoint_root=str(config.checkpoint_root),
        push_destination=str(config.push_destination),
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(config.metadata_path)
        ),
    )
    compiled = compiler.Compiler().compile(pipeline)
    deployment = runner_utils.extract_local_deployment_config(compiled)
    # TFX writes the key into its metadata; here it is what is asked for.
    monkeypatch.setattr(
        context_lib,
        "register_context_if_not_exists",
        lambda metadata_handle, context_type_name, context_name: context_name,
    )
    keys: dict[str, str] = {}
    for node in (each.pipeline_node for each in compiled.nodes):
        inputs = {}
        for name, spec in node.inputs.inputs.items():
            inputs[name] = []
            for channel in spec.channels:
                artifact = tfx.types.standard_artifacts.String()
                # Other outputs where its producer ran again.
                producer = channel.producer_node_query.id
                artifact.uri = f"{producer}/{keys.get(producer)}/{channel.output_key}"
                inputs[name].append(artifact)
        keys[node.node_info.id] = cache_utils.get_cache_context(
            metadata_handle=None,
            pipeline_node=node,
            pipeline_info=compiled.pipeline_info,
            executor_spec=runner_utils.extract_executor_spec(deployment, node.node_info.id),
            input_artifacts=inputs,
            parameters=data_types_utils.build_parsed_value_dict(
                inputs_utils.resolve_parameters_with_schema(node_parameters=node.parameters)
            ),
        )
    return keys


@pytest.fixture(scope="module")
def base_keys():
    with pytest.MonkeyPatch.context() as monkeypatch:
        return cache_keys(BASE, monkeypatch)


def keys_of(content, prefix=""):
    """The dotted keys of a configuration."""
    for key, value in content.items():
        if isinstance(value, dict) and value and f"{prefix}{key}" != "tuning.choices":
            yield from keys_of(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def value_of(key):
    """What the base has under a dotted key."""
    return functools.reduce(getattr, key.split("."), BASE)


def test_the_table_has_every_key_of_a_configuration():
    keys = set(keys_of(config_content(BASE)))
    assert keys - CANNOT_CHANGE - set(CHANGES) == set(), "Say which stage each of these keys repeats."
    assert set(CHANGES) <= keys


def test_what_is_changed_decides_which_stage_is_the_first_to_run_again(base_keys, monkeypatch, tmp_path):
    assert cache_keys(BASE, monkeypatch) == base_keys and len(set(base_keys.values())) == len(base_keys)
    file = tmp_path / "file.keras"
    file.write_bytes(b"weights")
    genotype = tmp_path / "genotype.json"
    random_genotype(BASE.space, BASE.fusion, seed=0).save(genotype)
    files = {FILE: str(file), GENOTYPE: str(genotype)}
    first = {}
    for key, (value, _) in CHANGES.items():
        overrides = value if isinstance(value, Several) else {key: value}
        overrides = {
            name: not value_of(name) if each == OTHER else files.get(each, each) if isinstance(each, str) else each
            for name, each in overrides.items()
        }
        assert all(name == "data" or value_of(name) != each for name, each in overrides.items() if name == key), key
        config = with_overrides(BASE, overrides)
        keys = cache_keys(config, monkeypatch)
        first[key] = next((stage for stage, each in keys.items() if each != base_keys.get(stage)), None)
    assert first == {key: stage for key, (_, stage) in CHANGES.items()}
