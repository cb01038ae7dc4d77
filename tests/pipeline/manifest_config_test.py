"""A configuration made from a manifest fits it, and says why."""

from __future__ import annotations

import json
import pathlib
import re
from unittest import mock

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from coloured_shapes import CLASSES, write_shapes
from PIL import Image
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from components.linear_references.references import STRENGTHS
from hfmnas_keras.backbones import encoder_folder
from pipeline import manifest_config, manifest_rules
from pipeline.config_file import load_config
from pipeline.manifest_config import main, to_yaml
from pipeline.manifest_look import ManifestLook
from pipeline.manifest_rules import chosen


def write_rows(folder, rows, name="rows.jsonl", size=(24, 24)):
    """Writes rows, each with a grey picture of its own."""
    for number, row in enumerate(rows):
        row.update(id=f"row-{number}", image=f"{number}.png")
        Image.fromarray(np.full((*size, 3), 5 * (number % 50), "uint8")).save(folder / row["image"])
    manifest = folder / name
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(manifest)


def run_on(manifest, folder, encoders=False):
    """Whatever encoders this machine has."""
    with mock.patch.object(manifest_config, "encoders_are_here", lambda: encoders):
        result = CliRunner().invoke(main, [manifest, "-o", str(folder / "my.yaml")])
    return result, load_config(folder / "my.yaml") if result.exit_code == 0 else None


def make_look(**changes):
    values = {
        "classes": ("cat", "dog"),
        "multi_label": False,
        "rows": {"train": 1100, "dev": 200, "test": 425},
        "rows_by_class": {split: {"cat": 3, "dog": 30} for split in ("train", "dev", "test")},
        "labels_a_row": 1.0,
        "words_a_text": {"median": 7, "95th": 31, "max": 90},
        "vocabulary": {1: 3000, 2: 1200, 3: 800, 5: 300, 10: 100},
        "picture_size": (72, 72),
        "dev_macro_f1": {"text": 0.71, "image": 0.5, "joined": 0.8, "average": 0.8},
        "left_out": {},
        "bad_pictures": [],
        "opened": 1200,
    }
    return ManifestLook(**{**values, **changes})


def values_of(look, encoders=False):
    return {choice.key: choice.value for choice in chosen("some/rows.jsonl", look, encoders)}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    manifest = write_shapes(folder, rows=60)
    return manifest, *run_on(manifest, folder), (folder / "my.yaml")


def test_classes_lengths_and_rows_are_seen(shapes):
    manifest, result, config, _ = shapes
    assert result.exit_code == 0, result.output
    assert "60 rows (train 42, dev 9, test 9), 3 classes, single-label." in result.output
    assert "Pictures are 16 x 16 in the median of 51." in result.output
    assert "Macro F1 of linear models on dev: text 1.000, image 1.000" in result.output
    assert "Note:" not in result.output
    assert config.name == "shapes"
    assert config.preparation.classes == CLASSES and not config.preparation.multi_label
    assert config.data.manifest == manifest
    # Words can be rare where they are few.
    assert (config.preparation.max_tokens, config.preparation.min_frequency) == (8, 1)


def test_the_bar_lies_a_bit_below_the_best_linear_model_on_one_modality(shapes):
    _, _, config, _ = shapes
    assert config.gate.min_f1_m == 0.97 and config.gate.above_reference
    # Nine test rows say little.
    assert config.gate.change_tolerance == 0.05


def test_every_value_that_was_chosen_says_why(shapes):
    *_, path = shapes
    text = path.read_text(encoding="utf-8")
    for key in ("image_size", "max_tokens", "min_frequency", "channels", "ensemble", "batch_size", "min_f1_m"):
        assert re.search(rf"^ +{key}: .+ # .*\d", text, re.MULTILINE), key
    assert "min_f1_m: 0.97 # a linear model on text alone has 1.000 on dev, less 0.03; guessing has 0.333" in text


def test_rows_by_class_and_split_and_known_words_are_shown(shapes):
    output = shapes[1].output
    assert re.search(r"^  class +train +dev +test$", output, re.MULTILINE)
    for name in CLASSES:
        assert re.search(rf"^  {name} +14 +3 +3$", output, re.MULTILINE), output
    assert "Of the words of dev, 100% occur in train" in output


def test_columns_of_other_names_are_written_and_read(tmp_path):
    manifest = pathlib.Path(write_shapes(tmp_path, rows=60))
    manifest.write_text(manifest.read_text(encoding="utf-8").replace('"text"', '"description"'), encoding="utf-8")
    result, _ = run_on(str(manifest), tmp_path)
    assert result.exit_code == 2 and "Set `columns: {text: description}`" in result.output
    arguments = [str(manifest), "-o", str(tmp_path / "my.yaml"), "--column", "text=description"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert load_config(tmp_path / "my.yaml").source_settings()["columns"] == {"text": "description"}
    wrong = CliRunner().invoke(main, [str(manifest), "--column", "text"])
    assert wrong.exit_code == 2 and "OURS=THEIRS" in wrong.output


def test_two_manifests_of_one_name_do_not_share_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = (str(tmp_path / folder / "data.jsonl") for folder in ("a", "b"))
    assert [manifest_rules.run_name(path) for path in (first, second)] == ["data", "data"]
    (tmp_path / "runs" / "data").mkdir(parents=True)
    kept = {"data": {"source": "manifest", "manifest": first}}
    (tmp_path / "runs" / "data" / "configuration.yaml").write_text(yaml.safe_dump(kept), encoding="utf-8")
    assert manifest_rules.run_name(first) == "data"
    assert re.fullmatch("data-[0-9a-f]{8}", manifest_rules.run_name(second))


def test_several_labels_make_it_multi_label(tmp_path):
    texts, labels = ("red wide", "blue small", "both of them"), (["r"], ["b"], ["r", "b"])
    rows = [
        {"text": texts[n % 3], "labels": labels[n % 3], "split": ("train", "train", "dev", "test")[n // 3 % 4]}
        for n in range(48)
    ]
    result, config = run_on(write_rows(tmp_path, rows, "Two Labels.jsonl"), tmp_path)
    assert result.exit_code == 0, result.output
    assert config.preparation.multi_label and config.name == "two-labels"
    assert "2 classes, multi-label, 1.33 labels a row." in result.output
    # Two labels, each of two rows in three.
    assert "guessing has 0.667" in (tmp_path / "my.yaml").read_text(encoding="utf-8")


def test_the_text_model_is_scikit_learns_on_all_rows(tmp_path):
    generator = np.random.default_rng(0)
    rows = []
    for number in range(120):
        label = number % 3
        words = generator.choice(12, 4, p=[0.16 if word % 3 == label else 0.045 for word in range(12)])
        rows.append(
            {
                "text": " ".join(f"word{word}" for word in words),
                "label": "abc"[label],
                "split": ("train", "train", "dev", "test")[number // 3 % 4],
            }
        )
    result, _ = run_on(write_rows(tmp_path, rows), tmp_path)
    assert result.exit_code == 0, result.output
    of_split = {split: [row for row in rows if row["split"] == split] for split in ("train", "dev")}
    texts = {split: [row["text"] for row in its_rows] for split, its_rows in of_split.items()}
    labels = {split: [row["label"] for row in its_rows] for split, its_rows in of_split.items()}
    tfidf = TfidfVectorizer(dtype=np.float32)
    train, dev = tfidf.fit_transform(texts["train"]), tfidf.transform(texts["dev"])
    scores = []
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, class_weight="balanced").fit(train, labels["train"])
        scores.append(f1_score(labels["dev"], model.predict(dev), average="macro"))
    assert 0.4 < max(scores) < 1.0
    assert f"linear models on dev: text {max(scores):.3f}," in result.output


@pytest.mark.parametrize(
    ("has_split", "told"),
    [(True, r"no row of dev \(train 4, dev 0, test 2\)\. Write `split` 'dev'"), (False, "no row of .* a hash of `id`")],
)
def test_a_split_without_rows_is_told_at_once_with_its_counts(tmp_path, has_split, told):
    rows = [{"text": "some words", "label": "ab"[n % 2]} for n in range(6 if has_split else 1)]
    for number, row in enumerate(rows if has_split else ()):
        row["split"] = "train" if number < 4 else "test"
    if not has_split:
        rows.append({"text": "other words", "label": "b"})
    result, config = run_on(write_rows(tmp_path, rows), tmp_path)
    assert result.exit_code == 2 and config is None
    assert re.search(told, result.output), result.output
    assert not (tmp_path / "my.yaml").exists()


def test_classes_that_a_split_lacks_and_broken_pictures_are_notes(tmp_path):
    rows = [{"text": f"word{n % 3}", "label": "abc"[n % 3], "split": "train"} for n in range(30)]
    rows += [{"text": f"word{n % 2}", "label": "ab"[n % 2], "split": ("dev", "test")[n // 4]} for n in range(8)]
    manifest = write_rows(tmp_path, rows)
    (tmp_path / "3.png").write_bytes(b"no picture")
    (tmp_path / "4.png").unlink()
    with open(manifest, "a", encoding="utf-8") as file:
        file.write(json.dumps({"id": "x", "text": "", "image": "0.png", "label": "a", "split": "dev"}) + "\n")
    result, config = run_on(manifest, tmp_path)
    assert config is not None, result.output
    assert "Note: No row of dev has 'c'; macro F1 counts such a class as 0." in result.output
    assert "Note: No row of test has 'c'" in result.output
    assert "Note: 1 row cannot be used: 1 for missing_image." in result.output
    assert "Note: 1 row is without a text: kept, and answered by the other." in result.output
    assert "Note: 1 of 34 pictures that were tried cannot be used, the first: row 'row-3'" in result.output


def test_jpegs_are_looked_at_and_a_row_may_lack_its_picture(tmp_path):
    rows = [{"text": f"word{n % 3}", "label": "ab"[n % 2], "split": ("train", "dev", "test")[n % 3]} for n in range(30)]
    manifest = write_rows(tmp_path, rows)
    for file in sorted(tmp_path.glob("*.png")):
        with Image.open(file) as picture:
            picture.convert("RGB").resize((60, 40)).save(file.with_suffix(".jpg"), "JPEG")
        file.unlink()
    text = pathlib.Path(manifest).read_text(encoding="utf-8").replace(".png", ".jpg").replace('"0.jpg"', '""')
    pathlib.Path(manifest).write_text(text, encoding="utf-8")
    result, config = run_on(manifest, tmp_path)
    assert config is not None, result.output
    # Ten rows of train and ten of dev, one of which has no picture.
    assert "Pictures are 40 x 60 in the median of 19." in result.output
    assert "Note: 1 row is without a picture: kept" in result.output


def test_few_rows_get_the_demos_sizes_and_many_the_papers():
    few, many = values_of(make_look()), values_of(make_look(rows={"train": 30_000, "dev": 2000, "test": 8000}))
    assert (few["final_model.channels"], few["search.channels"], few["training.max_epochs"]) == (64, 32, 15)
    assert (many["final_model.channels"], many["search.channels"], many["training.max_epochs"]) == (192, 64, 30)
    assert (few["search.batch_size"], few["final_model.ensemble"], few["pretraining.folds"]) == (32, 3, 5)
    assert (many["search.batch_size"], many["final_model.ensemble"], many["pretraining.folds"]) == (32, 1, 2)
    tiny = values_of(make_look(rows={"train": 200, "dev": 40, "test": 60}))
    assert (tiny["search.batch_size"], tiny["search.strategy"], tiny["training.batch_size"]) == (8, "race", 8)
    # A tenth an epoch: 1,875 and 25 steps at a rate of 1e-3.
    assert (many["training.weight_decay"], tiny["training.weight_decay"]) == (0.05, 4.0)
    # The demo's two points at 425 test rows, more with fewer.
    assert (few["gate.change_tolerance"], tiny["gate.change_tolerance"]) == (0.02, 0.05)
    assert many["gate.change_tolerance"] == 0.01


def test_topics_of_words_are_for_encoders_of_long_texts():
    long = make_look(words_a_text={"median": 30, "95th": 200, "max": 300})
    key = "backbones.text.word_topics"
    assert values_of(long, encoders=True)[key] == 256
    assert key not in values_of(make_look(), encoders=True) and key not in values_of(long)


@pytest.mark.parametrize(
    ("counts", "multi_label", "expected"),
    [((10, 29), False, "none"), ((10, 30), False, "sqrt"), ((10, 10), True, "sqrt"), ((0, 30), False, "none")],
)
def test_rare_classes_count_for_more_where_classes_are_uneven(counts, multi_label, expected):
    by_class = dict(zip(("cat", "dog"), counts, strict=True))
    values = values_of(make_look(rows_by_class={"train": by_class}, multi_label=multi_label))
    assert values["search.class_weights"] == values["training.class_weights"] == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((72, 72), [128, 128]),
        ((600, 400), [160, 96]),
        ((300, 900), [64, 224]),
        ((10, 4000), [64, 256]),
        (None, [128, 128]),
    ],
)
def test_pictures_keep_their_shape_at_the_demos_number_of_pixels(size, expected):
    assert values_of(make_look(picture_size=size))["preparation.image_size"] == expected


def test_rare_words_are_left_out_until_the_vocabulary_is_of_a_good_size():
    vocabulary = {1: 90_000, 2: 45_000, 3: 21_000, 5: 13_000, 10: 7_000}
    assert values_of(make_look(vocabulary=vocabulary))["preparation.min_frequency"] == 5
    huge = dict.fromkeys(vocabulary, 99_999)
    assert values_of(make_look(vocabulary=huge))["preparation.min_frequency"] == 10
    long = {"median": 90, "95th": 800, "max": 2000}
    assert values_of(make_look(words_a_text=long))["preparation.max_tokens"] == 256


def test_a_bar_is_never_below_guessing():
    poor = make_look(dev_macro_f1={"text": 0.41, "image": 0.36})
    assert values_of(poor)["gate.min_f1_m"] == 0.5
    assert values_of(make_look())["gate.min_f1_m"] == 0.68


def test_the_file_says_what_was_chosen(tmp_path):
    look = make_look(classes=("a: b", "# no comment", "größe", "yes"))
    choices = chosen(str(tmp_path / "rows.jsonl"), look, True)
    read = yaml.safe_load(to_yaml("rows.jsonl", choices))
    for choice in choices:
        value = read
        for part in choice.key.split("."):
            value = value[part]
        assert value == choice.value, choice.key


def test_encoders_are_taken_where_they_were_fetched(tmp_path, monkeypatch):
    manifest = write_shapes(tmp_path, rows=60)
    _, config = run_on(manifest, tmp_path, encoders=True)
    text, image = config.backbones.text, config.backbones.image
    assert (text.encoder, image.encoder) == ("minilm", "efficientnet_lite0")
    # Pieces of words: four words, half as many again, and two marks.
    assert config.preparation.max_tokens == 8
    long = {"median": 90, "95th": 40, "max": 2000}
    assert values_of(make_look(words_a_text=long), encoders=True)["preparation.max_tokens"] == 62
    without = to_yaml("rows.jsonl", chosen("rows.jsonl", make_look(), False))
    assert "trunk: hed" in without and "hfmnas encoder fetch minilm" in without

    monkeypatch.setattr(encoder_folder, "encoder_home", lambda: tmp_path)
    for encoder in ("minilm", "efficientnet_lite0"):
        assert not manifest_rules.encoders_are_here(), encoder
        (tmp_path / encoder).mkdir()
        (tmp_path / encoder / "encoder.json").write_text("{}", encoding="utf-8")
    assert manifest_rules.encoders_are_here()


def test_an_existing_file_is_kept(tmp_path):
    (tmp_path / "my.yaml").write_text("mine", encoding="utf-8")
    result = CliRunner().invoke(main, [str(tmp_path / "rows.jsonl"), "-o", str(tmp_path / "my.yaml")])
    assert result.exit_code == 2 and "--force" in result.output
    assert (tmp_path / "my.yaml").read_text(encoding="utf-8") == "mine"


def test_a_missing_manifest_is_told(tmp_path):
    result, _ = run_on(str(pathlib.Path(tmp_path) / "none.jsonl"), tmp_path)
    assert result.exit_code == 2 and "no manifest" in result.output


def test_a_long_or_foreign_name_becomes_one_of_its_own():
    names = [
        manifest_rules.run_name(f"data/{stem}.jsonl") for stem in ("a" * 80, "a" * 79, "猫", "犬", "große", "Plain 1")
    ]
    assert names[-1] == "plain-1" and len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,60}", name) for name in names)
