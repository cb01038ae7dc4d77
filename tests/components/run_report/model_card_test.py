"""The model card on a summary made by hand: the fields of Google's schema, and what a person reads."""

from components.run_report.model_card import card_text, model_card
from tests.components.run_report.page_test import CLASSES, EVIL, make_summary

SAID = {"overview": "Sorts posters.", "owner": "the team", "licence": "Apache 2.0", "intended_use": "Posters alone."}


def make_card(said=None):
    summary = make_summary()
    summary["ingest"]["fingerprint"] = "content:abc"
    return model_card(summary, SAID if said is None else said, "posters", "1")


def test_the_card_has_what_was_said_and_what_was_measured():
    card = make_card()
    details = card["model_details"]
    assert (details["name"], details["version"]["name"], details["overview"]) == ("posters", "1", "Sorts posters.")
    assert details["owners"] == [{"name": "the team"}]
    assert details["licenses"] == [{"custom_text": "Apache 2.0"}]
    assert card["considerations"]["use_cases"] == [{"description": "Posters alone."}]
    assert card["considerations"]["limitations"] == [{"description": f"The class {EVIL} is rare."}]
    measured = card["quantitative_analysis"]["performance_metrics"]
    metrics = {(each["type"], each["slice"]): each["value"] for each in measured}
    assert metrics["f1_m", "test"] == "0.7321"
    assert metrics["f1", f"test, class {CLASSES[0]}"] == "0.811"
    assert metrics["f1_m of the text_belief alone", "test"] == "0.6111"
    (data,) = card["model_parameters"]["data"]
    for words in ("train 120", "trees", "content:abc", "Pictures by A & B"):
        assert words in data["description"]


def test_what_nobody_said_is_left_out():
    details = make_card({})["model_details"]
    assert {"owners", "licenses", "overview"} & set(details) == set()
    assert "use_cases" not in make_card({})["considerations"]


def test_a_person_reads_the_same_and_no_markup_of_strangers():
    text = card_text(make_card())
    assert text.startswith("# posters, version 1\n\nSorts posters.\n")
    assert "| f1_m | test | 0.7321 |" in text
    assert "## Intended use\n\n- Posters alone.\n" in text
    assert "<script>" not in text and "&lt;script&gt;" in text
