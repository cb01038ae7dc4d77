"""The page on a summary made by hand: what it shows, and what it must not let through."""

from __future__ import annotations

import base64
import html
import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import tensorflow as tf

from components.run_report.page import render_page
from hfmnas_keras.genotype.bm_genotype import BMGenotype
from hfmnas_keras.genotype.load_genotype import genotype_from_json

EVIL = "<script>alert(1)</script>"
# A JPEG of one pixel.
PIXEL = base64.b64encode(tf.io.encode_jpeg(np.zeros((1, 1, 3), "uint8")).numpy()).decode()
CLASSES = ["birds", "boats & <b>ships</b>", "trees"]


def metrics(f1_m, f1_w, accuracy):
    return {"f1_m": f1_m, "f1_w": f1_w, "accuracy": accuracy}


def doubt_record(aurc, excess_aurc, quarters):
    return {"aurc": aurc, "excess_aurc": excess_aurc, "error_by_quarter": list(quarters), "risk": [0.1, 0.2308]}


def of_class(f1, precision, recall, support):
    return {"f1": f1, "precision": precision, "recall": recall, "support": float(support), "predicted": 9.0}


def genotype_content():
    labels = {}
    for cell in ("lfbc", "hfbc"):
        labels[f"{cell}/node_0/edge_0"] = "sep_conv_3x3"
        labels[f"{cell}/node_0/edge_1"] = "linear_elu"
        labels[f"{cell}/node_0/fusion"] = "squeeze_excitation"
    return {"version": 1, "num_nodes": 1, "cells": labels, "kept": {"lfbc": [0], "hfbc": [0]}}


def search_record(epoch):
    return {
        "epoch": epoch,
        "train_loss": 2.0 / epoch,
        "dev_loss": 2.2 / epoch,
        "dev_macro_f1": 0.2 * epoch,
        "discretised_dev_loss": 2.4 if epoch == 2 else None,
        "discretised_dev_macro_f1": 0.15 if epoch == 2 else None,
        "gamma_entropy": 1.0 - 0.1 * epoch,
        "beta_entropy": 0.9,
        "none_share": 0.1,
    }


def training_record(epoch):
    return {"epoch": epoch, "loss": 1.5 / epoch, "dev_loss": 1.7 / epoch, "dev_macro_f1": 0.3 * epoch}


def modality(**changes):
    return {
        "train_macro_f1": 0.912,
        "dev_macro_f1": 0.611,
        "cross_fitted_macro_f1": 0.587,
        "epochs": 12,
        "folds": 5,
        "sees_labels": True,
        "warning": None,
        **changes,
    }


def make_summary():
    """A run that was blessed and pushed, as RunReport puts it together."""
    of_classes = (of_class(0.811, 0.801, 0.821, 17), of_class(0.0, 0.0, 0.0, 3), of_class(0.499, 0.998, 0.333, 6))
    by_class = dict(zip(CLASSES, of_classes, strict=True))
    uniform = {"gamma": [[0.1] * 10] * 2, "beta": [[1 / 9] * 9]}
    return {
        "version": 1,
        "made": {"name": f"posters {EVIL}", "at": "2026-02-03T04:05:06+00:00", "package": "0.1.0", "commit": "abc123"},
        "configuration": {"name": f"posters {EVIL}", "search": {"epochs": 7}},
        "ingest": {
            "source": "manifest",
            "multi_label": False,
            "classes": CLASSES,
            "rows": {"train": 120, "dev": 31, "test": 26},
            "rows_by_class": {
                split: dict(zip(CLASSES, counts, strict=True))
                for split, counts in (("train", (71, 19, 30)), ("dev", (16, 5, 10)), ("test", (17, 3, 6)))
            },
            "published_rows": {"train": 121, "dev": 31, "test": 26},
            "observed": {f"text in train and test {EVIL}": 41},
            "skipped": {
                "picture cannot be decoded": {
                    "count": 2,
                    "ids": ["row 7", EVIL],
                    "messages": [f"line {number} (id {name!r}): broken" for number, name in ((7, "row 7"), (9, EVIL))],
                }
            },
            "texts": {
                "count": 177,
                "covered": {"1": {"train": 1.0, "dev": 0.912, "test": 0.897}},
                "wordless": {"train": 3, "dev": 0, "test": 1},
            },
            "inconsistency": None,
            "warnings": [f"The class {EVIL} is rare."],
            "attribution": "Pictures by A & B",
        },
        "backbones": {
            "modalities": {
                "text": modality(warning="The text head knows its rows by heart."),
                "image": modality(folds=0, cross_fitted_macro_f1=None, sees_labels=False),
            }
        },
        "separation": {"bar": 0.65, "areas": {"text": 0.812}},
        "search": {
            "cost": {
                "weight_steps": 480,
                "architecture_steps": 121,
                "seconds": 93.4,
                "peak_memory_bytes": 1_840_000_000,
            },
            "verdict": "decided",
            "settings": {"seed": 3},
            "warnings": [],
            "travel": {"possible": 3.0, "largest": 1.234, "architecture_learning_rate": 0.02},
            "history": [search_record(1), search_record(2)],
            "probabilities": {f"{cell}/{kind}": rows for cell in ("lfbc", "hfbc") for kind, rows in uniform.items()},
            "candidates": [],
        },
        "genotype": genotype_content(),
        "tuning": None,
        "training": {
            "model": "hf_mnas",
            "settings": {"seed": 5},
            "tuned": None,
            "epochs": 14,
            "dev_macro_f1": 0.702,
            "dev_average_precision": 0.733,
            "parameters": 1_234_567,
            "flops": 345_678_901,
            "fusion": {"parameters": 45_678, "flops": 1_234_500},
            "members": [],
            "history": {"fit": [training_record(1), training_record(2)], "retrain": [{"epoch": 1, "loss": 1.1}]},
        },
        "evaluation": {
            "class_names": CLASSES,
            "multi_label": False,
            "threshold": 0.5,
            "examples": 26,
            "overall": {
                "probabilities": metrics(0.7321, 0.7541, 0.7692),
                "text_belief": metrics(0.6111, 0.6222, 0.6333),
                "image_belief": metrics(0.4444, 0.4555, 0.4666),
            },
            "baseline": None,
            "by_class": dict.fromkeys(("probabilities", "text_belief", "image_belief"), by_class),
            "by_slice": {},
            "confusion": {"probabilities": [[14, 0, 3], [2, 0, 1], [4, 0, 2]]},
            "risk_coverage": {
                "error_rate": 0.2308,
                "coverage": [0.5, 1.0],
                "by": {
                    "conflict": doubt_record(0.1611, 0.1222, (0.0512, 0.1513, 0.2514, 0.4515)),
                    "uncertainty": doubt_record(0.2011, 0.1622, (0.2, 0.2, 0.2, 0.3)),
                    "probability": doubt_record(0.0911, 0.0522, (0.0, 0.1, 0.2, 0.6)),
                },
            },
            "references": {
                "above_reference": True,
                "modalities": ["text", "image"],
                "macro_f1": {"text": 0.5111, "image": 0.2222, "joined": 0.5333, "average": 0.5444},
                "dev_macro_f1": {"text": 0.5011, "image": 0.2122, "joined": 0.5233, "average": 0.5344},
            },
            "gate": {
                "blessed": True,
                "reasons": [],
                "min_f1_m": 0.6,
                "change_tolerance": None,
                "compared": False,
                "baseline_left_out": None,
            },
        },
        "serving_check": {"blessed": True, "reasons": []},
        "pushed": {"pushed": True, "destination": "models/manifest/1"},
        "lineage": {"model_run": {"id": 4711, "type": "ModelRun", "uri": f"runs/{EVIL}/model_run"}},
    }


@pytest.fixture(scope="module")
def page():
    return render(make_summary())


def render(summary):
    return render_page(summary, genotype_from_json(json.dumps(summary["genotype"])), make_samples())


def sample(**changes):
    return {
        "id": f"row {EVIL}",
        "labels": ["birds"],
        "given": [CLASSES[1]],
        "score": 0.987,
        "conflict": 0.312,
        "alone": {"text": "birds", "image": CLASSES[1]},
        "text": f"A long text {EVIL} " + "w" * 300,
        "picture": PIXEL,
        **changes,
    }


def make_samples():
    """What the Evaluator wrote beside."""
    bins = [{"count": 5, "said": 0.45, "true": 0.4}, {"count": 21, "said": 0.91, "true": 0.87}]
    right = sample(labels=["trees"], given=["trees"], conflict=None, alone={})
    del right["picture"], right["text"]
    doubtful = sample(suggested=CLASSES[1], label_doubt=1.5, mismatch=0.456)
    return {
        "rows": 26,
        "calibration": {"bins": bins, "error": 0.0419},
        "wrong": [sample()],
        "right": [right],
        "doubtful": [doubtful],
    }


def table_rows(page):
    """The cells of every table row, without markup."""
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    return [
        [re.sub(r"<[^>]*>", "", cell).strip() for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL)]
        for row in rows
    ]


def figure_words(page):
    """The text of each figure but that of calibration; fails where a figure is not well-formed SVG."""
    figures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    words = [" ".join(ElementTree.fromstring(figure).itertext()) for figure in figures]
    return [one for one in words if "share that is true" not in one]


def test_scores_and_counts_stand_in_the_tables(page):
    rows = table_rows(page)
    assert ["fused", "0.732", "0.754", "0.769"] in rows
    assert ["text head", "0.611", "0.622", "0.633"] in rows
    assert ["image head", "0.444", "0.456", "0.467"] in rows
    # .7321 - .4444 and .7321 - .6111
    assert ["text", "image head", "0.444", "0.288"] in rows
    assert ["image", "text head", "0.611", "0.121"] in rows
    assert ["text", "0.501", "0.511"] in rows
    assert ["each, averaged", "0.534", "0.544"] in rows
    assert ["birds", "0.811", "0.801", "0.821", "17"] in rows
    assert ["text", "0.912", "0.611", "0.587", "12", "5", "yes", "0.812"] in rows
    assert ["birds", "71", "16", "17"] in rows
    assert ["conflict", "0.161", "0.122", "0.051", "0.151", "0.251", "0.452"] in rows
    assert ["uncertainty", "0.201", "0.162", "0.200", "0.200", "0.200", "0.300"] in rows
    assert ["1 - probability", "0.091", "0.052", "0.000", "0.100", "0.200", "0.600"] in rows
    assert ["rows", "120", "31", "26"] in rows
    assert ["rows in Table I of the paper", "121", "31", "26"] in rows
    assert ["text in train and test &lt;script&gt;alert(1)&lt;/script&gt;", "41"] in rows
    assert ["model_run", "4711", "ModelRun"] in [row[:3] for row in rows]
    assert not [row for row in rows if row[0] == "last blessed model"]


def test_the_head_names_the_run_its_time_seeds_and_code(page):
    shown = " ".join(re.sub(r"<[^>]*>", "", page).split())
    assert "HF-MNAS on manifest, 2026-02-03 04:05 UTC; seed 5, of the search 3; hfmnas 0.1.0, commit abc123." in shown
    assert "<title>posters &lt;script&gt;alert(1)&lt;/script&gt;: manifest, 2026-02-03</title>" in page
    assert "search:\n  epochs: 7" in page and '<meta name="viewport" content="width=device-width' in page


def test_rows_confused_pairs_and_advice_are_shown(page):
    rows = table_rows(page)
    # The counts off the diagonal, of 17, 3 and 6 rows.
    pairs = rows.index(["true class", "taken for", "rows", "of its rows"])
    ships = "boats &amp; &lt;b&gt;ships&lt;/b&gt;"
    assert rows[pairs + 1 : pairs + 4] == [
        ["trees", "birds", "4", "67 %"],
        ["birds", "trees", "3", "18 %"],
        [ships, "birds", "2", "67 %"],
    ]
    shown = " ".join(re.sub(r"<[^>]*>", "", page).split())
    assert "A long text &lt;script&gt;alert(1)&lt;/script&gt; www" in shown
    assert f"birds; given {ships} (0.99)" in shown and f"text alone: birds. image alone: {ships}." in shown
    assert f"Conflict 0.31. Both together say {ships}. Mismatch 0.46. Row row" in shown
    assert page.count(f'src="data:image/jpeg;base64,{PIXEL}"') == 2
    assert "they are 0.042 away" in shown and "the first 26 rows" in shown
    assert f"The class {ships} has the lowest F1, 0.00, and 19 rows to train on" in shown
    assert "Of the class trees, 67% are taken for birds" in shown
    assert "The text network is trained on these rows alone" in shown


def test_left_out_rows_have_their_reasons_and_words_their_coverage(page):
    rows = table_rows(page)
    assert ["1", "100.0 %", "91.2 %", "89.7 %"] in rows
    assert ["texts without a word", "3", "0", "1"] in rows
    (left_out,) = [row for row in rows if row[0] == "picture cannot be decoded"]
    assert "line 7 (id &#39;row 7&#39;): broken" in left_out[2]


def test_replaced_texts_have_tables_of_their_own(page):
    assert "Replaced texts" not in page
    by_class = {
        name: {"rows": rows, "changed": changed, "texts_before": rows, "texts_after": after}
        for name, rows, changed, after in zip(CLASSES, (71, 19, 30), (21, 0, 9), (50, 49, 21), strict=True)
    }
    of_split = {
        "rows": 120,
        "candidates": 101,
        "without_donor": 1,
        "eligible": 100,
        "changed": 30,
        "asked": 0.3,
        "reached": 0.3,
        "by_class": by_class,
    }
    summary = make_summary()
    summary["ingest"]["inconsistency"] = {
        "rate": 0.3,
        "seed": 7,
        "policy": "other_label",
        "splits": {"train": of_split, "dev": {**of_split, "reached": None}, "test": of_split},
    }
    rows = table_rows(render(summary))
    assert ["train", "120", "100", "1", "30", "0.300", "0.300"] in rows
    assert ["dev", "120", "100", "1", "30", "0.300", "–"] in rows
    assert ["birds", *["71", "21", "71", "50"] * 3] in rows


def test_the_text_tells_the_run(page):
    shown = " ".join(re.sub(r"<[^>]*>", "", page).split())
    assert "Macro F1 on the test split, 26 examples: 0.732. Gate: blessed. Serving check: passed." in shown
    assert "Serving from models/manifest/1." in shown
    assert "480 weight steps and 121 architecture steps in 93 s" in shown
    assert "1.8 GB" in shown
    assert "could travel 3.00; the farthest travelled 1.23" in shown
    assert "14 epochs, chosen at a dev average precision of 0.733 (macro F1 0.702)" in shown
    assert "1,234,567 parameters, 345.68 MFLOPs an example, backbones included." in shown
    assert "from the taps to the logits: 45,678 parameters, 1.23 MFLOPs an example." in shown
    assert "The text head knows its rows by heart." in shown
    assert "text: boosted trees tell the features of train rows" in shown and "of 0.812, above 0.65." in shown
    assert "The choices are decided." in shown
    assert "Of all predictions, 0.231 are wrong." in shown


def test_ids_of_rows_warnings_and_places_are_text(page):
    assert "(id &#39;&lt;script&gt;alert(1)&lt;/script&gt;&#39;): broken" in page
    assert "The class &lt;script&gt;alert(1)&lt;/script&gt; is rare." in page
    assert "runs/&lt;script&gt;alert(1)&lt;/script&gt;/model_run" in page
    assert "<script" not in page


def test_figures_are_svg_inside_the_page(page):
    words = figure_words(page)
    # Classes, confusion, risk and coverage, genotype, search, probabilities, final training
    assert len(words) == 7
    assert page.count("<svg") == 8 and "<?xml" not in page
    assert page.count("share that is true") == 1
    assert "squeeze_excitation" in words[3] and "Task loss" in words[4]
    for curve in ("conflict", "uncertainty", "1 - probability", "without an order"):
        assert curve in words[2]
    assert words[4].count("dev, discretised") == 2
    # One file: nothing is loaded from anywhere.
    assert not re.search(r"<(link|script|iframe)|src=(?!.data:image/jpeg;base64,)|@import|url\((?!#)", page)


def test_a_race_is_shown_by_its_candidates():
    summary = make_summary()
    candidates = [
        {
            "number": number,
            "epochs": epochs,
            "score": 0.5 - 0.1 * number,
            "history": [{"epoch": n + 1, "dev_loss": 0.5, "dev_macro_f1": 0.6} for n in range(epochs)],
        }
        for number, epochs in enumerate((3, 3, 1))
    ]
    settings = {"strategy": "race", "race": {"score": "dev_loss"}}
    summary["search"].update(candidates=candidates, settings=settings, probabilities={}, travel={})
    page = render(summary)
    shown = " ".join(re.sub(r"<[^>]*>", "", page).split())
    assert "By race, of 3 candidates, each trained alone; the lower dev_loss wins." in shown
    assert "could travel" not in shown and "Architecture probabilities" not in shown
    words = figure_words(page)
    # One picture fewer than of a bilevel search. Candidate 2 has the best score, and was left behind.
    assert len(words) == 6
    assert "Dev macro F1" in words[4] and "candidate 1" in words[4]


def test_what_each_network_of_a_vote_adds_is_shown():
    summary = make_summary()
    told = {"epochs": 9, "dev_macro_f1": 0.6543, "dev_average_precision": 0.7, "seconds": 3.0}
    summary["training"]["members"] = [
        {"votes": 7, "dev_loss": 0.51234, "dev_loss_without": 0.55555, **told},
        {"votes": 0, "dev_loss": 0.61234, "dev_loss_without": None, **told},
    ]
    shown = " ".join(re.sub(r"<[^>]*>", " ", render(summary)).split())
    assert "2 fusion networks were fitted" in shown
    assert "1 7 9 0.654 0.5123 0.5555 2 0 9 0.654 0.6123 –" in shown


def test_a_search_of_bm_nas_is_shown():
    steps = [{"inputs": [0, 1], "operation": "linear_glu"}, {"inputs": [1, 2], "operation": "concat_fc"}]
    cells = [{"features": ["text_low", "$\\frac$"], "steps": steps}, {"features": ["text_low", EVIL], "steps": steps}]
    genotype = BMGenotype(cells)
    summary = make_summary()
    summary["genotype"] = json.loads(genotype.to_json())
    summary["search"]["probabilities"] = {
        label: [[1 / len(table.columns)] * len(table.columns)] * len(table.rows)
        for label, table in genotype.probability_tables().items()
    }
    page = render(summary)
    words = figure_words(page)
    assert "<script" not in page
    assert words[3].count("linear_glu") == 2 and "step 1" in words[3]
    for title in ("cell 1: softmax of gamma", "cell 0: softmax of step_1/gamma", "scaled_dot_attention"):
        assert title in words[5], title
    assert "step 1 = concat_fc(frac, step 0)" in page
    assert 'cell_1_3["step 1<br/>concat_fc"]' in html.unescape(page)


def test_the_same_run_gives_the_same_page(page):
    assert render(make_summary()) == page


def test_a_refused_run_says_why_and_unknown_numbers_are_dashes():
    summary = make_summary()
    summary["evaluation"]["overall"]["probabilities"] = metrics(None, None, None)
    summary["evaluation"]["risk_coverage"] = None
    summary["evaluation"]["references"] = None
    summary["evaluation"]["baseline"] = {"probabilities": metrics(0.7013, 0.7024, 0.7035)}
    summary["evaluation"]["gate"].update(
        blessed=False, reasons=["Macro F1 is not a number."], compared=True, change_tolerance=0.015
    )
    summary["serving_check"] = {"blessed": False, "reasons": [f"The answer was {EVIL}."]}
    summary["pushed"] = {"pushed": False, "destination": ""}
    summary["search"]["verdict"] = "undecided"
    summary["search"]["warnings"] = [{"verdict": "undecided", "rule": "travel", "message": f"Mostly noise {EVIL}."}]
    page = render(summary)
    for words in ("not blessed", "failed", "Not pushed.", "Macro F1 is not a number.", "Mostly noise", "0.015 worse"):
        assert words in page
    assert '<b class="no">undecided</b>' in page and "<b>undecided</b>: Mostly noise" in page
    assert "scores of doubt" not in page and "Linear references" not in page
    assert "The answer was &lt;script&gt;" in page and EVIL not in page
    rows = table_rows(page)
    assert ["fused", "–", "–", "–"] in rows
    assert ["last blessed model", "0.701", "0.702", "0.704"] in rows
    # Without folds there is no cross-fitted score.
    assert ["image", "0.912", "0.611", "–", "12", "0", "no", "–"] in rows


def test_names_of_classes_are_text():
    names = [EVIL, "1 $x_2$ {3} $\\frac$ %s", "\"'><img src=x> 鳥 & птица"]
    text = json.dumps(make_summary())
    for old, new in zip(CLASSES, names, strict=True):
        text = text.replace(json.dumps(old), json.dumps(new))
    page = render(json.loads(text))
    assert "<script" not in page and "<img src=x" not in page
    first_cells = [html.unescape(row[0]) for row in table_rows(page)]
    words = figure_words(page)
    for name, pairs in zip(names, (1, 2, 1), strict=True):
        # In the tables of scores, of data and of confused pairs; in the figures of classes and of confusion (twice) as
        # it is written.
        assert first_cells.count(name) == 2 + pairs
        assert [figure.count(name) for figure in words] == [1, 2, 0, 0, 0, 0, 0]


def test_the_trials_of_a_tuning_stand_in_a_table(page):
    assert "<h2>Tuning</h2>" not in page
    summary = make_summary()
    summary["tuning"] = [
        {"trial_id": "1", "score": 0.7119, "dropout": 0.3, "rule": EVIL},
        {"trial_id": "0", "score": 0.6432, "dropout": 0.1, "rule": "mean"},
    ]
    summary["training"]["tuned"] = {"dropout": 0.3, "rule": EVIL}
    page = render(summary)
    rows = table_rows(page)
    assert ["trial", "dropout", "rule", "dev F1-M"] in rows
    assert ["1", "0.3", "&lt;script&gt;alert(1)&lt;/script&gt;", "0.712"] in rows
    assert ["0", "0.1", "mean", "0.643"] in rows


def test_a_model_without_a_search_has_no_genotype():
    summary = make_summary()
    summary["training"]["flops"] = None
    page = render_page({**summary, "search": None, "genotype": None}, None)
    assert "1,234,567 parameters, FLOPs not counted, backbones included." in page
    assert "<h2>Genotype</h2>" not in page and "<h2>Search</h2>" not in page and "<h2>Final training</h2>" in page
    # Classes, confusion, risk and coverage, final training
    assert len(figure_words(page)) == 4


def test_labels_of_a_multi_label_set_are_not_confused():
    summary = make_summary()
    summary["evaluation"]["multi_label"] = True
    summary["evaluation"]["confusion"] = {"probabilities": [[[9, 1], [2, 14]]] * 3}
    page = render(summary)
    assert "<h2>Confusion</h2>" not in page
    assert len(figure_words(page)) == 6
    assert "Of all\n  labels, 0.231 are wrong" in page
    assert "Labels at a probability above 0.5" in page
