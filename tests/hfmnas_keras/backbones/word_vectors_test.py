import numpy as np
import pytest

from hfmnas_keras.backbones.word_vectors import read_word_vectors


def write(tmp_path, content):
    path = tmp_path / "vectors.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


@pytest.mark.parametrize("header", ["", "4 3\n"])
def test_reads_glove_and_word2vec_text(tmp_path, header):
    lines = "the 1 2 3\ncat -1e-2 0.5 4\nthe 9 9 9\n. . 7 7 7\nunknown x y z\nété 5 6 7"
    vectors, found = read_word_vectors(write(tmp_path, header + lines), ["été", "dog", "the", "cat"], 3)
    np.testing.assert_array_equal(found, [True, False, True, True])
    np.testing.assert_allclose(vectors, [[5, 6, 7], [0, 0, 0], [1, 2, 3], [-0.01, 0.5, 4]], atol=1e-7)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("the 1 2\n", "width 2, expected 3"),
        ("the 1 2 3 4\n", "width 4, expected 3"),
        ("10 4\nthe 1 2 3 4\n", "width 4, expected 3"),
        ("the 1 2 3\ncat 1 2\n", "Line 2"),
        ("the 1 2 x\n", "holds no 3 numbers"),
        ("the 1 2 nan\n", "NaN, infinity"),
        ("the 1 2 1e60\n", "NaN, infinity"),
        ("a" * 100_000, "longer than"),
        (b"\x00\xff" * 50_000, "longer than"),
    ],
)
def test_hostile_files_are_clear_errors(tmp_path, content, message):
    with pytest.raises(ValueError, match=message), np.errstate(over="ignore"):
        read_word_vectors(write(tmp_path, content), ["the"], 3)


def test_invalid_utf_8_and_empty_files_find_nothing(tmp_path):
    assert not read_word_vectors(write(tmp_path, b"\xff\xfe 1 2 3\n\n"), ["the"], 3)[1].any()
    assert not read_word_vectors(write(tmp_path, b""), ["the"], 3)[1].any()
