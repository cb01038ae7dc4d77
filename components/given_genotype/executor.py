"""The work of `GivenGenotype`."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.code_fingerprint import check_code
from components.local_folders import writable_folder
from hfmnas_keras.genotype.load_genotype import genotype_from_json, save_genotypes

#: What this stage runs.
CODE = (__name__,)


class Executor(base_executor.BaseExecutor):
    """Executor of `GivenGenotype`."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the genotype.

        Args:
            input_dict: nothing.
            output_dict: `genotype`: one `components.Genotype`.
            exec_properties: `genotype_json`; `model`; `code_fingerprint`.
        """
        check_code(exec_properties, CODE)
        genotype = checked_genotype(exec_properties["genotype_json"], exec_properties["model"])
        with writable_folder(artifact_utils.get_single_uri(output_dict["genotype"])) as folder:
            save_genotypes([genotype], folder)


def checked_genotype(text: str, model: str) -> Any:
    """Reads a genotype of a model.

    Raises:
        ValueError: when it is none.
    """
    try:
        return genotype_from_json(text, model)
    except ValueError as error:
        raise ValueError(f"`genotype` names no genotype of the model {model!r}: {error}") from error
