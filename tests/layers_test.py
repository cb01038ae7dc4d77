"""Nothing imports upwards: schemas < hfmnas_keras < components < pipeline < tests, benchmarks, examples."""

import pytest

from tests import source_files

ABOVE_ALL = {"tests", "benchmarks", "examples"}
TFX = {
    "tfx",
    "tfx_bsl",
    "apache_beam",
    "tensorflow_transform",
    "tensorflow_data_validation",
    "tensorflow_model_analysis",
    "ml_metadata",
    "kfp",
    # Another Keras, which TFX's libraries bring along.
    "tf_keras",
}
# Where graphs are made or data flow; everything else is `keras.ops`.
USES_TENSORFLOW = {
    "cost",
    "data",
    "estimator",
    "export",
    "optimization",
    "preparation",
    "pretraining",
    "search",
    "training",
}


def offenders(folder, forbidden):
    return {
        str(path.relative_to(source_files.ROOT)): sorted(found)
        for path in source_files.python_files(folder)
        if (found := source_files.imports_any(source_files.imports_of(path), forbidden))
    }


@pytest.mark.parametrize(
    "source, package, expected",
    [
        ("import tfx.v1 as tfx", "", {"tfx.v1"}),
        ("from tfx import v1", "", {"tfx", "tfx.v1"}),
        ("def late():\n    import apache_beam", "", {"apache_beam"}),
        ("if True:\n    importlib.import_module('tfx')", "", {"tfx"}),
        ("from .. import pipeline", "components.trainer", {"components", "components.pipeline"}),
        ("from ..cell import mixed", "hfmnas_keras.search", {"hfmnas_keras.cell", "hfmnas_keras.cell.mixed"}),
        ("text = 'import tfx'", "", set()),
    ],
)
def test_the_reading_of_imports(source, package, expected):
    assert source_files.imported_modules(source, package) == expected


def test_a_name_that_only_begins_alike_is_not_forbidden():
    assert source_files.imports_any({"tfx.v1", "tfxlike", "pipeline"}, {"tfx", "pipelines"}) == {"tfx.v1"}


def test_there_are_files_to_check():
    for folder in ("hfmnas_keras", "components", "pipeline"):
        assert len(source_files.python_files(folder)) > 1, folder


def test_the_method_knows_nothing_of_the_pipeline():
    assert offenders("hfmnas_keras", TFX | ABOVE_ALL | {"components", "pipeline", "schemas"}) == {}


def test_the_method_uses_tensorflow_where_graphs_and_data_are_only():
    found = offenders("hfmnas_keras", {"tensorflow"})
    assert {name: names for name, names in found.items() if name.split("/")[1] not in USES_TENSORFLOW} == {}


def test_components_know_nothing_of_the_pipeline():
    assert offenders("components", ABOVE_ALL | {"pipeline"}) == {}


def test_the_pipeline_needs_no_tests_nor_benchmarks():
    assert offenders("pipeline", ABOVE_ALL) == {}


def test_a_local_run_does_without_vertex():
    """TFX's collected interface imports the client of Vertex AI: a third of a run's imports, for those who compile."""
    found = {**offenders("components", {"tfx.v1"}), **offenders("pipeline", {"tfx.v1"})}
    assert set(found) == {"pipeline/kubeflow_runner.py"}, found


def test_schemas_are_data_only():
    imports = {path.name: source_files.imports_of(path) for path in source_files.python_files("schemas")}
    assert not any(imports.values()), imports
