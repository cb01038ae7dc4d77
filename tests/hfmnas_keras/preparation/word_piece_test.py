import hashlib
import json
import subprocess
import sys
import textwrap
import unicodedata

import numpy as np
import pytest
import tensorflow as tf

from components.transform.encoder_preparation import tokenizer_of
from hfmnas_keras.backbones.encoder_folder import find_encoder, vocabulary_path
from hfmnas_keras.preparation.word_piece import WordPiece, normal_forms
from tests.oracles.golden import wordpiece_golden

GOLDEN = wordpiece_golden()
TEXTS, MAX_TOKENS = GOLDEN["texts"], GOLDEN["max_tokens"]
PIECES = {piece: number for number, piece in enumerate(GOLDEN["vocabulary"])}


@pytest.fixture
def vocabulary(tmp_path):
    path = tmp_path / "vocabulary.txt"
    path.write_text("".join(f"{piece}\n" for piece in GOLDEN["vocabulary"]), encoding="utf-8")
    return str(path)


def rows_that_differ(tokenizer, expected, texts=TEXTS):
    ids = tokenizer(tf.constant(texts)).numpy()
    return {
        text: row.tolist() for text, row, golden in zip(texts, ids, expected, strict=True) if row.tolist() != golden
    }


@pytest.mark.parametrize(("kind", "is_uncased"), [("uncased", True), ("cased", False)])
def test_ids_equal_those_of_hugging_face(vocabulary, kind, is_uncased):
    assert rows_that_differ(WordPiece(vocabulary, MAX_TOKENS, is_uncased, is_uncased), GOLDEN[kind]) == {}


def test_ids_equal_those_of_hugging_face_on_the_real_vocabulary():
    try:
        folder = find_encoder("minilm")
    except ValueError as error:
        pytest.skip(f"the published vocabulary is not at hand: {error}")
    arguments = {**tokenizer_of(str(folder)), "vocabulary": str(vocabulary_path(folder))}
    tokenizer = WordPiece(max_tokens=MAX_TOKENS, **arguments)
    assert rows_that_differ(tokenizer, GOLDEN["minilm"]) == {}


@pytest.mark.parametrize(("kind", "is_uncased"), [("uncased", True), ("cased", False)])
def test_every_character_becomes_the_words_that_it_becomes_there(vocabulary, kind, is_uncased):
    """Of Unicode 3.2, that is: newer ones change with the version of Python's table."""
    blocks = {}
    for code in sorted({*range(0xD800), *range(0xE000, 0x110000)} - set(GOLDEN["changed"])):
        if unicodedata.ucd_3_2_0.category(chr(code)) != "Cn":
            blocks.setdefault(f"{code // 256 * 256:x}", []).append(f"a{chr(code)}b")
    assert blocks.keys() == GOLDEN["characters"][kind].keys()
    tokenizer = WordPiece(vocabulary, MAX_TOKENS, is_uncased, is_uncased)
    words = iter(tokenizer.words(tf.constant([text for block in blocks.values() for text in block])).to_list())
    differing = []
    for block, texts in blocks.items():
        lines = "\n".join(b" ".join(next(words)).decode() for _ in texts)
        if hashlib.sha256(lines.encode()).hexdigest()[:10] != GOLDEN["characters"][kind][block]:
            differing.append(block)
    assert differing == []


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("The tower", ["the", "tower"]),
        ("Unbelievably", ["un", "##believ", "##ably"]),
        ("unbelievably東cafe", ["un", "##believ", "##ably", "東", "cafe"]),
        # The joiner goes, the picture that follows begins a piece within the word.
        ("👩\u200d👩", ["👩", "##👩"]),
        ("\u00e9", ["e"]),
        ("\U0001f9fe", ["[UNK]"]),
        ("x" * 100, ["x" * 100]),
        ("x" * 101, ["[UNK]"]),
        # Without its last letter it would be known.
        ("un\u0416", ["[UNK]"]),
        ("[CLS]", ["[", "c", "##l", "##s", "]"]),
    ],
)
def test_examples_by_hand(vocabulary, text, pieces):
    ids = WordPiece(vocabulary, MAX_TOKENS)(tf.constant([text])).numpy()[0].tolist()
    expected = [PIECES[piece] for piece in ["[CLS]", *pieces, "[SEP]"]]
    assert ids == expected + [0] * (MAX_TOKENS - len(expected))


def test_a_long_text_ends_with_its_sign(vocabulary):
    ids = WordPiece(vocabulary, 5)(tf.constant(["unbelievably the tower", "the"])).numpy()
    assert ids.tolist() == [
        [PIECES[p] for p in ("[CLS]", "un", "##believ", "##ably", "[SEP]")],
        [2, PIECES["the"], 3, 0, 0],
    ]
    assert WordPiece(vocabulary, 2)(tf.constant(["the"])).numpy().tolist() == [[2, 3]]


def test_bytes_that_are_no_text_are_dropped(vocabulary):
    ids = WordPiece(vocabulary, 4)(tf.constant([b"a\xff\xfe", b"\xc3"])).numpy()
    assert ids.tolist() == [[2, PIECES["a"], 3, 0], [2, 3, 0, 0]]


def test_no_texts_give_no_rows(vocabulary):
    assert WordPiece(vocabulary, 4)(tf.constant([], tf.string)).shape == (0, 4)


def test_a_row_does_not_depend_on_its_batch(vocabulary):
    tokenizer = WordPiece(vocabulary, MAX_TOKENS)
    alone = np.concatenate([tokenizer(tf.constant([text])) for text in TEXTS[:40]])
    np.testing.assert_array_equal(alone, tokenizer(tf.constant(TEXTS[:40])))


def test_a_saved_model_needs_none_of_our_code_and_may_move(vocabulary, tmp_path):
    tokenizer = WordPiece(vocabulary, MAX_TOKENS)
    module = tf.Module()
    module.tokenizer = tokenizer
    module.ids = tf.function(
        lambda text: {"ids": tokenizer(text)}, input_signature=[tf.TensorSpec([None], tf.string, "text")]
    )
    signatures = {"first": module.ids, "second": tf.function(module.ids, input_signature=module.ids.input_signature)}
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=signatures)
    (tmp_path / "model").rename(tmp_path / "moved")
    # The table is there once, not for each signature.
    assert (tmp_path / "moved" / "saved_model.pb").stat().st_size < 1_500_000
    # What follows finds no file where the vocabulary was.
    tf.io.gfile.remove(vocabulary)
    program = """
        import json, sys
        import tensorflow as tf
        ids = tf.saved_model.load(sys.argv[1]).signatures["second"](text=tf.constant(json.loads(sys.stdin.read())))
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
    assert json.loads(result.stdout) == GOLDEN["uncased"]


@pytest.mark.parametrize("pieces", [["[UNK]", "[PAD]", "[CLS]", "[SEP]"], ["[PAD]", "[UNK]", "[CLS]"]])
def test_a_vocabulary_without_the_four_pieces_is_an_error(tmp_path, pieces):
    (tmp_path / "v.txt").write_text("\n".join(pieces))
    with pytest.raises(ValueError, match=r"must have \[PAD\] in its first line"):
        WordPiece(str(tmp_path / "v.txt"), 8)


def test_too_few_tokens_are_an_error(vocabulary):
    with pytest.raises(ValueError, match="Received: 1"):
        WordPiece(vocabulary, 1)


def test_the_table_of_characters_is_small():
    codes, forms = normal_forms(True, True)
    assert len(codes) == len(forms) == len(set(codes)) < 25_000
