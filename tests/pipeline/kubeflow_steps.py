"""Executes a compiled PipelineSpec as a backend of Kubeflow does: one container after the other, each by its own argv.

It gives a step its inputs, outputs and parameters as the backend's driver does, reads what the step says of its outputs
from `executor_output.json`, and serves from a cache by component, parameters and input artifacts where the spec allows.
"""

from __future__ import annotations

import json
import os
from typing import Any

from tfx.dsl.io import fileio
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor as entry_point


class Backend:
    """Runs of one pipeline.

    Args:
        spec: dict. PipelineSpec.
        root: str. Folder of the artifacts.
    """

    def __init__(self, spec: dict[str, Any], root: str):
        self.spec = spec
        self.root = root
        self.cache: dict[str, dict[str, Any]] = {}
        self.runs = 0

    def run(self, arguments: dict[str, str], stop_before: str | None = None) -> tuple[list[str], dict[str, Any]]:
        """Returns the stages that were executed, not served from the cache, and the outputs by stage."""
        self.runs += 1
        parameters = self._parameters(arguments)
        outputs: dict[str, Any] = {}
        executed = []
        tasks = dict(self.spec["root"]["dag"]["tasks"])
        while tasks:
            ready = [name for name, task in tasks.items() if not set(task.get("dependentTasks", ())) & set(tasks)]
            for name in sorted(ready):
                if name == stop_before:
                    return executed, outputs
                task = tasks.pop(name)
                inputs = self._inputs(task, parameters, outputs)
                key = json.dumps([name, inputs], sort_keys=True)
                if not task.get("cachingOptions", {}).get("enableCache") or key not in self.cache:
                    self.cache[key] = self._execute(name, inputs)
                    executed.append(name)
                outputs[name] = self.cache[key]
        return executed, outputs

    def _parameters(self, arguments: dict[str, str]) -> dict[str, str]:
        parameters = {}
        known = self.spec["root"]["inputDefinitions"]["parameters"]
        assert set(arguments) <= set(known), set(arguments) - set(known)
        for name, parameter in known.items():
            assert name in arguments or parameter.get("isOptional"), f"{name} must be given"
            parameters[name] = arguments.get(name, parameter.get("defaultValue"))
        return parameters

    def _inputs(self, task: dict[str, Any], parameters: dict[str, str], outputs: dict[str, Any]) -> dict[str, Any]:
        of_task = task.get("inputs", {})
        values = {}
        for name, value in of_task.get("parameters", {}).items():
            if "componentInputParameter" in value:
                values[name] = parameters[value["componentInputParameter"]]
            else:
                values[name] = value["runtimeValue"]["constant"]
        artifacts = {}
        for name, value in of_task.get("artifacts", {}).items():
            source = value["taskOutputArtifact"]
            artifacts[name] = {"artifacts": [outputs[source["producerTask"]][source["outputArtifactKey"]]]}
        return {"parameterValues": values, "artifacts": artifacts}

    def _execute(self, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
        component = self.spec["components"][self.spec["root"]["dag"]["tasks"][name]["componentRef"]["name"]]
        executor = self.spec["deploymentSpec"]["executors"][component["executorLabel"]]
        assert set(executor) == {"container"}, f"{name}: Kubeflow's backend runs containers alone, not {set(executor)}"
        folder = f"{self.root}/run_{self.runs}/{name}"
        made = {
            key: {"name": f"{folder}/{key}", "uri": f"{folder}/{key}", "type": artifact["artifactType"]}
            for key, artifact in component.get("outputDefinitions", {}).get("artifacts", {}).items()
        }
        output_file = f"{folder}/executor_output.json"
        executor_input = {
            "inputs": inputs,
            "outputs": {
                "artifacts": {key: {"artifacts": [artifact]} for key, artifact in made.items()},
                "outputFile": output_file,
            },
        }
        container = executor["container"]
        for variable in container.get("env", ()):
            os.environ[variable["name"]] = variable["value"]
        module = container["command"][-1]
        assert module == entry_point.__name__, module
        argv = [argument.replace("{{$}}", json.dumps(executor_input)) for argument in container["args"]]
        entry_point.main(entry_point._parse_flags(argv))
        with fileio.open(output_file, "r") as file:
            said = json.loads(file.read())["artifacts"]
        return {key: {**artifact, "metadata": _metadata(said, key)} for key, artifact in made.items()}


def _metadata(said: dict[str, Any], key: str) -> dict[str, Any]:
    return said.get(key, {}).get("artifacts", [{}])[0].get("metadata", {})
