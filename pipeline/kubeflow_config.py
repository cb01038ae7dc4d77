"""The `kubeflow` part of a run's configuration: what a pipeline compiled for Kubeflow or Vertex AI needs to know."""

from __future__ import annotations

import pydantic

_STRICT = pydantic.ConfigDict(frozen=True, extra="forbid")


class ResourcesConfig(pydantic.BaseModel):
    """What one container asks for.

    Args:
        cpu: float. Cores.
        memory_gb: float. Gigabytes.
        gpu_count: int. GPUs; 0: none.
        kubernetes_gpu: str. Kubernetes' name of the resource, for Kubeflow. Defaults to `"nvidia.com/gpu"`.
        vertex_gpu: str. Vertex AI's name of the accelerator. Defaults to `"NVIDIA_TESLA_T4"`.
    """

    model_config = _STRICT

    cpu: pydantic.PositiveFloat = 8.0
    memory_gb: pydantic.PositiveFloat = 32.0
    gpu_count: pydantic.NonNegativeInt = 1
    kubernetes_gpu: str = "nvidia.com/gpu"
    vertex_gpu: str = "NVIDIA_TESLA_T4"


class KubeflowConfig(pydantic.BaseModel):
    """What the pipeline compiled for Kubeflow or Vertex AI needs to know; see docs/cloud.md.

    Args:
        image: str. Container image with this project and its pipeline extra installed.
        pipeline_root: str. Folder of the artifacts in a bucket, a default that a run may replace.
        schema_folder: str. Where the image has the folder `schemas/` of this project.
        checkpoint_root: str or None. Folder of checkpoints, which has to outlive a container. `None` (default):
            `checkpoints/<name>` below `pipeline_root`.
        parameters: dict of str. Values of the compiled file's parameters, such as `data-root`, that a run need not give
            then.
        resources: `ResourcesConfig`. For BackboneTrainer, FeatureExtractor, ArchitectureSearch, Tuner and Trainer.
        other_resources: `ResourcesConfig`. For the other stages. Defaults to 4 cores, 16 GB and no GPU.
        retries: int. How often a failed stage is tried again; those that train continue from their checkpoints.
            Defaults to 2.
    """

    model_config = _STRICT

    image: str = "hfmnas-keras:latest"
    pipeline_root: str = "gs://your-bucket/hfmnas"
    schema_folder: str = "/app/schemas"
    checkpoint_root: str | None = None
    parameters: dict[str, str] = {}
    resources: ResourcesConfig = ResourcesConfig()
    other_resources: ResourcesConfig = ResourcesConfig(cpu=4.0, memory_gb=16.0, gpu_count=0)
    retries: pydantic.NonNegativeInt = 2
