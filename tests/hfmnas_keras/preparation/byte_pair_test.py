import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from components.transform.encoder_preparation import encoder_preparation
from hfmnas_keras.backbones.convert_encoder import convert_encoder
from hfmnas_keras.preparation import byte_pair
from hfmnas_keras.preparation.byte_pair import BytePair, characters_of_bytes
from hfmnas_keras.settings.backbones import EncoderBackboneSettings
from tests.hfmnas_keras.backbones.encoder_sources import roberta_folder
from tests.oracles.golden import byte_pair_golden

GOLDEN = byte_pair_golden()
TEXTS, MAX_TOKENS = GOLDEN["texts"], GOLDEN["max_tokens"]
# The first two change places, so that 0 is padding.
PIECES = ["<pad>", "<s>", *GOLDEN["vocabulary"][2:]]
EXPECTED = [[1 - number if number < 2 else number for number in row] for row in GOLDEN["ids"]]


@pytest.fixture
def files(tmp_path):
    paths = []
    for name, lines in (("vocabulary.txt", PIECES), ("merges.txt", GOLDEN["merges"])):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        paths.append(str(tmp_path / name))
    return paths


def test_ids_equal_those_of_hugging_face(files):
    ids = BytePair(*files, MAX_TOKENS)(tf.constant(TEXTS)).numpy().tolist()
    differing = {text: row for text, row, expected in zip(TEXTS, ids, EXPECTED, strict=True) if row != expected}
    assert differing == {}


def test_words_equal_those_of_hugging_face(files):
    characters = characters_of_bytes()
    words = BytePair(*files, MAX_TOKENS).words(tf.constant(TEXTS)).to_list()
    assert [["".join(characters[byte] for byte in word) for word in row] for row in words] == GOLDEN["words"]


def test_the_leftmost_of_the_first_pair_in_the_list_merges(tmp_path):
    letters = ["<pad>", "<s>", "</s>", "<unk>", "a", "b", "aa", "aab", "ba"]
    (tmp_path / "v.txt").write_text("".join(f"{piece}\n" for piece in letters))
    (tmp_path / "m.txt").write_text("a a\nb a\naa b\n")
    tokenizer = BytePair(str(tmp_path / "v.txt"), str(tmp_path / "m.txt"), 8)
    # aaaaa: aa aa a. aabaa: aa b aa, as b a comes after a a; then aab aa. abaa: a b aa. A z is unknown.
    expected = [[1, 6, 6, 4, 2, 0, 0, 0], [1, 7, 6, 2, 0, 0, 0, 0], [1, 4, 5, 6, 2, 0, 0, 0], [1, 3, 2, 0, 0, 0, 0, 0]]
    assert tokenizer(tf.constant(["aaaaa", "aabaa", "abaa", "z"])).numpy().tolist() == expected


def test_a_long_text_ends_with_its_sign(files):
    ids = BytePair(*files, 4)(tf.constant(["tower tower tower tower", ""])).numpy()
    assert ids[0, 0] == ids[1, 0] == 1 and ids[0, 3] == 2 and ids[1].tolist() == [1, 2, 0, 0]


def test_bytes_that_are_no_text_are_dropped(files):
    tokenizer = BytePair(*files, 6)
    np.testing.assert_array_equal(tokenizer(tf.constant([b"a\xff\xfeb"])), tokenizer(tf.constant(["ab"])))


def test_no_texts_give_no_rows(files):
    assert BytePair(*files, 4)(tf.constant([], tf.string)).shape == (0, 4)


def test_a_row_does_not_depend_on_its_batch(files):
    tokenizer = BytePair(*files, MAX_TOKENS)
    alone = np.concatenate([tokenizer(tf.constant([text])) for text in TEXTS[:40]])
    np.testing.assert_array_equal(alone, tokenizer(tf.constant(TEXTS[:40])))


def test_a_word_is_read_up_to_its_bound(files, monkeypatch):
    monkeypatch.setattr(byte_pair, "LONGEST_WORD", 20)
    ids = BytePair(*files, 64)(tf.constant(["x" * 50, "x" * 20, "x" * 19]))
    np.testing.assert_array_equal(ids[0], ids[1])
    assert (ids[1] != ids[2]).numpy().any()


def test_a_saved_model_needs_none_of_our_code_and_may_move(files, tmp_path):
    tokenizer = BytePair(*files, MAX_TOKENS)
    module = tf.Module()
    module.tokenizer = tokenizer
    module.ids = tf.function(
        lambda text: {"ids": tokenizer(text)}, input_signature=[tf.TensorSpec([None], tf.string, "text")]
    )
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"serving_default": module.ids})
    (tmp_path / "model").rename(tmp_path / "moved")
    for path in files:
        tf.io.gfile.remove(path)
    program = """
        import json, sys
        import tensorflow as tf
        ids = tf.saved_model.load(sys.argv[1]).signatures["serving_default"](text=tf.constant(json.load(sys.stdin)))
        assert not any(name.split(".")[0] in ("components", "hfmnas_keras", "tensorflow_text") for name in sys.modules)
        print(json.dumps(ids["ids"].numpy().tolist()))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "moved")],
        input=json.dumps(TEXTS),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert json.loads(result.stdout) == EXPECTED


def test_transform_prepares_texts_for_a_converted_roberta(tmp_path):
    convert_encoder("roberta", roberta_folder(tmp_path / "source"), tmp_path / "encoder")
    (tokenizer,) = encoder_preparation([EncoderBackboneSettings(str(tmp_path / "encoder"))]).values()
    assert tokenizer.pop("sha256").count("+") == 1
    ids = BytePair(max_tokens=MAX_TOKENS, **tokenizer)(tf.constant(TEXTS)).numpy().tolist()
    assert ids == EXPECTED


@pytest.mark.parametrize("pieces", [["<s>", "<pad>", "</s>", "<unk>"], ["<pad>", "<s>", "</s>"]])
def test_a_vocabulary_without_the_four_pieces_is_an_error(tmp_path, files, pieces):
    (tmp_path / "v.txt").write_text("\n".join(pieces))
    with pytest.raises(ValueError, match="must have <pad> in its first line"):
        BytePair(str(tmp_path / "v.txt"), files[1], 8)


def test_too_few_tokens_are_an_error(files):
    with pytest.raises(ValueError, match="Received: 1"):
        BytePair(*files, 1)
