"""Whether a fused model is better than what a user would pick instead."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from tfx.dsl.io import fileio

from components.linear_references.raw_rows import RawRows
from components.linear_references.references import LinearReferences

REFERENCES_FILE = "references.json"
_HEAD = "_belief"


def write_references(folder: str, references: LinearReferences, rows: RawRows, above_reference: bool) -> None:
    """Scores the linear models and writes that beside an evaluation.

    Args:
        folder: str. The `uri` of a `ModelEvaluation`.
        references: `LinearReferences`.
        rows: `RawRows` of the split that was evaluated.
        above_reference: bool. Whether the gate looks at them.
    """
    record = {
        "above_reference": above_reference,
        "modalities": list(references.modalities),
        "macro_f1": references.macro_f1(rows),
        "dev_macro_f1": references.dev_macro_f1,
    }
    with fileio.open(os.path.join(folder, REFERENCES_FILE), "w") as file:
        file.write(json.dumps(record, indent=1) + "\n")


def read_references(folder: str) -> dict[str, Any] | None:
    """Returns what `write_references` wrote; `None` of an evaluation without references."""
    path = os.path.join(folder, REFERENCES_FILE)
    if not fileio.exists(path):
        return None
    with fileio.open(path, "r") as file:
        return json.loads(file.read())


def reference_reasons(
    fused: float | None, overall: Mapping[str, Mapping[str, float | None]], references: Mapping[str, Any] | None
) -> list[str]:
    """Why a model should not be blessed: something simpler has more macro F1.

    Args:
        fused: float or None. Macro F1 of the fused model. `None`, which is not a number, is refused elsewhere.
        overall: mapping from output to metrics; those of heads end with `_belief`.
        references: what `read_references` returns.

    Returns:
        list of str: nothing, or one sentence, about the best of the simpler models.
    """
    if references is None or not references["above_reference"] or fused is None:
        return []
    simpler = {
        f"a linear model on {modality} alone": references["macro_f1"][modality] for modality in references["modalities"]
    }
    for output, metrics in overall.items():
        if output.endswith(_HEAD) and metrics["f1_m"] is not None:
            simpler[f"its own {output.removesuffix(_HEAD)} head"] = metrics["f1_m"]
    if not simpler:
        return []
    name = max(simpler, key=lambda one: simpler[one])
    if fused >= simpler[name]:
        return []
    return [f"Macro F1 is {fused:.4f}, below the {simpler[name]:.4f} of {name}."]
