import numpy as np
import pytest
import tensorflow as tf

from hfmnas_keras.preparation.preparation import Preparation, count_words


def png(colour, size=(3, 5)):
    return tf.io.encode_png(np.broadcast_to(np.array(colour, "uint8"), (*size, 3))).numpy()


def features(texts, pictures, labels):
    return {
        "text": tf.constant(texts),
        "image": tf.constant(pictures),
        "labels": tf.ragged.constant(labels, ragged_rank=1, dtype=tf.string).to_sparse(),
    }


@pytest.fixture
def vocabulary(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("red\nfish\n", encoding="utf-8")
    return str(path)


def test_words_pictures_and_labels_by_hand(vocabulary):
    preparation = Preparation(["cat", "dog"], False, (2, 4), 3, vocabulary)
    rows = features(["Red, red FISH swims", ""], [png((9, 8, 7)), b"no picture"], [["dog"], []])
    prepared = preparation(rows)
    # 0 is padding, then the file's words from 1 on, then one id for all others.
    assert prepared["tokens"].numpy().tolist() == [[1, 1, 2], [0, 0, 0]]
    assert preparation(features(["swims"], [b""], [[]]))["tokens"].numpy().tolist() == [[3, 0, 0]]
    assert preparation.vocabulary_size == 4
    picture = tf.io.decode_png(prepared["image"][0, 0]).numpy()
    assert picture.shape == (2, 4, 3) and (picture == [9, 8, 7]).all()
    assert prepared["image"][1, 0] == b""
    assert prepared["label"].numpy().tolist() == [[1], [-1]]


def test_a_text_that_is_not_there_has_not_even_the_marks_of_an_encoder(tmp_path):
    path = tmp_path / "pieces.txt"
    path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nred\n", encoding="utf-8")
    tokenizer = {"lower_case": True, "strip_accents": True}
    preparation = Preparation(["cat", "dog"], False, (2, 2), 5, str(path), tokenizer=tokenizer)
    tokens = preparation(features(["red", " \n", ""], [b""] * 3, [[], [], []]))["tokens"]
    assert tokens.numpy().tolist() == [[2, 4, 3, 0, 0], [0] * 5, [0] * 5]


def test_several_labels(vocabulary):
    preparation = Preparation(["cat", "dog"], True, (2, 2), 3, vocabulary)
    prepared = preparation(features(["a", "b", "c"], [b""] * 3, [["dog", "cat"], ["cat"], []]))
    assert prepared["labels"].numpy().tolist() == [[1, 1], [1, 0], [0, 0]]


def test_words_are_counted():
    counts, lengths = count_words(["A cat, a dog", "", "cat"])
    assert counts == {"a": 2, "cat": 2, "dog": 1}
    assert lengths == [4, 0, 1]
