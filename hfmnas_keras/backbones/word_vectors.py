"""Reads pretrained word vectors in the text format of GloVe and word2vec."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Far more than any printed float32 takes, so that only a file that is no such file meets the bound.
_BYTES_A_NUMBER = 64
_BYTES_A_WORD = 4096


def read_word_vectors(path: str, vocabulary: Sequence[str], dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of the vocabulary's words from a text file with one word a line.

    A line is the word and its numbers, separated by single spaces. The `count dim` line that opens a word2vec file is
    skipped. Other words are not parsed; of a word that occurs twice the first line counts.

    Args:
        path: str. The file.
        vocabulary: words, in the order of the rows of the result.
        dim: int. Width of a vector.

    Returns:
        Pair of a float32 array `(words, dim)`, zeros where the file lacks the word, and a bool array `(words,)` that
        says which words were found.

    Raises:
        ValueError: when the file's width is not `dim`, a line is too long, or a number is none or not finite.
    """
    rows = {word: row for row, word in reversed(list(enumerate(vocabulary)))}
    vectors = np.zeros((len(vocabulary), dim), "float32")
    found = np.zeros(len(vocabulary), bool)
    longest = _BYTES_A_WORD + _BYTES_A_NUMBER * dim
    with open(path, "rb") as file:
        number = 0
        while line := file.readline(longest + 1):
            number += 1
            if len(line) > longest:
                raise ValueError(
                    f"Line {number} of the word vectors {path!r} is longer than {longest} bytes, which no word with "
                    f"{dim} numbers is. Expected a GloVe or word2vec text file of width {dim}."
                )
            fields = line.rstrip(b"\r\n ").split(b" ")
            if number == 1 and len(fields) == 2 and all(field.isdigit() for field in fields):
                if int(fields[1]) != dim:
                    raise ValueError(_wrong_width(path, number, int(fields[1]), dim))
                continue
            if fields == [b""]:
                continue
            # A few GloVe words hold spaces: such a line has more fields, but not only numbers after the first.
            if len(fields) < dim + 1 or (len(fields) > dim + 1 and _all_numbers(fields[1:])):
                raise ValueError(_wrong_width(path, number, len(fields) - 1, dim))
            if len(fields) > dim + 1:
                continue
            row = rows.get(fields[0].decode("utf-8", errors="replace"))
            if row is None or found[row]:
                continue
            try:
                vector = np.array([float(field) for field in fields[1:]], "float32")
            except ValueError as error:
                raise ValueError(
                    f"Line {number} of the word vectors {path!r} holds no {dim} numbers: {error}"
                ) from error
            if not np.isfinite(vector).all():
                raise ValueError(f"Line {number} of the word vectors {path!r} holds NaN, infinity or an overflow.")
            vectors[row], found[row] = vector, True
    return vectors, found


def _wrong_width(path: str, number: int, received: int, dim: int) -> str:
    return (
        f"Line {number} of the word vectors {path!r} has width {received}, expected {dim}. "
        f"Set `embedding_dim` to the file's width or take another file."
    )


def _all_numbers(fields: list[bytes]) -> bool:
    try:
        return bool([float(field) for field in fields])
    except ValueError:
        return False
