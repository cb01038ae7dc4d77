"""Each rule on probabilities made by hand; what is expected follows from the numbers beside it."""

import numpy as np
import pytest

from hfmnas_keras.genotype import BMGenotype, CellGenotype, Genotype, NodeChoice
from hfmnas_keras.operations import EDGE_OPERATIONS
from hfmnas_keras.search.diagnosis import decisiveness, search_warnings, verdict

NUM_NODES = 4
HEALTHY_EDGES = ("sep_conv_3x3", "skip", "linear_relu", "max_pool_3x3") * 2
HEALTHY_NODES = ("sum", "concat_fc", "linear_glu", "sum")
DECIDED = [{"gamma_entropy": 0.9, "beta_entropy": 0.8}]
TRAVEL = {"possible": 3.0, "largest": 2.2}


def make_cell(edges=HEALTHY_EDGES, fusions=HEALTHY_NODES):
    """Every node reads the cell's two inputs; all are kept."""
    nodes = (NodeChoice(i, (0, 1), tuple(edges[2 * i : 2 * i + 2]), fusion) for i, fusion in enumerate(fusions))
    return CellGenotype(NUM_NODES, tuple(nodes), kept=tuple(range(NUM_NODES)))


def make_rows(count, size, largest, second):
    """Rows of which two entries are given and the others share the rest."""
    rows = np.full((count, size), (1 - largest - second) / (size - 2))
    rows[:, 4], rows[:, 5] = largest, second
    return rows


def make_probabilities(largest=0.4, second=0.2):
    return {
        f"{name}/{kind}": make_rows(count, size, largest, second)
        for name in ("lfbc", "hfbc")
        for kind, count, size in (("gamma", 14, 10), ("beta", 4, 9))
    }


def rules(lfbc=None, hfbc=None, probabilities=None, history=DECIDED, travel=TRAVEL):
    genotype = Genotype(lfbc or make_cell(), hfbc or make_cell())
    warnings = search_warnings(genotype, probabilities or make_probabilities(), history, travel)
    return [(warning.verdict, warning.rule) for warning in warnings], warnings


def test_a_healthy_search_has_no_warning():
    assert rules() == ([], ())
    assert verdict(()) == "decided"


def test_mostly_skip():
    # Four of eight are at the bound of one half, five above it.
    half = ("skip",) * 4 + ("sep_conv_3x3", "linear_elu", "linear_tanh", "linear_relu")
    assert rules(lfbc=make_cell(half))[0] == []
    found, (warning,) = rules(lfbc=make_cell(("skip",) + half[:4] + half[5:]))
    assert found == [("collapsed", "skip")]
    assert "62% of the chosen edges of the LFBC are `skip`" in warning.message
    assert verdict([warning]) == "collapsed"


def test_mostly_without_parameters():
    six = ("skip", "max_pool_3x3", "avg_pool_3x3") * 2 + ("sep_conv_3x3", "linear_elu")
    assert rules(hfbc=make_cell(six))[0] == []
    found, (warning,) = rules(hfbc=make_cell(six[:6] + ("max_pool_3x3", "linear_elu")))
    assert found == [("collapsed", "parameter_free")]
    assert "88% of the chosen edges of the HFBC have no parameters" in warning.message


def test_none_is_the_likeliest():
    probabilities = make_probabilities()
    none = EDGE_OPERATIONS.index("none")
    # Rows of the chosen edges: those from the inputs into nodes 0 to 3 begin at 0, 2, 5 and 9.
    for row in (0, 1, 2, 3, 7, 8, 11, 12):
        probabilities["lfbc/gamma"][row, [none, 4]] = 0.41, 0.02
    assert rules(probabilities=probabilities)[0] == []
    probabilities["lfbc/gamma"][10, [none, 4]] = 0.41, 0.02
    found, (warning,) = rules(probabilities=probabilities)
    assert found == [("collapsed", "none")]
    assert "62% of the chosen edges of the LFBC would rather be `none`" in warning.message


def test_all_the_same_operation():
    found, (edges, nodes) = rules(lfbc=make_cell(("linear_tanh",) * 8), hfbc=make_cell(fusions=("sum",) * 4))
    assert found == [("collapsed", "same_edges"), ("collapsed", "same_nodes")]
    assert "All 8 edges of the LFBC have the operation `linear_tanh`" in edges.message
    assert "All 4 nodes of the HFBC have the operation `sum`" in nodes.message
    # Two are too few to wonder at.
    small = CellGenotype(1, (NodeChoice(0, (0, 1), ("linear_elu", "linear_elu"), "sum"),), kept=(0,))
    probabilities = {name: rows[:2] if "gamma" in name else rows[:1] for name, rows in make_probabilities().items()}
    assert rules(small, small, probabilities)[0] == []


def test_entropy_that_never_fell():
    history = [{"gamma_entropy": value, "beta_entropy": 0.8} for value in (1.0, 0.99, 0.995)]
    found, (warning,) = rules(history=history)
    assert found == [("undecided", "gamma_entropy")]
    assert "never fell below 0.990" in warning.message
    assert rules(history=[*history, {"gamma_entropy": 0.98, "beta_entropy": 0.8}])[0] == []
    found, _ = rules(history=[{"gamma_entropy": 0.9, "beta_entropy": 0.981}])
    assert found == [("undecided", "beta_entropy")]


def test_small_gap():
    # 0.24 - 0.20 = 0.04 on every edge and node; 0.26 - 0.20 = 0.06.
    found, warnings = rules(probabilities=make_probabilities(0.24, 0.20))
    assert found == [("undecided", "gamma_gap"), ("undecided", "beta_gap")]
    assert "probability of 0.040 only" in warnings[0].message
    assert rules(probabilities=make_probabilities(0.26, 0.20))[0] == []
    assert verdict(warnings) == "undecided"


def test_a_discretised_model_far_below_the_supernet():
    def scored(supernet, discretised):
        return {**DECIDED[0], "dev_macro_f1": supernet, "discretised_dev_macro_f1": discretised}

    # .35 is less than half of .76, .38 is not. The last epoch that has both tells.
    found, (warning,) = rules(history=[scored(0.76, 0.7), scored(0.76, 0.35), scored(0.76, None)])
    assert found == [("not discretisable", "discretised")]
    assert "F1 of 0.760 on dev" in warning.message and "0.350" in warning.message
    assert "strategy: race" in warning.message
    assert rules(history=[scored(0.76, 0.1), scored(0.76, 0.38)])[0] == []
    little = {"possible": 0.2, "largest": 0.1}
    _, warnings = rules(history=[scored(0.76, 0.1)], travel=little)
    assert verdict(warnings) == "not discretisable"
    _, warnings = rules(lfbc=make_cell(("skip",) * 8), history=[scored(0.76, 0.1)])
    assert verdict(warnings) == "collapsed"


def test_little_travel():
    found, (warning,) = rules(travel={"possible": 3.0, "largest": 0.62})
    assert found == [("undecided", "travel")]
    assert "by more than 0.62 (possible: 3)" in warning.message


def test_collapse_outweighs_indecision():
    _, warnings = rules(lfbc=make_cell(("skip",) * 8), travel={"possible": 0.2, "largest": 0.1})
    assert [warning.rule for warning in warnings] == ["skip", "parameter_free", "same_edges", "travel"]
    assert verdict(warnings) == "collapsed"


def test_decisiveness_by_hand():
    # Of each kind one choice is certain, the others are even between two operations: entropy 0 or ln 2, gap 1 or 0.
    gamma, beta = np.zeros((2, 10)), np.zeros((1, 9))
    gamma[0, EDGE_OPERATIONS.index("skip")] = 1.0
    gamma[1, [EDGE_OPERATIONS.index("none"), 4]] = 0.5
    beta[0, 2] = 1.0
    other = np.zeros((1, 9))
    other[0, [0, 8]] = 0.5
    probabilities = {"lfbc/gamma": gamma, "lfbc/beta": beta, "hfbc/gamma": gamma, "hfbc/beta": other}
    received = decisiveness(probabilities, Genotype(make_cell(), make_cell()).probability_tables())
    assert received == pytest.approx(
        {
            # Operations of no probability anywhere are excluded: three are left, and three.
            "gamma_entropy": 0.5 * np.log(2) / np.log(3),
            "beta_entropy": 0.5 * np.log(2) / np.log(3),
            "gamma_gap": 0.5,
            "beta_gap": 0.5,
            "skip_share": 0.5,
            "none_share": 0.25,
        }
    )


def test_leaving_operations_out_makes_no_search_decided():
    uniform = {}
    for name in ("lfbc", "hfbc"):
        gamma, beta = np.full((14, 10), 1 / 9), np.full((4, 9), 1 / 8)
        gamma[:, EDGE_OPERATIONS.index("skip")] = beta[:, 0] = 0.0
        uniform.update({f"{name}/gamma": gamma, f"{name}/beta": beta})
    record = decisiveness(uniform, Genotype(make_cell(), make_cell()).probability_tables())
    assert [record["gamma_entropy"], record["beta_entropy"]] == pytest.approx([1.0, 1.0])
    found, _ = rules(probabilities=uniform, history=[record])
    assert [rule for told, rule in found if told == "undecided"] == [
        "gamma_entropy",
        "gamma_gap",
        "beta_entropy",
        "beta_gap",
    ]


def bm_search(skip_0, skip_1, operations=("linear_glu",), beta=((0.4, 0.2, 0.2, 0.2),)):
    """Genotype and probabilities of a search of BM-NAS, of which the probabilities of `skip` are given."""
    steps = [{"inputs": [0, 1 + index], "operation": operation} for index, operation in enumerate(operations)]
    cells = [{"features": ["a", "b"], "steps": steps}, {"features": ["a", "c"], "steps": steps}]
    probabilities = {}
    for number, skip in enumerate((skip_0, skip_1)):
        probabilities[f"cell_{number}/gamma"] = np.stack([1 - np.array(skip), skip], axis=1)
        probabilities[f"cell_{number}/step_0/mixing"] = np.full((2, 2), 0.5)
        probabilities[f"cell_{number}/beta"] = np.array(beta)
    return BMGenotype(cells, ("a", "b", "c")), probabilities


def test_features_of_bm_nas_must_lead():
    # Cell 0: .9 * .8 against .9 * .7. Cell 1 may read no pair but those with c: .9 * .6 against .5 * .6.
    genotype, probabilities = bm_search([0.9, 0.8, 0.7], [0.9, 0.5, 0.6, 0.99])
    assert genotype.lead_of_features(probabilities) == pytest.approx((0.09 + 0.24) / 2)
    assert search_warnings(genotype, probabilities, DECIDED, TRAVEL) == ()
    genotype, probabilities = bm_search([0.9, 0.8, 0.79], [0.9, 0.88, 0.9, 0.99])
    # .009 and .018
    (warning,) = search_warnings(genotype, probabilities, DECIDED, TRAVEL)
    assert (warning.verdict, warning.rule) == ("undecided", "features")
    assert "lead the next best by 0.014 only" in warning.message


def test_collapse_of_bm_nas():
    genotype, probabilities = bm_search([0.4, 0.3, 0.01], [0.9, 0.1, 0.9, 0.9], ("sum",) * 3)
    # That every edge is `skip` is no choice.
    found = [(warning.rule, warning.message) for warning in search_warnings(genotype, probabilities, DECIDED, TRAVEL)]
    assert [rule for rule, _ in found] == ["none", "same_nodes", "same_nodes"]
    assert "100% of the chosen edges of the cell 0 would rather be `none`" in found[0][1]
    assert "All 3 nodes of the cell 1 have the operation `sum`" in found[2][1]


def test_decisiveness_of_bm_nas_leaves_out_what_is_no_choice():
    genotype, probabilities = bm_search([1.0, 0.0, 0.5], [1.0, 0.0, 0.5, 1.0], beta=((1.0, 0.0, 0.0, 0.0),))
    # Two of seven edges are even; the edges of the first step, even too, do not count.
    assert decisiveness(probabilities, genotype.probability_tables()) == pytest.approx(
        {
            "gamma_entropy": 2 / 7,
            "beta_entropy": 0.0,
            "gamma_gap": 5 / 7,
            "beta_gap": 1.0,
            "skip_share": 4 / 7,
            "none_share": 3 / 7,
        }
    )
