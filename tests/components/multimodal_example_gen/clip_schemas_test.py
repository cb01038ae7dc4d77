"""The schemas of the clips' sources, held against statistics of records that the sources write."""

import pathlib
import shutil

import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
from tfx.types import artifact_utils, standard_artifacts

from components.example_validator.executor import Executor
from components.multimodal_example_gen.row import Row
from components.multimodal_example_gen.rows_to_examples import make_example
from components.multimodal_example_gen.sources.egogesture_source import EgoGestureSource
from components.multimodal_example_gen.sources.ntu_source import NtuSource
from tests.layouts import egogesture_folder, ntu_folder

SCHEMAS = pathlib.Path(__file__).resolve().parents[3] / "schemas"


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """Ten examples of each source, by its name."""
    folder = tmp_path_factory.mktemp("clips")
    sources = (
        NtuSource(str(ntu_folder.write_folder(folder / "ntu", 10))),
        EgoGestureSource(str(egogesture_folder.write_folder(folder / "egogesture", 10))),
    )
    return {source.name: [make_example(row, source.features(row)) for row in source.read().rows] for source in sources}


def validate(folder, name, examples):
    """Runs the real statistics and the real validator."""
    with tf.io.TFRecordWriter(str(folder / "examples")) as writer:
        for example in examples:
            writer.write(example.SerializeToString())
    found = tfdv.generate_statistics_from_tfrecord(str(folder / "examples"))
    inputs = {"statistics": [standard_artifacts.ExampleStatistics()], "schema": [standard_artifacts.Schema()]}
    (statistics,) = inputs["statistics"]
    statistics.uri = str(folder / "statistics")
    statistics.split_names = artifact_utils.encode_split_names(["train"])
    (folder / "statistics" / "Split-train").mkdir(parents=True)
    (folder / "statistics" / "Split-train" / "FeatureStats.pb").write_bytes(found.SerializeToString())
    inputs["schema"][0].uri = str(folder / "schema")
    (folder / "schema").mkdir()
    shutil.copy(SCHEMAS / f"{name}.pbtxt", folder / "schema" / "schema.pbtxt")
    anomalies = standard_artifacts.ExampleAnomalies()
    anomalies.uri = str(folder / "anomalies")
    Executor().Do(inputs, {"anomalies": [anomalies]}, {"exclude_splits": "[]"})


@pytest.mark.parametrize("name", ["ntu", "egogesture"])
def test_what_the_sources_write_fits(tmp_path, examples, name):
    validate(tmp_path, name, examples[name])


@pytest.mark.parametrize(
    ("name", "feature", "value"),
    [
        ("ntu", "labels", tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"fly"]))),
        ("ntu", "skeleton", tf.train.Feature(float_list=tf.train.FloatList(value=[1.0] * 149))),
        ("ntu", "skeleton", tf.train.Feature(float_list=tf.train.FloatList(value=[101.0] * 150))),
        ("egogesture", "depth", tf.train.Feature()),
    ],
)
def test_what_does_not_fit(tmp_path, examples, name, feature, value):
    changed = tf.train.Example.FromString(examples[name][0].SerializeToString())
    changed.features.feature[feature].CopyFrom(value)
    with pytest.raises(RuntimeError, match=f"feature '{feature}'"):
        validate(tmp_path, name, [changed, *examples[name][1:]])


def test_a_row_without_text_needs_none():
    example = make_example(Row(id="a", split="train", labels=("b",), media={}), {"video": [b"1", b"2"]})
    assert set(example.features.feature) == {"id", "labels", "video"}


@pytest.mark.parametrize(("name", "classes"), [("ntu", NtuSource), ("egogesture", EgoGestureSource)])
def test_the_classes_are_the_sources_own(name, classes):
    (domain,) = tfdv.load_schema_text(str(SCHEMAS / f"{name}.pbtxt")).string_domain
    assert tuple(domain.value) == classes("anywhere").classes
