"""The preparation by the real Transform, on a few rows, and what serving makes of the same graph."""

import collections
import io
import pathlib

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from PIL import Image
from tfx import v1 as tfx

from benchmarks.serving_skew import differing_rows
from components.code_fingerprint import code_fingerprint
from components.multimodal_example_gen.executor import ingest
from components.multimodal_example_gen.readers.picture import read_picture
from components.multimodal_example_gen.row import Row
from components.multimodal_example_gen.rows_to_examples import make_example
from components.multimodal_example_gen.sources.manifest_source import ManifestSource
from components.transform.image import prepare_images
from components.transform.preprocessing import CODE, preprocessing_fn
from components.transform.text import subword_vocabulary_size, vocabulary_size
from tests.components import picture_encodings
from tests.components.multimodal_example_gen import manifest_folder
from tests.oracles.golden import byte_pair_golden, wordpiece_golden

SCHEMA = pathlib.Path(__file__).resolve().parents[3] / "schemas" / "manifest.pbtxt"
CLASSES = ["dog", "cat"]
HEIGHT, WIDTH, LENGTH, SUBWORDS = 6, 9, 5, 7
TEXTS = {
    # Words, frequency in train: red 3, fish 2, the rest once.
    "a": ("train", "Red FISH", ["cat"]),
    "b": ("train", "red, red fish!", ["dog"]),
    "c": ("train", "one blue thing and many other things", ["cat", "dog"]),
    "d": ("train", "#*!", ["dog"]),
    # "unseen" is not in train, though it is the most frequent word of all.
    "e": ("dev", "unseen unseen unseen red", ["cat"]),
    "f": ("test", "unseen fish", ["dog"]),
}


class Prepared:
    """Rows through ingest and Transform."""

    def __init__(self, folder, multi_label):
        self.folder = folder
        records = [
            {
                "id": name,
                "split": split,
                "text": text,
                "image": f"{name}.png",
                "labels": labels if multi_label else labels[:1],
            }
            for name, (split, text, labels) in TEXTS.items()
        ]
        for index, record in enumerate(records):
            noise = np.random.default_rng(index).integers(0, 256, (20 + index, 31, 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / record["image"])
        manifest = manifest_folder.write_jsonl(folder, records)
        ingest(ManifestSource(manifest, multi_label=multi_label), str(folder / "examples"), beam.Pipeline)
        examples = tfx.types.standard_artifacts.Examples()
        examples.uri = str(folder / "examples")
        examples.split_names = '["train", "dev", "test"]'
        importer = tfx.dsl.Importer(
            source_uri=examples.uri,
            artifact_type=tfx.types.standard_artifacts.Examples,
            properties={"split_names": examples.split_names},
        ).with_id("examples")
        schema = tfx.components.ImportSchemaGen(schema_file=str(SCHEMA))
        transform = tfx.components.Transform(
            examples=importer.outputs["result"],
            schema=schema.outputs["schema"],
            preprocessing_fn="components.transform.preprocessing.preprocessing_fn",
            splits_config=tfx.proto.SplitsConfig(analyze=["train"], transform=["train", "dev", "test"]),
            custom_config=settings(multi_label),
            disable_statistics=True,
        )
        tfx.orchestration.LocalDagRunner().run(
            tfx.dsl.Pipeline(
                pipeline_name="prepare",
                pipeline_root=str(folder / "root"),
                components=[importer, schema, transform],
                metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
                    str(folder / "metadata.db")
                ),
            )
        )
        (graph,) = (folder / "root" / "Transform" / "transform_graph").iterdir()
        self.output = tft.TFTransformOutput(str(graph))
        self.layer = self.output.transform_features_layer()
        self.graph = graph
        (self.transformed,) = (folder / "root" / "Transform" / "transformed_examples").iterdir()
        self.rows = {}
        for path in self.transformed.glob("Split-*/*"):
            for record in tf.data.TFRecordDataset(str(path), compression_type="GZIP"):
                row = tf.io.parse_single_example(record, self.output.transformed_feature_spec())
                row["split"] = path.parent.name
                self.rows[row["id"].numpy()[0].decode()] = row

    def tokens(self, name):
        """Token ids of a row."""
        return self.rows[name]["tokens"].numpy().tolist()

    def serve(self, images, texts):
        """What a request gets: no id and no labels."""
        number = len(texts)
        return self.layer(
            {
                "id": tf.fill([number, 1], ""),
                "image": tf.constant([[image] for image in images]),
                "text": tf.constant([[text] for text in texts]),
                "labels": tf.SparseTensor(tf.zeros([0, 2], tf.int64), tf.zeros([0], tf.string), [number, 1]),
            }
        )


def settings(multi_label=False):
    return {
        "classes": CLASSES,
        "multi_label": multi_label,
        "modalities": ["text", "image"],
        "image_size": [HEIGHT, WIDTH],
        "max_tokens": LENGTH,
        "min_frequency": 1,
        "max_subwords": SUBWORDS,
        "code_fingerprint": code_fingerprint(*CODE),
    }


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    return Prepared(tmp_path_factory.mktemp("single"), multi_label=False)


@pytest.fixture(scope="module")
def multi(tmp_path_factory):
    return Prepared(tmp_path_factory.mktemp("multi"), multi_label=True)


def test_features_and_shapes(single, multi):
    expected = {
        "id": tf.io.FixedLenFeature([1], tf.string),
        "image": tf.io.FixedLenFeature([1], tf.string),
        "tokens": tf.io.FixedLenFeature([LENGTH], tf.int64),
        "subwords": tf.io.FixedLenFeature([SUBWORDS], tf.int64),
    }
    label = {"label": tf.io.FixedLenFeature([1], tf.int64)}
    labels = {"labels": tf.io.FixedLenFeature([len(CLASSES)], tf.float32)}
    assert single.output.transformed_feature_spec() == expected | label
    assert multi.output.transformed_feature_spec() == expected | labels
    assert {name: row["split"] for name, row in single.rows.items()} == {
        name: f"Split-{split}" for name, (split, _, _) in TEXTS.items()
    }


def test_the_vocabulary_is_that_of_train(single):
    words = [word.decode() for word in single.output.vocabulary_by_name("text_vocabulary")]
    frequency = collections.Counter(
        word
        for split, text, _ in TEXTS.values()
        if split == "train"
        for word in text.lower().strip("!#*").replace(",", "").split()
    )
    assert set(words) == set(frequency) and words[:2] == ["red", "fish"]
    assert "unseen" not in words
    assert vocabulary_size(single.output) == len(frequency) + 2


def test_sub_words_are_parts_of_words_that_occur_twice_in_train(single):
    def parts_of(text):
        words = [f"<{word}>" for word in text.lower().strip("!#*").replace(",", "").split()]
        return [word[start : start + 4] for word in words for start in range(len(word) - 3)]

    counts = collections.Counter(
        part for split, text, _ in TEXTS.values() if split == "train" for part in parts_of(text)
    )
    parts = [part.decode() for part in single.output.vocabulary_by_name("text_subword_vocabulary")]
    assert set(parts) == {part for part, count in counts.items() if count > 1}
    assert counts[parts[0]] == max(counts.values())
    assert subword_vocabulary_size(single.output) == len(parts) + 2

    for name, (_, text, _) in TEXTS.items():
        expected = [1 + parts.index(part) for part in parts_of(text) if part in parts][:SUBWORDS]
        assert single.rows[name]["subwords"].numpy().tolist() == expected + [0] * (SUBWORDS - len(expected))
    # A word that train does not have, told by the parts that it shares.
    data = encoded(Image.new("RGB", (4, 4)), "PNG")
    served = single.serve([data] * 2, ["swordfish", "\u00e9\u00e8\u00ea \u4e2d"])["subwords"].numpy().tolist()
    assert served[0] == [1 + parts.index("fish"), 1 + parts.index("ish>")] + [0] * (SUBWORDS - 2)
    assert served[1] == [0] * SUBWORDS


def test_tokens(single):
    other = vocabulary_size(single.output) - 1
    assert single.tokens("a") == [1, 2, 0, 0, 0]
    assert single.tokens("b") == [1, 1, 2, 0, 0]
    assert single.tokens("d") == [0] * LENGTH
    assert single.tokens("e") == [other, other, other, 1, 0]
    assert single.tokens("f") == [other, 2, 0, 0, 0]
    # Seven words, cut to five, each of its own id.
    assert len(set(single.tokens("c"))) == LENGTH and not {0, 1, 2, other} & set(single.tokens("c"))


def test_labels_follow_the_order_of_the_configuration(single, multi):
    for name, (_, _, labels) in TEXTS.items():
        assert single.rows[name]["label"].numpy().tolist() == [CLASSES.index(labels[0])]
        assert multi.rows[name]["labels"].numpy().tolist() == [float(c in labels) for c in CLASSES]


def test_pictures_are_resized_once_and_kept_exactly(single):
    for name, row in single.rows.items():
        stored = tf.io.decode_png(row["image"][0]).numpy()
        original = tf.io.decode_image(read_picture(str(single.folder / f"{name}.png")))
        expected = tf.image.resize(original, (HEIGHT, WIDTH), antialias=True).numpy()
        assert stored.shape == (HEIGHT, WIDTH, 3) and stored.dtype == np.uint8
        np.testing.assert_array_equal(stored, np.clip(np.round(expected), 0, 255))


def test_serving_without_labels_equals_training(single, multi):
    names = sorted(TEXTS)
    for prepared, label, expected in ((single, "label", [[-1]]), (multi, "labels", [[0.0, 0.0]])):
        images = [(prepared.folder / f"{name}.png").read_bytes() for name in names]
        served = prepared.serve(images, [TEXTS[name][1] for name in names])
        for index, name in enumerate(names):
            np.testing.assert_array_equal(served["tokens"][index], prepared.rows[name]["tokens"])
            assert served["image"][index] == prepared.rows[name]["image"]
        assert served[label].numpy().tolist() == expected * len(names)


def test_rows_that_serving_would_change_are_found(single):
    def example(name, text=None, picture=None):
        row = Row(name, "train", ("cat",), {})
        features = {
            "text": (TEXTS[name][1] if text is None else text).encode("utf-8"),
            "image": (single.folder / f"{picture or name}.png").read_bytes(),
        }
        return make_example(row, features).SerializeToString()

    files = str(single.transformed / "Split-train" / "*")
    examples = {name: example(name) for name in "abcd"}
    assert differing_rows(str(single.graph), files, examples) == {"text": (4, []), "image": (4, [])}
    examples |= {"b": example("b", text="red, red fishes!"), "c": example("c", picture="d")}
    assert differing_rows(str(single.graph), files, examples) == {"text": (4, ["b"]), "image": (4, ["c"])}


def encoded(image, extension, **options):
    buffer = io.BytesIO()
    image.save(buffer, format=extension, **options)
    return buffer.getvalue()


def test_a_picture_of_another_encoding_and_a_broken_one_in_requests(single, tmp_path):
    """The saved graph decodes as the function does, each row alone; see `served_pictures_test` for all encodings."""
    data = picture_encodings.encodings()
    names = ["png palette 4 bits", "jpeg orientation 6 <", "png rgb_alpha 8 bits"]
    files = [data[name] for name in names]
    served = single.serve([files[0], b"broken", *files[1:], data["gif"]], ["red"] * 5)["image"][:, 0].numpy()
    assert [bool(picture) for picture in served] == [True, False, True, True, False]
    for file, picture in zip(files, served[[0, 2, 3]], strict=True):
        (tmp_path / "a").write_bytes(file)
        stored = read_picture(str(tmp_path / "a"))
        expected = single.serve([stored], ["red"])["image"][0, 0]
        decoded = [tf.io.decode_png(one).numpy().astype(int) for one in (picture, expected)]
        np.testing.assert_allclose(*decoded, atol=1)


def test_a_long_and_a_broken_text_in_requests(single):
    data = encoded(Image.new("RGB", (4, 4)), "PNG")
    served = single.serve([data] * 3, ["red " * 1000, "red\xff".encode("latin-1") + b" fish", ""])
    assert served["tokens"].numpy().tolist() == [[1] * LENGTH, [1, 2, 0, 0, 0], [0] * LENGTH]


@pytest.mark.parametrize(
    "change", [{"max_tokens": None}, {"colour": "RGB"}, {"modalities": []}, {"modalities": ["text", "sound"]}]
)
def test_wrong_settings(change):
    config = {**settings(), **change}
    config = {name: value for name, value in config.items() if value is not None}
    with pytest.raises(ValueError, match="custom_config"):
        preprocessing_fn({}, config)


def transformed(rows, config, graph):
    """Rows through the preparation alone."""
    import tensorflow_transform.beam as tft_beam

    spec = {
        "id": tf.io.FixedLenFeature([1], tf.string),
        "image": tf.io.FixedLenFeature([1], tf.string),
        "text": tf.io.FixedLenFeature([1], tf.string),
        "labels": tf.io.VarLenFeature(tf.string),
    }
    metadata = tft.DatasetMetadata.from_feature_spec(spec)
    with tft_beam.Context(temp_dir=str(graph.parent / "temp")):
        (dataset, _), transform_fn = (rows, metadata) | tft_beam.AnalyzeAndTransformDataset(
            lambda inputs: preprocessing_fn(inputs, config)
        )
        _ = transform_fn | tft_beam.WriteTransformFn(str(graph))
    return dataset


@pytest.mark.parametrize("kind", ["wordpiece", "byte_pair"])
def test_an_encoders_tokenizer_travels_with_the_graph(tmp_path, kind):
    vocabulary = tmp_path / "vocabulary.txt"
    tokenizer = {"vocabulary": str(vocabulary), "sha256": "x"}
    if kind == "wordpiece":
        golden = wordpiece_golden()
        tokenizer |= {"lower_case": True, "strip_accents": True}
        pieces, ids = golden["vocabulary"], golden["uncased"]
    else:
        golden = byte_pair_golden()
        (tmp_path / "merges.txt").write_text("".join(f"{pair}\n" for pair in golden["merges"]), encoding="utf-8")
        tokenizer["merges"] = str(tmp_path / "merges.txt")
        # Padding is 0 here.
        pieces = ["<pad>", "<s>", *golden["vocabulary"][2:]]
        ids = [[1 - number if number < 2 else number for number in row] for row in golden["ids"]]
    vocabulary.write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
    config = {**settings(), "max_tokens": golden["max_tokens"], "tokenizer": tokenizer}
    data = encoded(Image.new("RGB", (4, 4)), "PNG")
    # A text that is not there has no marks.
    ids = [row if text.strip() else [0] * len(row) for text, row in zip(golden["texts"], ids, strict=True)]
    texts = list(zip(golden["texts"], ids, strict=True))
    rows = [{"id": [b"a"], "image": [data], "text": [text.encode()], "labels": [b"cat"]} for text, _ in texts[:60]]
    dataset = transformed(rows, config, tmp_path / "graph")
    assert [list(row["tokens"]) for row in dataset] == [ids for _, ids in texts[:60]]
    assert "subwords" not in dataset[0]
    # Elsewhere, and without the file that it was made of, a request gets the same.
    (tmp_path / "graph").rename(tmp_path / "moved")
    for file in tmp_path.glob("*.txt"):
        file.unlink()
    output = tft.TFTransformOutput(str(tmp_path / "moved"))
    assert vocabulary_size(output) == len(golden["vocabulary"])
    served = output.transform_features_layer()(
        {
            "id": tf.fill([60, 1], ""),
            "image": tf.fill([60, 1], data),
            "text": tf.constant([[text] for text, _ in texts[:60]]),
            "labels": tf.SparseTensor(tf.zeros([0, 2], tf.int64), tf.zeros([0], tf.string), [60, 1]),
        }
    )
    assert served["tokens"].numpy().tolist() == [ids for _, ids in texts[:60]]


def test_pictures_are_resized_as_an_encoder_was_trained(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (20, 31, 3), dtype=np.uint8)
    prepared = prepare_images(tf.constant([[encoded(Image.fromarray(noise), "PNG")]]), [HEIGHT, WIDTH], "bicubic")
    # Pillow's bicubic filter is antialiased too, of the same kernel.
    expected = np.asarray(Image.fromarray(noise).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), int)
    received = tf.io.decode_png(prepared[0, 0]).numpy().astype(int)
    assert np.abs(received - expected).max() <= 1
    bilinear = tf.io.decode_png(
        prepare_images(tf.constant([[encoded(Image.fromarray(noise), "PNG")]]), [HEIGHT, WIDTH])[0, 0]
    )
    assert np.abs(bilinear.numpy().astype(int) - expected).max() > 5


@pytest.mark.parametrize("max_subwords", [0, 3])
def test_a_vocabulary_without_words(tmp_path, max_subwords):
    """Texts of which no word is frequent enough: all words are out of vocabulary, and nothing breaks."""
    data = encoded(Image.new("RGB", (4, 4)), "PNG")
    rows = [{"id": [b"a"], "image": [data], "text": [b"one two"], "labels": [b"cat"]}]
    dataset = transformed(rows, {**settings(), "min_frequency": 2, "max_subwords": max_subwords}, tmp_path / "graph")
    size = vocabulary_size(tft.TFTransformOutput(str(tmp_path / "graph")))
    (row,) = dataset
    assert list(row.get("subwords", [])) == [0] * max_subwords
    assert max(row["tokens"]) < size and list(row["tokens"][2:]) == [0] * (LENGTH - 2) and min(row["tokens"][:2]) > 0
