import hashlib

import numpy as np

from hfmnas_keras.pretraining.cross_fitting import fold_keys, folds_of


def test_is_the_hash_of_seed_and_id():
    expected = [int.from_bytes(hashlib.sha256(f"3:{name}".encode()).digest(), "big") % 5 for name in ("a", "ü", "b")]
    np.testing.assert_array_equal(folds_of(["a", "ü", "b"], 5, seed=3), expected)


def test_folds_are_even_and_do_not_depend_on_company():
    ids = [f"row {number}" for number in range(2000)]
    folds = folds_of(ids, 5, seed=0)
    assert np.bincount(folds).min() > 300
    np.testing.assert_array_equal(folds_of(ids[::-3], 5, seed=0), folds[::-3])
    assert (folds_of(ids, 5, seed=1) != folds).any()


def test_rows_of_the_same_words_share_a_fold():
    tokens = np.array([[3, 7, 0], [7, 3, 3], [3, 8, 0], [0, 7, 3]])
    keys = fold_keys(["a", "b", "c", "d"], tokens)
    assert keys[0] == keys[1] == keys[3] and len(set(keys)) == 2
    rows = np.array([[number, number + 1, 0] for number in range(1, 400)] * 2)
    folds = folds_of(fold_keys([f"{row}" for row in range(len(rows))], rows), 5, seed=0)
    np.testing.assert_array_equal(folds[:399], folds[399:])
    assert np.bincount(folds).min() > 100


def test_rows_of_other_modalities_go_by_their_ids():
    ids = ["a", "b"]
    for rows in (np.zeros((2, 4, 4, 3), "uint8"), np.zeros((2, 5), "float32"), object()):
        assert fold_keys(ids, rows) is ids
