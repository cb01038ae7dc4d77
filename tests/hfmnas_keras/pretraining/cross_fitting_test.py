import hashlib

import numpy as np

from hfmnas_keras.pretraining.cross_fitting import folds_of


def test_is_the_hash_of_seed_and_id():
    expected = [int.from_bytes(hashlib.sha256(f"3:{name}".encode()).digest(), "big") % 5 for name in ("a", "ü", "b")]
    np.testing.assert_array_equal(folds_of(["a", "ü", "b"], 5, seed=3), expected)


def test_folds_are_even_and_do_not_depend_on_company():
    ids = [f"row {number}" for number in range(2000)]
    folds = folds_of(ids, 5, seed=0)
    assert np.bincount(folds).min() > 300
    np.testing.assert_array_equal(folds_of(ids[::-3], 5, seed=0), folds[::-3])
    assert (folds_of(ids, 5, seed=1) != folds).any()
