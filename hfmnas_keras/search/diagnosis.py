"""Whether a search decided anything, and whether what it decided is worth something."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from hfmnas_keras.edge_operations import has_weights
from hfmnas_keras.genotype.base_genotype import BaseGenotype
from hfmnas_keras.genotype.cell_diagram import CellDiagram
from hfmnas_keras.genotype.probability_table import ProbabilityTable
from hfmnas_keras.search.search_warning import SearchWarning

#: What a warning can say, the worst first.
VERDICTS = ("collapsed", "not discretisable", "undecided")
# The bounds, with what they mean for a cell of eight chosen edges (docs/method.md, section 7). By chance, all nine
# operations alike, fewer than 1 cell in 350 has seven edges without parameters, and 1 in 1,300 five that are `skip`.
MOST_SKIP = 0.5
MOST_PARAMETER_FREE = 0.75
MOST_NONE = 0.5
# With fewer choices than this it is no surprise that all are the same.
FEWEST_ALIKE = 3
# One logit of ten that is 0.8 above the others makes an entropy of 0.98, and one that is 0.43 above them a gap of 0.05.
LEAST_ENTROPY_UNDECIDED = 0.98
LEAST_GAP = 0.05
LEAST_TRAVEL = 1.0
# Sharp distributions (`travel: 12`) kept 8 tenths of the supernet's macro F1 on the demo, flat ones (3) three tenths.
LEAST_DISCRETISED_SHARE = 0.5


def decisiveness(probabilities: Mapping[str, np.ndarray], tables: Mapping[str, ProbabilityTable]) -> dict[str, float]:
    """How far the choices have parted, as means over the choices of all cells.

    Args:
        probabilities: arrays by label, as of `BaseSupernet.probabilities`.
        tables: what their columns are, as of `BaseGenotype.probability_tables`.

    Returns:
        dict: `gamma_entropy` and `beta_entropy` (1 is uniform over the operations left), `gamma_gap`
        and `beta_gap` (between the best and the second probability), `skip_share` and `none_share` (mean probability
        on the edges).
    """
    record = {}
    for kind in ("gamma", "beta"):
        rows = _rows(probabilities, kind)
        entropy = -(rows * np.log(np.maximum(rows, 1e-300))).sum(axis=1)
        ordered = np.sort(rows, axis=1)
        # A choice that has no probability in any row is no longer one.
        choices = max(np.count_nonzero(rows.any(axis=0)), 2)
        record[f"{kind}_entropy"] = float(entropy.mean() / np.log(choices))
        # A single operation has no second.
        second = ordered[:, -2] if rows.shape[1] > 1 else 0.0
        record[f"{kind}_gap"] = float((ordered[:, -1] - second).mean())
    (columns,) = {tables[label].columns for label in probabilities if label.endswith("/gamma")}
    for operation in ("skip", "none"):
        share = _rows(probabilities, "gamma")[:, [name == operation for name in columns]]
        record[f"{operation}_share"] = float(share.sum(axis=1).mean())
    return record


def search_warnings(
    genotype: BaseGenotype,
    probabilities: Mapping[str, np.ndarray],
    history: Sequence[Mapping[str, Any]],
    travel: Mapping[str, float],
) -> tuple[SearchWarning, ...]:
    """What speaks against the result of a search (docs/method.md, section 7).

    Collapsed, in a cell: more than `MOST_SKIP` of the chosen edges are `skip`; more than `MOST_PARAMETER_FREE` have
    no weights; on more than `MOST_NONE` of them `none`, which is never chosen, is the likeliest; all edges, or
    all nodes, have the same operation (`FEWEST_ALIKE` of them or more). Edges that have no operations to choose from,
    as those of BM-NAS, are judged by `none` alone.

    Not discretisable: in the last epoch in which both were scored, the discretised model's macro F1 on dev is less than
    `LEAST_DISCRETISED_SHARE` of the supernet's.

    Undecided: the mean entropy of gamma or of beta was above `LEAST_ENTROPY_UNDECIDED` in every epoch; the mean gap
    between the best and the second probability is below `LEAST_GAP`; where features are chosen, those that were lead
    the next best by less than `LEAST_GAP`; no logit moved by `LEAST_TRAVEL`.

    Args:
        genotype: genotype that the search chose.
        probabilities: those that it was chosen from, arrays by label as of `BaseSupernet.probabilities`.
        history: records of the epochs, of which `gamma_entropy` and `beta_entropy` are read and, where they are there,
            `dev_macro_f1` and `discretised_dev_macro_f1`.
        travel: dict with `possible` and `largest`, as of `SearchResult`.

    Returns:
        tuple of `SearchWarning`, collapse first; empty where nothing was seen.
    """
    warnings = []
    tables = genotype.probability_tables()
    for cell in genotype.diagram():
        label = f"{cell.name}/gamma"
        chosen = np.asarray(probabilities[label], "float64")[list(tables[label].chosen)]
        warnings += _collapse(cell, chosen.argmax(axis=1) == tables[label].columns.index("none"))
    warnings += _discretised(history)
    present = decisiveness(probabilities, tables)
    for kind, what in (("gamma", "edges"), ("beta", "nodes")):
        lowest = min(record[f"{kind}_entropy"] for record in history)
        if lowest > LEAST_ENTROPY_UNDECIDED:
            warnings.append(
                SearchWarning(
                    "undecided",
                    f"{kind}_entropy",
                    f"The entropy of {kind} (1: uniform) never fell below {lowest:.3f}: the operations of the {what} "
                    f"are as good as untold apart. Expected: {LEAST_ENTROPY_UNDECIDED} or less. Search for more "
                    "epochs, or raise `travel`.",
                )
            )
        if present[f"{kind}_gap"] < LEAST_GAP:
            warnings.append(
                SearchWarning(
                    "undecided",
                    f"{kind}_gap",
                    f"The best operation of the {what} leads the second by a probability of "
                    f"{present[f'{kind}_gap']:.3f} only, in the mean. Expected: {LEAST_GAP} or more. Another seed may "
                    "choose otherwise: search for more epochs, raise `travel`, or compare several seeds.",
                )
            )
    lead = genotype.lead_of_features(probabilities)
    if lead is not None and lead < LEAST_GAP:
        warnings.append(
            SearchWarning(
                "undecided",
                "features",
                f"The features that the cells read lead the next best by {lead:.3f} only, in the mean product of their "
                f"probabilities. Expected: {LEAST_GAP} or more. Another seed may read others: search for more epochs, "
                "raise `travel`, or compare several seeds.",
            )
        )
    if travel["largest"] < LEAST_TRAVEL:
        warnings.append(
            SearchWarning(
                "undecided",
                "travel",
                f"No architecture logit moved by more than {travel['largest']:.3g} (possible: "
                f"{travel['possible']:.3g}). With less than about {LEAST_TRAVEL:g} the genotype is mostly noise. Raise "
                "`architecture_learning_rate` (or leave it None and raise `travel`), lower a coupled "
                "`architecture_weight_decay`, or search for more epochs.",
            )
        )
    return tuple(warnings)


def verdict(warnings: Sequence[SearchWarning]) -> str:
    """`"collapsed"`, `"not discretisable"`, `"undecided"` or `"decided"`: the worst that the warnings say."""
    seen = {warning.verdict for warning in warnings}
    return next((word for word in VERDICTS if word in seen), "decided")


def _discretised(history: Sequence[Mapping[str, Any]]) -> list[SearchWarning]:
    scored = [record for record in history if record.get("discretised_dev_macro_f1") is not None]
    if not scored:
        return []
    supernet, discretised = scored[-1]["dev_macro_f1"], scored[-1]["discretised_dev_macro_f1"]
    if discretised >= LEAST_DISCRETISED_SHARE * supernet:
        return []
    message = (
        f"The supernet has a macro F1 of {supernet:.3f} on dev, and the discretised model with the same weights "
        f"{discretised:.3f}. Expected: {LEAST_DISCRETISED_SHARE:.0%} of the former or more. The mixtures do the work, "
        "and not the operations that were chosen from them. Raise `travel`, lower a coupled `weight_decay`, or train "
        "candidates alone: `strategy: race`."
    )
    return [SearchWarning("not discretisable", "discretised", message)]


def _collapse(cell: CellDiagram, none_wins: np.ndarray) -> list[SearchWarning]:
    edges = [edge for node in cell.nodes for edge in node.edges if edge]
    cell_name = cell.short_title
    advice = (
        "Look at the scores of the unimodal heads (memorised features make weights useless), and compare with another "
        "seed."
    )
    warnings = []
    for rule, share, bound, what in (
        ("skip", _share(edge == "skip" for edge in edges), MOST_SKIP, "are `skip`"),
        (
            "parameter_free",
            _share(not has_weights(edge) for edge in edges),
            MOST_PARAMETER_FREE,
            "have no parameters (skip and pools)",
        ),
        ("none", float(none_wins.mean()), MOST_NONE, "would rather be `none`, their likeliest operation,"),
    ):
        if share > bound:
            message = f"{share:.0%} of the chosen edges of the {cell_name} {what}, above the bound of {bound:.0%}."
            warnings.append(SearchWarning("collapsed", rule, f"{message} {advice}"))
    for rule, names in (("same_edges", edges), ("same_nodes", [node.operation for node in cell.nodes])):
        if len(names) >= FEWEST_ALIKE and len(set(names)) == 1:
            message = f"All {len(names)} {rule[5:]} of the {cell_name} have the operation `{names[0]}`."
            warnings.append(SearchWarning("collapsed", rule, f"{message} {advice}"))
    return warnings


def _share(are_so: Iterable[bool]) -> float:
    """Of several; none of none."""
    listed = list(are_so)
    return sum(listed) / max(len(listed), 1)


def _rows(probabilities: Mapping[str, np.ndarray], kind: str) -> np.ndarray:
    return np.concatenate(
        [np.asarray(array, "float64") for label, array in probabilities.items() if label.endswith(f"/{kind}")]
    )
