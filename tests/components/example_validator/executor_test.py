import pathlib

import pandas as pd
import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import io_utils

from components.example_validator.executor import Executor, describe_anomalies

SCHEMAS = pathlib.Path(__file__).resolve().parents[3] / "schemas"


def statistics(number=20, **columns):
    values = {
        "id": [[f"{index}".encode()] for index in range(number)],
        "image": [[b"\x89PNG"]] * number,
        "text": [[b"words"]] * number,
        "labels": [[b"flags"]] * number,
    }
    values.update(columns)
    frame = pd.DataFrame({name: value for name, value in values.items() if value is not None})
    return tfdv.generate_statistics_from_dataframe(frame)


def validate(folder, schema, **splits):
    """Runs the real executor over statistics of several splits."""
    inputs = {"statistics": [standard_artifacts.ExampleStatistics()], "schema": [standard_artifacts.Schema()]}
    (artifact,) = inputs["statistics"]
    artifact.uri = str(folder / "statistics")
    artifact.split_names = artifact_utils.encode_split_names(list(splits))
    for split, found in splits.items():
        path = folder / "statistics" / f"Split-{split}" / "FeatureStats.pb"
        path.parent.mkdir(parents=True)
        path.write_bytes(found.SerializeToString())
    inputs["schema"][0].uri = str(folder / "schema")
    (folder / "schema").mkdir()
    (folder / "schema" / "schema.pbtxt").write_text((SCHEMAS / schema).read_text())
    anomalies = standard_artifacts.ExampleAnomalies()
    anomalies.uri = str(folder / "anomalies")
    Executor().Do(inputs, {"anomalies": [anomalies]}, {"exclude_splits": "[]"})


@pytest.mark.parametrize("schema", ["demo.pbtxt", "manifest.pbtxt"])
def test_data_that_fit(tmp_path, schema):
    validate(tmp_path, schema, train=statistics(), test=statistics())
    assert (tmp_path / "anomalies" / "Split-test" / "SchemaDiff.pb").exists()


def test_every_anomaly_of_every_split_is_named_and_written(tmp_path):
    bad = statistics(labels=[[b"cat"]] * 20, text=None, more=[[1]] * 20)
    with pytest.raises(RuntimeError) as error:
        validate(tmp_path, "demo.pbtxt", train=statistics(), dev=bad)
    message = str(error.value)
    assert "split 'dev', feature 'labels'" in message and "cat" in message
    assert "split 'dev', feature 'text': Column dropped" in message
    assert "split 'dev', feature 'more': New column" in message
    assert "'train'" not in message
    written = anomalies_pb2.Anomalies.FromString((tmp_path / "anomalies" / "Split-dev" / "SchemaDiff.pb").read_bytes())
    assert set(written.anomaly_info) == {"labels", "text", "more"}


@pytest.mark.parametrize(
    "schema, columns",
    [
        ("demo.pbtxt", {"labels": [[b"flags", b"objects"]] * 20}),
        ("demo.pbtxt", {"labels": [[b"cat"]] + [[b"flags"]] * 19}),
        ("demo.pbtxt", {"labels": [None] + [[b"flags"]] * 19}),
        ("demo.pbtxt", {"id": [[1]] * 20}),
        ("manifest.pbtxt", {"labels": [None] + [[b"flags"]] * 19}),
        ("manifest.pbtxt", {"image": [None] + [[b"\x89PNG"]] * 19}),
        ("manifest.pbtxt", {"text": [[b"two", b"texts"]] * 20}),
    ],
)
def test_what_the_schemas_refuse(tmp_path, schema, columns):
    (feature,) = columns
    with pytest.raises(RuntimeError, match=f"feature '{feature}'"):
        validate(tmp_path, schema, train=statistics(**columns))


def test_any_classes_and_several_of_them_fit_the_manifests_schema(tmp_path):
    validate(tmp_path, "manifest.pbtxt", train=statistics(labels=[[b"cat", b"dog"]] * 10 + [[b"cow"]] * 10))


def test_anomalies_of_the_whole_data_set_are_described():
    anomalies = text_format.Parse(
        'dataset_anomaly_info { short_description: "Low num examples" description: "only 3" }',
        anomalies_pb2.Anomalies(),
    )
    assert describe_anomalies(anomalies) == ["data set: Low num examples: only 3"]
    assert describe_anomalies(anomalies_pb2.Anomalies()) == []


def test_demo_schema_lists_the_classes_of_the_demo():
    from components.multimodal_example_gen.sources.demo_source import COUNTS

    schema = io_utils.SchemaReader().read(str(SCHEMAS / "demo.pbtxt"))
    (domain,) = schema.string_domain
    assert list(domain.value) == sorted(COUNTS)
