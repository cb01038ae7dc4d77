"""Loads compiled pipelines with the clients of Kubeflow and Vertex AI, which need an environment of their own.

Run by a test: `python kubeflow_clients.py FOLDER`. Prints one line of JSON: what each client made of each file.
"""

import json
import pathlib
import sys

import kfp.components
from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform

GIVEN = {"data-root": "gs://bucket/data", "manifest": "gs://bucket/rows.jsonl", "source-fingerprint": "today"}


def kubeflow(path):
    """What a run must give and may give, as kfp's loader reads it."""
    inputs = kfp.components.load_component_from_file(str(path)).component_spec.inputs
    required = sorted(name for name, each in inputs.items() if not each.optional)
    return {"required": required, **{name: each.default for name, each in inputs.items() if each.optional}}


def vertex(path):
    """The values of a run's parameters, as Vertex AI's client would send them."""
    known = json.loads(path.read_text(encoding="utf-8"))["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]
    job = aiplatform.PipelineJob(
        display_name="test",
        template_path=str(path),
        parameter_values={name: value for name, value in GIVEN.items() if name in known},
        project="project",
        location="us-central1",
        credentials=AnonymousCredentials(),
    )
    return dict(job._gca_resource.runtime_config.parameter_values.items())


folder = pathlib.Path(sys.argv[1])
print(
    json.dumps(
        {
            "kubeflow": {path.stem: kubeflow(path) for path in folder.glob("*.yaml")},
            "vertex": {path.stem: vertex(path) for path in folder.glob("*.json")},
        }
    )
)
