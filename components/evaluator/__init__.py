"""The gate: TFMA metrics equal to scikit-learn's, the evaluation's configuration, and how its result is read.

Kept empty of imports: `components.evaluator.f1_metric` is imported by Beam workers.
"""
