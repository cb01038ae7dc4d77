"""What Kubeflow Pipelines and Vertex AI want to find in a compiled pipeline, beside what TFX puts there."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from hfmnas_keras.addresses import is_address
from pipeline.config import RunConfig
from pipeline.kubeflow_config import ResourcesConfig

#: The endings of each platform's file, the usual one first.
PLATFORMS = {"kubeflow": (".yaml", ".yml"), "vertex": (".json",)}
#: What has to run each time, as what it finds is no input of it.
UNCACHED = ("ServedModel",)


def is_on_every_machine(path: str) -> bool:
    """Whether a path means the same on the machine that compiles and in a container: an address or a mounted bucket."""
    return is_address(path) or path.startswith("/gcs/")


def legal_name(name: str) -> str:
    """Returns a pipeline's name as both platforms allow it: small letters, digits and `-`."""
    return name.replace("_", "-").strip("-")


def write_compiled(
    job: dict[str, Any],
    path: pathlib.Path,
    platform: str,
    config: RunConfig,
    defaults: Mapping[str, str | None],
    training_stages: Sequence[str],
) -> None:
    """Writes the file of one platform.

    Args:
        job: dict. JSON of the PipelineJob that TFX compiled.
        path: `pathlib.Path` of the file.
        platform: str. One of `PLATFORMS`.
        config: `RunConfig`.
        defaults: mapping from the parameters' names to their defaults; None: each run has to say.
        training_stages: sequence of str. Stages that get `config.kubeflow.resources`; the others get
            `other_resources`.
    """
    from components.execution import EXECUTION_VARIABLE, execution_json

    spec = job["pipelineSpec"]
    kubeflow = config.kubeflow
    for name, parameter in spec["root"]["inputDefinitions"]["parameters"].items():
        # TFX loses the defaults of its RuntimeParameters on the way.
        if defaults[name] is not None:
            parameter.update(defaultValue=defaults[name], isOptional=True)
    execution = execution_json(search=config.search, training=config.training)
    for stage, task in spec["root"]["dag"]["tasks"].items():
        task["retryPolicy"] = {
            "maxRetryCount": kubeflow.retries,
            "backoffDuration": "30s",
            "backoffFactor": 2.0,
            "backoffMaxDuration": "600s",
        }
        if stage in UNCACHED:
            task.pop("cachingOptions", None)
        executor = spec["deploymentSpec"]["executors"][spec["components"][stage]["executorLabel"]]
        if "container" in executor:
            container = executor["container"]
            # In an environment variable, which is in no cache key.
            container["env"] = [{"name": EXECUTION_VARIABLE, "value": execution}]
            asked = kubeflow.resources if stage in training_stages else kubeflow.other_resources
            container["resources"] = _resources(asked, platform)
    path.parent.mkdir(parents=True, exist_ok=True)
    if platform == "vertex":
        job["runtimeConfig"] = {
            "gcsOutputDirectory": kubeflow.pipeline_root,
            "parameterValues": {name: value for name, value in defaults.items() if value is not None},
        }
        path.write_text(json.dumps(job, sort_keys=True) + "\n", encoding="utf-8")
    else:
        spec["defaultPipelineRoot"] = kubeflow.pipeline_root
        path.write_text(yaml.safe_dump(spec, sort_keys=True), encoding="utf-8")


def _resources(asked: ResourcesConfig, platform: str) -> dict[str, Any]:
    resources: dict[str, Any] = {"cpuLimit": asked.cpu, "memoryLimit": asked.memory_gb}
    if platform == "kubeflow":
        # Backends from 2.4 read the words of Kubernetes, older ones the numbers.
        resources.update(resourceCpuLimit=f"{asked.cpu:g}", resourceMemoryLimit=f"{asked.memory_gb:g}G")
    if asked.gpu_count:
        kind = asked.vertex_gpu if platform == "vertex" else asked.kubernetes_gpu
        accelerator = {"type": kind, "count": str(asked.gpu_count)}
        if platform == "kubeflow":
            accelerator.update(resourceType=kind, resourceCount=str(asked.gpu_count))
        resources["accelerator"] = accelerator
    return resources
