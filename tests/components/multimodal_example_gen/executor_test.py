import dataclasses
import json
import pathlib

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions
from PIL import Image
from tfx.types import artifact_utils, standard_artifacts

from components.multimodal_example_gen.executor import Executor, _source_config, ingest
from components.multimodal_example_gen.row import Row, SkipRowError
from components.multimodal_example_gen.rows_to_examples import make_example
from components.multimodal_example_gen.sources.manifest_source import ManifestSource
from components.multimodal_example_gen.sources.registry import make_source, source_fingerprint
from components.multimodal_example_gen.sources.source import Source
from tests.components.multimodal_example_gen import manifest_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve good rows, and one of each kind of bad one."""
    folder = tmp_path_factory.mktemp("mixed")
    good = manifest_folder.rows(12)
    manifest_folder.save_pictures(folder, good)
    bad = {name: {**good[0], "id": name, "image": f"images/{name}.png"} for name in ("absent", "cut", "wide", "moving")}
    images = folder / "images"
    (images / "cut.png").write_bytes((images / "row-0.png").read_bytes()[:-30])
    Image.new("RGB", (200, 100)).save(images / "wide.png")
    Image.new("RGB", (8, 8)).save(
        images / "moving.png", format="GIF", save_all=True, append_images=[Image.new("RGB", (8, 8), "red")]
    )
    many = [{**good[0], "id": f"silent-{index:02}", "label": ""} for index in range(25)]
    manifest_folder.write_jsonl(
        folder, [*good, *bad.values(), *many, "no JSON", {**good[0], "note": "x", "id": "noted"}]
    )
    manifest_folder.write_jsonl(folder, good, "good.jsonl")
    return folder


@pytest.fixture(scope="module")
def lenient(folder, tmp_path_factory):
    """Report and examples of that folder, bad rows left out."""
    source = ManifestSource(str(folder / "manifest.jsonl"), strict=False, max_image_pixels=10_000)
    return manifest_folder.run_ingest(source, tmp_path_factory.mktemp("lenient"))


def test_report(lenient):
    report, _ = lenient
    assert report["version"] == 1 and report["source"] == "manifest" and report["multi_label"] is False
    assert report["classes"] == ["cat", "dog"]
    assert report["rows"] == {"train": 9, "dev": 2, "test": 2}
    assert report["rows_by_class"] == {
        "train": {"cat": 5, "dog": 4},
        "dev": {"cat": 1, "dog": 1},
        "test": {"cat": 1, "dog": 1},
    }
    counts = {reason: entry["count"] for reason, entry in report["skipped"].items()}
    assert counts == {
        "missing_image": 1,
        "unreadable_image": 1,
        "image_too_large": 1,
        "animated_image": 1,
        "no_label": 25,
        "broken_row": 1,
    }
    assert report["skipped"]["missing_image"]["ids"] == ["absent"]
    assert report["skipped"]["broken_row"]["ids"] == ["line 42"]
    assert report["skipped"]["no_label"]["ids"] == [f"silent-{index:02}" for index in range(20)]
    assert report["ignored_columns"] == {"note": 1}
    # Every text has five words: "a small cat number 0".
    texts = report["texts"]
    assert {name: texts[name] for name in ("count", "words", "median", "95th", "max")} == {
        "count": 13,
        "words": 65,
        "median": 5,
        "95th": 5,
        "max": 5,
    }
    assert texts["covered"]["1"]["train"] == 1.0 and texts["wordless"] == {"train": 0, "dev": 0, "test": 0}
    assert report["skipped"]["missing_image"]["messages"][0].startswith("line ")
    json.dumps(report)


def test_examples(lenient, folder):
    _, by_split = lenient
    good = {row["id"]: row for row in manifest_folder.rows(12)}
    assert [len(by_split[split]) for split in ("train", "dev", "test")] == [9, 2, 2]
    for split, examples in by_split.items():
        for example in examples:
            row_id = manifest_folder.value_of(example, "id").decode()
            if row_id == "noted":
                continue
            assert set(example.features.feature) == {"id", "image", "text", "labels"}
            assert good[row_id]["split"] == split
            assert manifest_folder.value_of(example, "text").decode() == good[row_id]["text"]
            assert manifest_folder.value_of(example, "labels").decode() == good[row_id]["label"]
            with Image.open(folder / good[row_id]["image"]) as image:
                expected = np.asarray(image)
            found = tf.io.decode_image(manifest_folder.value_of(example, "image")).numpy()
            np.testing.assert_array_equal(found, expected)


def test_strict_refuses_rows_before_it_reads_pictures(folder, tmp_path):
    with pytest.raises(ValueError) as error:
        ingest(ManifestSource(str(folder / "manifest.jsonl")), str(tmp_path), beam.Pipeline)
    message = str(error.value)
    assert "28 rows that cannot be used" in message
    assert "line 42: broken_row" in message and "line 17 (id 'silent-00'): no_label" in message
    assert "... and 5 more rows: no_label" in message and "line 43: unknown_column" in message
    assert not list(tmp_path.iterdir())


def test_strict_refuses_pictures(folder, tmp_path):
    rows = [*manifest_folder.rows(6), {**manifest_folder.rows(1)[0], "id": "cut", "image": "images/cut.png"}]
    path = manifest_folder.write_jsonl(folder, rows, "cut.jsonl")
    with pytest.raises(ValueError, match=r"1 rows.*\n.*line 7 \(id 'cut'\): unreadable_image: .*cut.png"):
        ingest(ManifestSource(path), str(tmp_path), beam.Pipeline)


def test_an_empty_split_is_refused(folder, tmp_path):
    rows = [row for row in manifest_folder.rows(12) if row["split"] != "dev"]
    path = manifest_folder.write_jsonl(folder, rows, "no_dev.jsonl")
    with pytest.raises(RuntimeError, match=r"no rows in \['dev'\]"):
        ingest(ManifestSource(path), str(tmp_path), beam.Pipeline)


def test_a_split_that_loses_all_its_pictures_is_refused(folder, tmp_path):
    rows = manifest_folder.rows(6)
    rows[4]["image"] = "images/none.png"
    path = manifest_folder.write_jsonl(folder, rows, "lost_dev.jsonl")
    with pytest.raises(RuntimeError, match=r"no rows in \['dev'\].*'missing_image': 1"):
        ingest(ManifestSource(path, strict=False), str(tmp_path), beam.Pipeline)


def test_a_class_without_training_rows_is_a_warning(folder, tmp_path):
    source = ManifestSource(str(folder / "good.jsonl"), classes=["cat", "dog", "cow"])
    report, _ = manifest_folder.run_ingest(source, tmp_path)
    assert "train has no row of the classes 'cow'" in report["warnings"]
    assert report["rows_by_class"]["train"]["cow"] == 0


def test_pictures_that_requests_cannot_have_are_counted(folder, tmp_path):
    rows = manifest_folder.rows(12)
    for number, extension in ((0, "gif"), (1, "webp"), (2, "gif"), (3, "jpg")):
        rows[number]["image"] = f"images/foreign{number}.{extension}"
        Image.new("RGB", (8, 8)).save(folder / rows[number]["image"])
    source = ManifestSource(manifest_folder.write_jsonl(folder, rows, "foreign.jsonl"))
    report, _ = manifest_folder.run_ingest(source, tmp_path)
    assert report["foreign_encodings"] == {"GIF": 2, "WEBP": 1}
    (warning,) = [text for text in report["warnings"] if "requests cannot have" in text]
    assert warning.startswith("3 pictures") and "'WEBP': 1" in warning


def test_a_text_larger_than_a_request_may_have_is_left_out(folder, tmp_path):
    rows = manifest_folder.rows(12)
    for number, length in ((0, 1 << 20), (1, (1 << 20) + 1)):
        rows[number]["text"] = "x" * length
    source = ManifestSource(manifest_folder.write_jsonl(folder, rows, "large.jsonl"), strict=False)
    report, _ = manifest_folder.run_ingest(source, tmp_path)
    assert report["skipped"]["text_too_large"]["ids"] == [rows[1]["id"]]


def test_counts_are_held_against_the_papers(folder, tmp_path):
    class Published(ManifestSource):
        published_rows = {"train": 9, "dev": 2, "test": 2}
        published_note = "One row was lost."

        def read(self):
            listing = super().read()
            listing.observed["blue"] = 6
            return listing

    report, _ = manifest_folder.run_ingest(Published(str(folder / "good.jsonl")), tmp_path)
    assert report["rows"] == {"train": 8, "dev": 2, "test": 2}
    assert report["published_rows"] == Published.published_rows
    assert [warning for warning in report["warnings"] if "'train': 9" in warning and "One row was lost." in warning]
    assert report["observed"] == {"blue": 6}


def test_multi_label_by_csv(folder, tmp_path):
    rows = [
        {key: row[key] for key in ("id", "split", "text", "image")}
        | {"labels": "dog|cat" if row["id"] == "row-0" else row["label"]}
        for row in manifest_folder.rows(12)
    ]
    path = manifest_folder.write_csv(folder, rows)
    report, by_split = manifest_folder.run_ingest(ManifestSource(path, multi_label=True), tmp_path)
    first = by_split["train"][0].features.feature
    assert list(first["labels"].bytes_list.value) == [b"dog", b"cat"]
    assert report["multi_label"] is True and report["rows_by_class"]["train"] == {"cat": 4, "dog": 5}


def test_two_runs_write_the_same(folder, tmp_path, lenient):
    source = ManifestSource(str(folder / "manifest.jsonl"), strict=False, max_image_pixels=10_000)
    assert manifest_folder.run_ingest(source, tmp_path) == lenient


@pytest.mark.long
def test_several_worker_processes_make_the_same(folder, tmp_path, lenient):
    def pipeline():
        return beam.Pipeline(
            options=PipelineOptions(["--direct_running_mode=multi_processing", "--direct_num_workers=2"])
        )

    source = ManifestSource(str(folder / "manifest.jsonl"), strict=False, max_image_pixels=10_000)
    report = ingest(source, str(tmp_path), pipeline)
    assert report == lenient[0]
    assert manifest_folder.read_examples(tmp_path) == lenient[1]


class TestExecutor:
    def run(self, uri, config, fingerprint):
        examples = standard_artifacts.Examples()
        examples.uri = str(uri)
        Executor().Do(
            {},
            {"examples": [examples]},
            {"source": "manifest", "source_config": json.dumps(config), "source_fingerprint": fingerprint},
        )
        return examples

    def test_artifact(self, folder, tmp_path):
        config = {"manifest": str(folder / "good.jsonl")}
        fingerprint = source_fingerprint("manifest", config)
        # Kubeflow does not make this folder.
        examples = self.run(tmp_path / "not" / "there", config, fingerprint)
        assert artifact_utils.decode_split_names(examples.split_names) == ["train", "dev", "test"]
        assert examples.get_string_custom_property("payload_format") == "FORMAT_TF_EXAMPLE"
        assert examples.get_string_custom_property("source_fingerprint") == fingerprint
        report = json.loads((pathlib.Path(examples.uri) / "ingest.json").read_text())
        assert report["fingerprint"] == fingerprint and report["rows"]["train"] == 8
        assert sorted(path.name for path in pathlib.Path(examples.uri).iterdir()) == [
            "Split-dev",
            "Split-test",
            "Split-train",
            "ingest.json",
            "shards",
        ]

    def test_data_changed_since_the_pipeline_was_made(self, folder, tmp_path):
        with pytest.raises(RuntimeError, match="not those that the pipeline was made for"):
            self.run(tmp_path, {"manifest": str(folder / "good.jsonl")}, "content:" + "0" * 32)

    def test_a_word_of_the_users_is_taken_on_trust(self, folder, tmp_path):
        config = {"manifest": str(folder / "good.jsonl")}
        examples = self.run(tmp_path, config, "release 7")
        expected = source_fingerprint("manifest", config)
        assert examples.get_string_custom_property("source_fingerprint") == expected


class TestMakeSource:
    def test_by_name_and_json(self):
        assert make_source("demo", '{"seed": 3}').seed == 3
        assert make_source("demo").seed == 0

    @pytest.mark.parametrize(
        "name, config, message",
        [
            ("posters", {}, "no source 'posters'.*demo.*manifest"),
            ("demo", {"sede": 1}, r"\['sede'\].*\['seed'\]"),
            ("manifest", {}, r"needs the settings \['manifest'\]"),
            ("demo", "[1]", "dictionary"),
        ],
    )
    def test_wrong(self, name, config, message):
        with pytest.raises(ValueError, match=message):
            make_source(name, config)


class TestOtherModalities:
    """A source of clips, without text and images."""

    class Clips(ManifestSource):
        modalities = ("skeleton", "video")

        def read(self):
            listing = super().read()
            listing.rows = [dataclasses.replace(row, text="") for row in listing.rows]
            return listing

        def features(self, row):
            number = int(row.id.removeprefix("row-"))
            if number == 3:
                raise SkipRowError("broken_clip", "it is")
            return {
                "skeleton": np.arange(300, dtype=np.float32).reshape(2, 2, 25, 3) + number,
                "video": [f"frame {number}.{index}".encode() for index in range(1 + number % 3)],
            }

    def test_examples_hold_what_the_source_gives(self, folder, tmp_path):
        source = self.Clips(str(folder / "good.jsonl"), strict=False)
        report, by_split = manifest_folder.run_ingest(source, tmp_path)
        assert report["rows"] == {"train": 7, "dev": 2, "test": 2}
        assert report["skipped"] == {
            "broken_clip": {"count": 1, "ids": ["row-3"], "messages": ["line 4 (id 'row-3'): broken_clip: it is"]}
        }
        assert report["texts"]["count"] == 0
        for example in (example for examples in by_split.values() for example in examples):
            number = int(manifest_folder.value_of(example, "id").decode().removeprefix("row-"))
            feature = example.features.feature
            assert set(feature) == {"id", "labels", "skeleton", "video"}
            np.testing.assert_array_equal(feature["skeleton"].float_list.value, np.arange(300) + number)
            assert list(feature["video"].bytes_list.value) == [
                f"frame {number}.{index}".encode() for index in range(1 + number % 3)
            ]

    def test_numbers_that_are_not_finite_go_no_further(self):
        row = Row(id="7", split="train", labels=("a",), media={})
        with pytest.raises(ValueError, match="'skeleton' of the row '7'.*not finite"):
            make_example(row, {"skeleton": np.array([0.0, np.nan], np.float32)})

    def test_a_source_without_images_says_so(self, folder):
        class Silent(self.Clips):
            image = Source.image

        source = Silent(str(folder / "good.jsonl"))
        with pytest.raises(NotImplementedError, match="no images but.*skeleton"):
            source.image(source.read().rows[0])


def test_paths_that_a_run_chose_are_settings_of_the_source():
    properties = {"source_config": '{"seed": 3}', "path_manifest": "/gcs/rows.jsonl", "path_x": ""}
    assert _source_config(properties) == {"seed": 3, "manifest": "/gcs/rows.jsonl"}
