"""Replaced texts against the definition, row by row: who may give a text, how many are changed, and which."""

import collections
import dataclasses
import json
import pathlib

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from hypothesis import given, settings
from hypothesis import strategies as st
from tfx.types import standard_artifacts

from components.multimodal_example_gen.component import MultimodalExampleGen
from components.multimodal_example_gen.executor import Executor, ingest
from components.multimodal_example_gen.inconsistency import Inconsistency, choose_replacements
from components.multimodal_example_gen.row import SPLITS, Row
from components.multimodal_example_gen.sources.demo_source import DemoSource
from components.multimodal_example_gen.sources.harm_source import TWO_CLASSES, HarmSource
from components.multimodal_example_gen.sources.manifest_source import ManifestSource
from components.multimodal_example_gen.sources.mmimdb_hdf5_source import MmimdbHdf5Source
from components.multimodal_example_gen.sources.mmimdb_source import MmimdbSource
from components.multimodal_example_gen.sources.ntu_source import NtuSource
from tests.components.multimodal_example_gen import manifest_folder
from tests.layouts import harm_folder, mmimdb_folder, mmimdb_hdf5

RATES = (0, 0.1, 0.3, 0.5, 0.7, 1)


def may_give(policy, row, donor):
    """The definition, in its plainest form."""
    other = donor.id != row.id and donor.text.lower().split() != row.text.lower().split()
    fits = {
        "shares_label": bool(set(row.labels) & set(donor.labels)),
        "other_label": not set(row.labels) & set(donor.labels),
        "not_harmful": row.labels != ("not harmful",) and donor.labels == ("not harmful",),
    }
    return other and donor.split == row.split and fits[policy]


def check(rows, policy, rate, seed=0):
    """Holds a replacement against the definition; returns it and the changed rows by id."""
    replacement = choose_replacements(rows, Inconsistency(rate, seed), policy)
    before = {row.id: row for row in rows}
    after = replacement.rows()
    assert [row.id for row in after] == [row.id for row in rows]
    changed = {}
    for row in after:
        own = before[row.id]
        if row == own:
            continue
        changed[row.id] = row
        assert dataclasses.replace(row, text=own.text, text_donor="") == own
        assert may_give(policy, own, before[row.text_donor])
        # The original text, also where the donor's was replaced itself.
        assert row.text == before[row.text_donor].text != own.text
    for split in SPLITS:
        eligible = {
            row.id for row in rows if row.split == split and any(may_give(policy, row, donor) for donor in rows)
        }
        in_split = {row_id for row_id in changed if before[row_id].split == split}
        assert in_split <= eligible and len(in_split) == round(rate * len(eligible))
        assert {row_id for row_id in replacement.eligible if before[row_id].split == split} == eligible
    assert replacement.donors == {row_id: row.text_donor for row_id, row in changed.items()}
    return replacement, changed


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A source and its usual policy."""
    folder = tmp_path_factory.mktemp("data")
    mmimdb_folder.write_folder(folder / "mmimdb", 100)
    mmimdb_hdf5.write_file(folder / "hdf5", 50)
    harm_folder.write_folder(folder / "harm", "P", 120, size=8)
    records = manifest_folder.rows(24)
    manifest_folder.save_pictures(folder, records)
    single = manifest_folder.write_jsonl(folder, records)
    several = [{**record, "label": None, "labels": [record["label"], "pet"]} for record in records]
    return {
        "mmimdb": (MmimdbSource(str(folder / "mmimdb")), "shares_label"),
        "mmimdb_hdf5": (MmimdbHdf5Source(str(folder / "hdf5")), "shares_label"),
        "harm, three classes": (HarmSource("P", str(folder / "harm")), "not_harmful"),
        "harm, two classes": (HarmSource("P", str(folder / "harm"), classes=TWO_CLASSES), "not_harmful"),
        "manifest, one label": (ManifestSource(single), "other_label"),
        "manifest, several labels": (
            ManifestSource(manifest_folder.write_jsonl(folder, several, "several.jsonl"), multi_label=True),
            "shares_label",
        ),
        "demo": (DemoSource(), "other_label"),
    }


NAMES = ["mmimdb", "mmimdb_hdf5", "manifest, one label", "manifest, several labels", "demo"]
HARM = ["harm, three classes", "harm, two classes"]


@pytest.mark.parametrize("name", NAMES + HARM)
def test_each_source_has_its_usual_policy(sources, name):
    source, policy = sources[name]
    assert Inconsistency(0.3).policy_for(source) == policy
    rows = source.read().rows
    if name == "demo":
        rows = [row for row in rows if int(row.id.split("-")[0], 16) % 8 == 0]
    for rate in (0.3, 1):
        check(rows, policy, rate)


@pytest.mark.parametrize("name", HARM)
def test_harmful_rows_alone_are_changed_and_the_rate_is_of_them(sources, name):
    source, _ = sources[name]
    rows = source.read().rows
    replacement, changed = check(rows, "not_harmful", 0.5)
    for split, counts in replacement.report(source.classes)["splits"].items():
        harmful = sum(row.split == split and row.labels != ("not harmful",) for row in rows)
        assert counts["candidates"] == counts["eligible"] == harmful and counts["changed"] == round(harmful / 2) > 0
        by_class = counts["by_class"]
        assert by_class["not harmful"]["changed"] == 0
        gained = by_class["not harmful"]["texts_after"] - by_class["not harmful"]["texts_before"]
        assert gained == counts["changed"] == sum(of_class["changed"] for of_class in by_class.values())
    assert all(row.labels != ("not harmful",) for row in changed.values())


LABELS = st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True).map(tuple)
ROWS = st.lists(
    st.tuples(st.sampled_from(SPLITS), LABELS, st.sampled_from(["x", "X ", "y", "y  z", "Y z", "w"])), max_size=24
)


def rows_of(drawn, one_label):
    return [
        Row(id=str(number), split=split, labels=labels[:1] if one_label else labels, media={}, text=text)
        for number, (split, labels, text) in enumerate(drawn)
    ]


@settings(max_examples=60, deadline=None)
@given(drawn=ROWS, policy=st.sampled_from(["shares_label", "other_label"]), rate=st.floats(0, 1), seed=st.integers())
def test_any_rows(drawn, policy, rate, seed):
    check(rows_of(drawn, policy == "other_label"), policy, rate, seed)


@settings(max_examples=60, deadline=None)
@given(drawn=ROWS, rates=st.lists(st.floats(0, 1), min_size=2, max_size=2).map(sorted), seed=st.integers())
def test_a_higher_rate_changes_all_that_a_lower_one_does_and_with_the_same_texts(drawn, rates, seed):
    rows = rows_of(drawn, one_label=False)
    less, more = (choose_replacements(rows, Inconsistency(rate, seed), "shares_label").donors for rate in rates)
    assert less.items() <= more.items()


@settings(max_examples=30, deadline=None)
@given(drawn=ROWS, order=st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(drawn, order):
    rows = rows_of(drawn, one_label=False)
    shuffled = list(rows)
    order.shuffle(shuffled)
    one, other = (choose_replacements(some, Inconsistency(0.5), "shares_label") for some in (rows, shuffled))
    assert one.donors == other.donors and one.eligible == other.eligible


def test_the_seed_draws_rows_and_donors():
    rows = [Row(str(n), "train", ("a",), {}, text=f"text {n}") for n in range(200)]
    first, second = (choose_replacements(rows, Inconsistency(0.5, seed), "shares_label").donors for seed in (0, 1))
    assert first.keys() != second.keys() and len(first) == len(second) == 100
    assert sum(first[row_id] != second[row_id] for row_id in first.keys() & second.keys()) > 20
    # Donors are spread: nobody's text becomes everybody's.
    assert max(collections.Counter(first.values()).values()) < 8


def test_donors_are_found_fast_among_equal_texts():
    rows = [Row(str(n), "train", ("a",), {}, text="same" if n else "other") for n in range(20_000)]
    replacement = choose_replacements(rows, Inconsistency(1), "shares_label")
    assert {donor for row_id, donor in replacement.donors.items() if row_id != "0"} == {"0"}
    assert len(replacement.donors) == 20_000
    alone = choose_replacements(rows[1:], Inconsistency(1), "shares_label")
    assert not alone.eligible and len(alone.candidates) == 19_999


class TestReport:
    ROWS = [
        Row("1", "train", ("a",), {}, text="one"),
        Row("2", "train", ("b",), {}, text="two"),
        Row("3", "train", ("b",), {}, text="three"),
        Row("4", "dev", ("a",), {}, text="four"),
        Row("5", "dev", ("a",), {}, text="five"),
        Row("6", "test", ("a", "b"), {}, text="six"),
        Row("7", "test", ("b",), {}, text="seven"),
    ]

    def test_counts_by_hand(self):
        replacement = choose_replacements(self.ROWS, Inconsistency(1), "shares_label")
        report = replacement.report(("a", "b", "c"))
        assert {key: report[key] for key in ("rate", "seed", "policy")} == {
            "rate": 1,
            "seed": 0,
            "policy": "shares_label",
        }
        train, dev, test = (report["splits"][split] for split in SPLITS)
        assert (train["rows"], train["eligible"], train["without_donor"], train["changed"]) == (3, 2, 1, 2)
        assert (train["asked"], train["reached"]) == (1, 1.0)
        assert train["by_class"]["a"] == {"rows": 1, "changed": 0, "texts_before": 1, "texts_after": 1}
        assert train["by_class"]["b"] == {"rows": 2, "changed": 2, "texts_before": 2, "texts_after": 2}
        assert train["by_class"]["c"] == {"rows": 0, "changed": 0, "texts_before": 0, "texts_after": 0}
        assert replacement.changed()["dev"] == {"4": "5", "5": "4"} and dev["changed"] == 2
        # 6 (a, b) and 7 (b) swap: the texts of a are now that of 7.
        assert test["by_class"]["a"] == {"rows": 1, "changed": 1, "texts_before": 1, "texts_after": 1}

    def test_rows_that_are_left_out_afterwards_are_not_counted(self):
        replacement = choose_replacements(self.ROWS, Inconsistency(1), "shares_label")
        report = replacement.report(("a", "b"), left_out={"2"})["splits"]["train"]
        assert (report["rows"], report["eligible"], report["changed"], report["reached"]) == (2, 1, 1, 1.0)
        assert replacement.changed({"2"})["train"] == {"3": "2"}

    def test_a_split_without_donors_reaches_nothing(self):
        replacement = choose_replacements(self.ROWS[:3], Inconsistency(0.5), "other_label")
        report = replacement.report(("a", "b"))["splits"]["dev"]
        assert report["eligible"] == report["changed"] == 0 and report["reached"] is None


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"rate": 1.5}, "from 0 to 1"),
        ({"rate": -0.1}, "from 0 to 1"),
        ({"rate": float("nan")}, "from 0 to 1"),
        ({"rate": True}, "from 0 to 1"),
        ({"rate": "0.3"}, "from 0 to 1"),
        ({"rate": 0.3, "seed": 1.0}, "integer"),
        ({"rate": 0.3, "policy": "not_harmful"}, "one of.*shares_label.*several labels.*'not_harmful'"),
        ({"rate": 0.3, "policy": "other_label"}, "one of.*shares_label"),
    ],
)
def test_wrong_settings_show_when_the_pipeline_is_made(tmp_path, setting, message):
    with pytest.raises(ValueError, match=message):
        MultimodalExampleGen("mmimdb", {"data_root": str(tmp_path)}, inconsistency=setting)


def test_a_source_without_texts_is_refused(tmp_path):
    with pytest.raises(ValueError, match="replaces texts.*'ntu'.*'skeleton', 'video'"):
        Inconsistency(0.3).policy_for(NtuSource(str(tmp_path)))


def test_the_settings_are_part_of_the_cache_key(sources):
    config = {"manifest": sources["manifest, one label"][0].manifest}
    settings = (None, {"rate": 0.3}, {"rate": 0.5}, {"rate": 0.3, "seed": 1}, {"rate": 0.3, "policy": "shares_label"})
    keys = {
        json.dumps(MultimodalExampleGen("manifest", config, inconsistency=one).exec_properties, sort_keys=True)
        for one in settings
    }
    assert len(keys) == len(settings)


@pytest.fixture(scope="module")
def ingested(sources, tmp_path_factory):
    """The examples of HARM-P, one harmful meme's picture cut short; by the executor, as the pipeline runs it."""
    source, _ = sources["harm, two classes"]
    (broken, *_) = choose_replacements(source.read().rows, Inconsistency(0.5, 7), "not_harmful").changed()["train"]
    picture = pathlib.Path(source.data_root) / "images" / f"{broken}.png"
    whole = picture.read_bytes()
    picture.write_bytes(whole[:-30])
    examples = standard_artifacts.Examples()
    examples.uri = str(tmp_path_factory.mktemp("examples"))
    config = {"subset": "P", "data_root": source.data_root, "classes": list(TWO_CLASSES)}
    Executor().Do(
        {},
        {"examples": [examples]},
        {
            "source": "harm",
            "source_config": json.dumps(config),
            "inconsistency": json.dumps({"rate": 0.5, "seed": 7}),
        },
    )
    yield source, broken, pathlib.Path(examples.uri)
    picture.write_bytes(whole)


def test_examples_hold_the_other_text_and_say_whose_it_is(ingested):
    source, broken, folder = ingested
    rows = {row.id: row for row in source.read().rows}
    found = {split: {} for split in SPLITS}
    for split, examples in manifest_folder.read_examples(folder).items():
        for example in examples:
            row = rows[manifest_folder.value_of(example, "id").decode()]
            text = manifest_folder.value_of(example, "text").decode()
            assert manifest_folder.value_of(example, "labels").decode() == row.labels[0] and row.split == split
            if "text_donor" in example.features.feature:
                donor = manifest_folder.value_of(example, "text_donor").decode()
                assert may_give("not_harmful", row, rows[donor]) and text == rows[donor].text
                found[split][row.id] = donor
            else:
                assert text == row.text
    record = json.loads((folder / "inconsistent_pairs.json").read_text())
    assert record == {"version": 1, "rate": 0.5, "seed": 7, "policy": "not_harmful", "changed": found}
    assert broken not in found["train"]
    report = json.loads((folder / "ingest.json").read_text())
    counts = report["inconsistency"]["splits"]
    assert {split: len(changed) for split, changed in found.items()} == {
        split: of_split["changed"] for split, of_split in counts.items()
    }
    assert {split: of_split["rows"] for split, of_split in counts.items()} == report["rows"]
    assert any("were replaced by others' on purpose" in warning for warning in report["warnings"])
    assert {path.name for path in folder.iterdir() if path.is_file()} == {"inconsistent_pairs.json", "ingest.json"}


def test_nothing_is_changed_unless_asked(sources, tmp_path):
    source, _ = sources["manifest, one label"]
    report, by_split = manifest_folder.run_ingest(source, tmp_path)
    assert report["inconsistency"] is None and not (tmp_path / "inconsistent_pairs.json").exists()
    assert not any("text_donor" in one.features.feature for examples in by_split.values() for one in examples)


@pytest.mark.long
def test_several_worker_processes_make_the_same(sources, tmp_path):
    def run(folder, *options):
        def pipeline():
            return beam.Pipeline(options=PipelineOptions(list(options)))

        report = ingest(sources["mmimdb"][0], str(folder), pipeline, Inconsistency(0.3))
        return report, manifest_folder.read_examples(folder), (folder / "inconsistent_pairs.json").read_text()

    one = run(tmp_path / "one")
    assert run(tmp_path / "two", "--direct_running_mode=multi_processing", "--direct_num_workers=2") == one
    assert one[0]["inconsistency"]["splits"]["train"]["changed"] > 0
