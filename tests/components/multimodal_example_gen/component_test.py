"""Ingest, statistics and validation as a pipeline, by the local runner; and compiled for Kubeflow."""

import json
import os
import pathlib

import pytest
from ml_metadata.proto import metadata_store_pb2
from PIL import Image
from tfx import v1 as tfx
from tfx.orchestration import data_types, metadata

from components.example_validator.component import ExampleValidator
from components.multimodal_example_gen.component import MultimodalExampleGen
from tests.components.multimodal_example_gen import manifest_folder
from tests.layouts import egogesture_folder, ntu_folder

SCHEMAS = pathlib.Path(__file__).resolve().parents[3] / "schemas"


class Run:
    """A pipeline in a folder of its own, which can be run again and again."""

    def __init__(self, folder):
        self.folder = folder
        self.data = folder / "data"
        records = manifest_folder.rows(12)
        manifest_folder.save_pictures(self.data, records)
        self.manifest = manifest_folder.write_jsonl(self.data, records)
        self.connection = tfx.orchestration.metadata.sqlite_metadata_connection_config(str(folder / "metadata.db"))

    def run(self, schema="manifest.pbtxt", validate=True):
        """Runs it; returns the last state of each stage."""
        before = set(self._executions())
        example_gen = MultimodalExampleGen(source="manifest", source_config={"manifest": self.manifest})
        stages = [example_gen]
        if validate:
            statistics = tfx.components.StatisticsGen(examples=example_gen.outputs["examples"])
            imported = tfx.components.ImportSchemaGen(schema_file=str(SCHEMAS / schema))
            validator = ExampleValidator(statistics=statistics.outputs["statistics"], schema=imported.outputs["schema"])
            stages += [statistics, imported, validator]
        pipeline = tfx.dsl.Pipeline(
            pipeline_name="ingest",
            pipeline_root=str(self.folder / "root"),
            components=stages,
            enable_cache=True,
            metadata_connection_config=self.connection,
        )
        try:
            tfx.orchestration.LocalDagRunner().run(pipeline)
        finally:
            states = metadata_store_pb2.Execution.State
            after = {name: states.Name(state) for key, (name, state) in self._executions().items() if key not in before}
        return after

    def _executions(self):
        if not (self.folder / "metadata.db").exists():
            return {}
        with metadata.Metadata(self.connection) as connection:
            store = connection.store
            names = {kind.id: kind.name.rpartition(".")[2] for kind in store.get_execution_types()}
            return {
                execution.id: (names[execution.type_id], execution.last_known_state)
                for execution in store.get_executions()
            }


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """States of five runs of one pipeline."""
    run = Run(tmp_path_factory.mktemp("pipeline"))
    history = {"first": run.run(), "unchanged": run.run()}
    picture = run.data / "images" / "row-2.png"
    Image.new("RGB", (8, 10), "green").save(picture)
    history["changed picture"] = run.run(validate=False)
    history["unchanged again"] = run.run(validate=False)
    with pytest.raises(RuntimeError) as error:
        run.run(schema="demo.pbtxt")
    history["error"] = str(error.value)
    return history


def test_good_data_pass(history):
    states = history["first"]
    assert {states[name] for name in ("MultimodalExampleGen", "StatisticsGen", "ExampleValidator")} == {"COMPLETE"}


def test_unchanged_data_come_from_the_cache(history):
    assert {history["unchanged"][name] for name in ("MultimodalExampleGen", "StatisticsGen")} == {"CACHED"}
    assert history["unchanged again"] == {"MultimodalExampleGen": "CACHED"}


def test_a_changed_picture_behind_an_unchanged_manifest_is_read_again(history):
    assert history["changed picture"] == {"MultimodalExampleGen": "COMPLETE"}


def test_data_that_do_not_fit_the_schema_stop_the_run(history):
    assert "split 'train'" in history["error"] and "feature 'labels'" in history["error"]
    assert "cat" in history["error"] and "schemas/" in history["error"]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Settings of three sources, and files of theirs."""
    folder = tmp_path_factory.mktemp("sources")
    records = manifest_folder.rows(6)
    manifest_folder.save_pictures(folder / "manifest", records)
    manifest = manifest_folder.write_jsonl(folder / "manifest", records)
    ntu = ntu_folder.write_folder(folder / "ntu", 4)
    clips = sorted(path.stem for path in (ntu / "nturgb+d_skeletons").iterdir())
    (folder / "missing.txt").write_text(f"{clips[0]}\n")
    ego = egogesture_folder.write_folder(folder / "egogesture", 4)
    table = sorted(ego.glob("labels-final-revised1/**/*.csv"))[0]
    frames = {kind: sorted(ego.glob(f"images/**/{kind}/**/*.jpg"))[5] for kind in ("Color", "Depth")}
    settings = {
        "manifest": {"manifest": manifest},
        "ntu": {"data_root": str(ntu), "missing_list": str(folder / "missing.txt")},
        "egogesture": {"data_root": str(ego)},
    }
    files = {
        ("manifest", "rows"): pathlib.Path(manifest),
        ("manifest", "picture"): folder / "manifest" / "images" / "row-3.png",
        ("ntu", "video"): ntu_folder.video_path(ntu, clips[1]),
        ("ntu", "skeleton"): ntu_folder.skeleton_path(ntu, clips[1]),
        ("ntu", "missing list"): folder / "missing.txt",
        ("egogesture", "colour"): frames["Color"],
        ("egogesture", "depth"): frames["Depth"],
        ("egogesture", "table"): table,
    }
    return settings, files


@pytest.mark.parametrize("by", ["content", "metadata"])
@pytest.mark.parametrize(
    ("source", "file"),
    [
        *(("manifest", "rows"), ("manifest", "picture")),
        *(("ntu", "video"), ("ntu", "skeleton"), ("ntu", "missing list")),
        *(("egogesture", "colour"), ("egogesture", "depth"), ("egogesture", "table")),
    ],
)
def test_one_changed_byte_is_another_cache_key(sources, source, file, by):
    settings, files = sources

    def cache_key():
        return MultimodalExampleGen(source, settings[source], fingerprint_by=by).exec_properties["source_fingerprint"]

    path = files[source, file]
    before, data, status = cache_key(), path.read_bytes(), path.stat()
    assert before.startswith(f"{by}:") and cache_key() == before
    # A blank for the line feed at the end, or another byte of a picture.
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 0x2A]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert cache_key() != before
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert cache_key() == before


def spec_of(tmp_path, component):
    runner = tfx.orchestration.experimental.KubeflowV2DagRunner(
        config=tfx.orchestration.experimental.KubeflowV2DagRunnerConfig(default_image="image"),
        output_dir=str(tmp_path),
        output_filename="pipeline.json",
    )
    runner.run(tfx.dsl.Pipeline(pipeline_name="ingest", pipeline_root="/root", components=[component]))
    compiled = json.loads((tmp_path / "pipeline.json").read_text())
    spec = compiled.get("pipelineSpec", compiled)
    (executor,) = spec["deploymentSpec"]["executors"].values()
    (task,) = [task for name, task in spec["root"]["dag"]["tasks"].items() if "MultimodalExampleGen" in name]
    return executor["container"]["args"], task["inputs"]["parameters"]


def test_compiled_where_the_data_cannot_be_seen(tmp_path):
    config = {"manifest": "/gcs/bucket/posters.jsonl"}
    args, parameters = spec_of(tmp_path, MultimodalExampleGen("manifest", config))
    assert "components.multimodal_example_gen.executor.Executor" in args
    assert json.dumps(parameters["source_fingerprint"]).count("unseen-") == 1
    _, again = spec_of(tmp_path, MultimodalExampleGen("manifest", config))
    assert again["source_fingerprint"] != parameters["source_fingerprint"]
    assert again["source_config"] == parameters["source_config"]


def test_compiled_with_a_parameter_for_the_data(tmp_path):
    parameter = data_types.RuntimeParameter(name="source-fingerprint", ptype=str)
    component = MultimodalExampleGen("manifest", {"manifest": "/gcs/bucket/p.jsonl"}, source_fingerprint=parameter)
    _, parameters = spec_of(tmp_path, component)
    assert parameters["source_fingerprint"] == {"componentInputParameter": "source-fingerprint"}


def test_wrong_settings_show_when_the_pipeline_is_made():
    with pytest.raises(ValueError, match="sede"):
        MultimodalExampleGen("demo", {"sede": 1})
