"""Writes `byte_pair.json`, golden values of Hugging Face's tokenizers for byte-level BPE as RoBERTa has it.

A small vocabulary is trained on the texts of `encoders.py`. Made anew in the environment of that file:

    oracle/bin/python tests/oracles/byte_pair.py
"""

import json
import pathlib

import tokenizers
from encoders import TEXTS, random_texts
from tokenizers import decoders
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import RobertaProcessing
from tokenizers.trainers import BpeTrainer

MAX_TOKENS = 24
# What RoBERTa's files begin with.
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
BLANKS = [
    "it's  we're\tI'll he'd I'm we've don't 'S 'sure",
    "a  b   c\n\nd \n e\t\tf  ",
    "   leading and trailing   ",
    "x\u00a0y\u2003z\u3000w\u0085v\u200bu",
    "12345 67,890.12 ½ ⅷ",
    "!!! ... --- ???!!! (a) [b]",
    "\u00a0\u00a0word  \u00a0word",
    "tab\tword \tword\t word",
    "aaaaaaaa aaa aaaa baaaab",
]


def tokenizer_of(texts):
    tokenizer = tokenizers.Tokenizer(BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=700,
        min_frequency=2,
        special_tokens=SPECIAL,
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*texts] * 2, trainer)
    tokenizer.post_processor = RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.enable_padding(length=MAX_TOKENS, pad_id=1, pad_token="<pad>")
    return tokenizer


def main():
    texts = [*TEXTS, *BLANKS, *random_texts()]
    tokenizer = tokenizer_of(texts)
    model = json.loads(tokenizer.to_str())["model"]
    vocabulary = sorted(model["vocab"], key=model["vocab"].get)
    golden = {
        "tokenizers": tokenizers.__version__,
        "max_tokens": MAX_TOKENS,
        "vocabulary": vocabulary,
        "merges": [" ".join(pair) for pair in model["merges"]],
        "words": [[word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)] for text in texts],
        "texts": texts,
        "ids": [tokenizer.encode(text).ids for text in texts],
    }
    path = pathlib.Path(__file__).parent / "byte_pair.json"
    lines = ",\n".join(
        f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in golden.items()
    )
    path.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
