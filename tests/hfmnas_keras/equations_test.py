"""Which tests hold each equation of the paper, as docs/method.md restates it, to an independent computation."""

import ast
import pathlib

import pytest

FOLDER = pathlib.Path(__file__).parent

# Equations, the file, the test.
TESTS = [
    ("1-2", "evidence/opinion_test.py", "test_hand_numbers"),
    ("3-5", "evidence/opinion_test.py", "test_dempster_equals_enumeration_over_the_frame"),
    ("3-5", "evidence/opinion_test.py", "test_proposition_1_a_surer_second_opinion_never_lowers_the_true_belief"),
    ("3-5", "evidence/opinion_test.py", "test_proposition_2_fused_uncertainty_grows_with_each_uncertainty"),
    ("8-8", "backbones/maxout_test.py", "test_equals_tensorflow_addons"),
    ("6-9", "models/parts/feature_grid_test.py", "test_values_against_numpy"),
    ("10-10", "edge_operations/edge_operations_test.py", "test_values"),
    ("10-10", "edge_operations/edge_operations_test.py", "test_gradients"),
    ("10-25", "cell/supernet_cell_test.py", "test_equals_a_loop_over_edges_and_operations"),
    ("10-25", "cell/supernet_gradients_test.py", "test_equal_finite_differences"),
    ("10-25", "cell/two_views_test.py", "test_random_genotypes"),
    ("11-23", "node_operations/node_operations_test.py", "test_values"),
    ("11-23", "node_operations/node_operations_test.py", "test_gradients"),
    ("12-12", "genotype/discretise_test.py", "test_strongest_edges_operations_and_fusions_are_chosen"),
    ("12-12", "cell/searched_cell_test.py", "test_equals_numpy"),
    ("11-23", "state_space/es2d_test.py", "test_equals_a_plain_recurrence"),
    ("11-23", "state_space/es2d_test.py", "test_gradients_equal_finite_differences_of_the_recurrence"),
    ("26-28", "inconsistency/dcca_test.py", "test_equals_float64_canonical_correlations"),
    ("26-28", "inconsistency/dcca_test.py", "test_gradient_equals_finite_differences"),
    ("26-28", "inconsistency/inconsistency_mitigation_test.py", "test_output_and_loss_over_three_steps"),
    ("14-15", "attention/multi_head_fusion_attention_test.py", "test_values_in_float64"),
]


def test_every_equation_of_the_network_has_a_test():
    held = set()
    for equations, _, _ in TESTS:
        first, last = map(int, equations.split("-"))
        held.update(range(first, last + 1))
    assert held == set(range(1, 29))


@pytest.mark.parametrize("file", sorted({file for _, file, _ in TESTS}))
def test_the_named_tests_exist(file):
    tree = ast.parse((FOLDER / file).read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert {name for _, named_file, name in TESTS if named_file == file} <= functions
