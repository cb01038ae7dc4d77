"""What the variants of the studies switch, whatever the configuration says already."""

from __future__ import annotations

import operator
import re

import pytest

from hfmnas_keras.operations import EDGE_OPERATIONS, NODE_OPERATIONS
from pipeline.config_file import load_config, with_overrides
from pipeline.studies import published
from pipeline.studies.studies import STUDIES
from tests import source_files


def configurations(study, overrides):
    """The demo's configuration with some overrides, as each variant changes it."""
    config = with_overrides(load_config("demo"), overrides)
    return {variant.name: with_overrides(config, variant.overrides) for variant in STUDIES[study].variants(config)}


@pytest.mark.parametrize("configured", [{}, {"data.inconsistency": {"rate": 0.5, "seed": 4}}])
def test_the_rates_of_inconsistency_are_those_in_the_names(configured):
    for name, config in configurations("inconsistency", configured).items():
        rate = int(name.split("%")[0]) / 100
        inconsistency = config.data.inconsistency
        assert (inconsistency.rate if inconsistency else 0) == rate, name
        # Which rows and whose text stay the configuration's.
        assert not rate or not configured or inconsistency.seed == 4


@pytest.mark.parametrize("configured", [False, True])
def test_bm_nas_is_with_the_mitigation_and_without(configured):
    configs = configurations("methods", {"mitigation.in_bm_nas": configured})
    assert [configs[name].mitigation.in_bm_nas for name in ("BM-NAS", "BM-NAS with IMM")] == [False, True]


def test_plain_networks_are_called_what_their_papers_call_them():
    models = {name: config.model for name, config in configurations("methods", {}).items()}
    names = {"Two-stream": "two_stream", "GMU": "gmu", "CentralNet": "central_net", "MMTM": "mmtm"}
    assert {name: models.get(name) for name in names} == names
    assert models["late average"] == "late_average"


def test_one_modality_has_all_parts_too():
    configs = configurations("components", {})
    for modality in ("text", "image"):
        own = {name.removeprefix(f"{modality}: "): config for name, config in configs.items() if modality in name}
        assert len(own) == 5 and set(own) <= set(configs)
        for parts, config in own.items():
            assert config.fusion.lfbc_taps == (f"{modality}_low",) * 2
            both = configs[parts]
            assert (config.mitigation, config.final_model) == (both.mitigation, both.final_model), (modality, parts)


@pytest.mark.parametrize(
    "taps, names",
    [
        ([["text_low", "image_low"], ["text_high", "image_high"]], ["text alone", "image alone"]),
        ([["image_low", "text_low"], ["image_high", "text_high"]], ["image alone", "text alone"]),
        ([["text_low", "text_high"], ["text_low", "text_high"]], ["text alone", "text_high alone"]),
    ],
)
def test_what_a_modality_alone_is_called_follows_from_what_is_read(taps, names):
    config = with_overrides(load_config("demo"), dict(zip(("fusion.lfbc_taps", "fusion.hfbc_taps"), taps, strict=True)))
    assert [variant.name for variant in STUDIES["methods"].variants(config)][: len(names)] == names


def test_published_numbers_are_in_the_page_that_is_cited():
    page = (source_files.ROOT / "docs" / "method.md").read_text(encoding="utf-8")
    section = page.split("## 8. Numbers")[1].split("\n## ")[0]
    values = [value for known in (published.HF_MNAS, *published.COSTS.values()) for value in known.values()]
    numbers = set(re.findall(r"\d+\.\d+", " ".join(values)))
    assert len(numbers) == 10 and numbers <= set(re.findall(r"\d+\.\d+", section))


@pytest.mark.parametrize(
    "preset, name",
    [
        ("mmimdb", "MM-IMDB"),
        ("mmimdb_hdf5_quick", "MM-IMDB"),
        ("harm_p_3", "HARM_P, 3 classes"),
        ("harm_p_2", "HARM_P, 2 classes"),
        ("harm_c_3_quick", "HARM_C, 3 classes"),
        ("harm_c_2", "HARM_C, 2 classes"),
        ("ntu", "NTU RGB+D"),
        ("egogesture", "EgoGesture"),
        ("demo", None),
        ("demo_paper", None),
    ],
)
def test_a_configuration_of_the_papers_data_is_known_as_such(preset, name):
    assert published.data_of_the_paper(load_config(preset)) == name
    assert name is None or name in published.HF_MNAS


def _parts(attention, correlation, sequence_encoder):
    values = (attention, correlation, sequence_encoder)
    return dict(
        zip(("mitigation.attention", "mitigation.correlation", "final_model.sequence_encoder"), values, strict=True)
    )


#: What rows of the studies change in the demo's configuration, by hand.
SWITCHED = {
    ("components", "base"): _parts(False, False, False),
    ("components", "+ MHA"): _parts(True, False, False),
    ("components", "+ DCCA"): _parts(False, True, False),
    ("components", "+ MHA + DCCA"): _parts(True, True, False),
    ("components", "+ MHA + DCCA + Bi-LSTM"): _parts(True, True, True),
    ("operations", "without skip"): {"space.edge_operations": ("none", *EDGE_OPERATIONS[2:])},
    ("operations", "without mamba_fusion"): {"space.node_operations": NODE_OPERATIONS[:-1]},
    ("inconsistency", "30%, HF-MNAS without IMM"): _parts(False, False, False),
    ("inconsistency", "70%, HF-MNAS with IMM"): _parts(True, True, False),
    ("inconsistency", "0%, BM-NAS without IMM"): {"model": "bm_nas", "mitigation.in_bm_nas": False},
    ("inconsistency", "70%, BM-NAS with IMM"): {"model": "bm_nas", "mitigation.in_bm_nas": True},
    ("taps", "high / low"): {
        "fusion.lfbc_taps": ("text_high", "image_high"),
        "fusion.hfbc_taps": ("text_low", "image_low"),
    },
    ("top_k", "1 nodes kept"): {"space.kept_nodes": 1, "space.kept_edges": 2},
    ("top_k", "5 edges a node"): {"space.kept_nodes": 3, "space.kept_edges": 5},
    ("stacking", "3 cells a branch"): {"final_model.num_cells": 3},
    ("heads", "8 heads"): {"fusion.num_heads": 8},
    ("batch", "64 rows a batch"): {"search.batch_size": 64, "training.batch_size": 64},
    ("dropout", "dropout 0.5"): {"fusion.dropout": 0.5},
    ("search", "node inputs: shared"): {"space.node_inputs": "shared"},
    ("search", "strategy: bilevel"): {"search.strategy": "bilevel"},
    ("search", "strategy: race, 4 networks vote"): {"search.strategy": "race", "final_model.ensemble": 4},
    ("search", "0 folds in place of 5"): {"pretraining.folds": 0},
}


@pytest.mark.parametrize("study, row", SWITCHED)
def test_a_row_switches_what_its_name_says(study, row):
    config = configurations(study, {})[row]
    assert {key: operator.attrgetter(key)(config) for key in SWITCHED[study, row]} == SWITCHED[study, row]


@pytest.mark.parametrize("study", sorted(set(STUDIES) - {"methods", "cost", "inconsistency"}))
def test_a_study_of_hf_mnas_is_one_whatever_model_the_configuration_has(study):
    assert {config.model for config in configurations(study, {"model": "gmu"}).values()} == {"hf_mnas"}
