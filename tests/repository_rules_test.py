"""Rules that no tool checks for us: which Keras, nothing executable in what we load, nothing of one machine."""

import ast
import re

import pytest

from tests import source_files

LARGEST_FILE = 500_000
# Loading any of these runs what the file says.
EXECUTABLE_FORMATS = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
OTHER_KERAS = {"tensorflow.keras", "tensorflow.python", "tf_keras"}
FOREIGN_PLACES = [
    # Folders of one machine.
    r"(?<![\w$}.])/(?:work|home|Users|farm|mnt)/\w",
    r"/root/\.(?:pyenv|cache)",
    r"/opt/(?:wheels|pypi)",
    r"\.\./shared\b",
    # Package indexes, which a lock file made behind a mirror would carry along.
    r"\bpypi\.(?:org|python)",
    r"pythonhosted\.org",
    r"(?m)^\s*--(?:extra-)?index-url",
    r"(?m)^\s*--find-links",
]


def unsafe_code(source):
    """What the source says that this project must not say, as (line, words) pairs."""
    found = []
    for node in ast.walk(ast.parse(source)):
        words = None
        if isinstance(node, ast.Attribute):
            text = ast.unparse(node)
            if text in {"tf.keras", "tensorflow.keras", "tf.compat.v1.keras", "yaml.load", "yaml.unsafe_load"}:
                words = text
        elif isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant):
            if (node.arg, node.value.value) in {("allow_pickle", True), ("safe_mode", False)}:
                words = ast.unparse(node)
        elif isinstance(node, ast.Name) and node.id == "enable_unsafe_deserialization":
            words = node.id
        if words:
            found.append((getattr(node, "lineno", node.value.lineno if isinstance(node, ast.keyword) else 0), words))
    return found + [
        (0, f"import {name}")
        for name in sorted(
            source_files.imports_any(source_files.imported_modules(source), EXECUTABLE_FORMATS | OTHER_KERAS)
        )
    ]


@pytest.mark.parametrize(
    "source",
    [
        "tf.keras.layers.Dense(1)",
        "from tensorflow import keras",
        "import tensorflow.keras.layers",
        "from tensorflow.keras import layers",
        "import tf_keras",
        "import pickle",
        "from joblib import load",
        "np.load(path, allow_pickle=True)",
        "keras.models.load_model(path, safe_mode=False)",
        "yaml.load(text)",
    ],
)
def test_unsafe_code_is_seen(source):
    assert unsafe_code(source)


@pytest.mark.parametrize(
    "source",
    ["import keras", "yaml.safe_load(text)", "np.load(path, allow_pickle=False)", "'tf.keras'", "tf.constant(1)"],
)
def test_safe_code_passes(source):
    assert not unsafe_code(source)


def test_no_other_keras_and_nothing_executable_is_loaded():
    found = {
        str(path.relative_to(source_files.ROOT)): words
        for path in source_files.python_files()
        if (words := unsafe_code(path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    "text",
    ["see /" + "home/me/x", 'root = "/' + 'work/main"', "https://py" + "pi.org/simple", "a\n--index" + "-url x"],
)
def test_foreign_places_are_seen(text):
    assert any(re.search(pattern, text) for pattern in FOREIGN_PLACES)


def test_no_file_names_a_place_of_one_machine():
    found = {}
    for path in source_files.tracked_files():
        text = path.read_bytes().decode("utf-8", errors="replace")
        for pattern in FOREIGN_PLACES:
            if match := re.search(pattern, text):
                line = text.count("\n", 0, match.start()) + 1
                found.setdefault(f"{path.relative_to(source_files.ROOT)}:{line}", []).append(match.group())
    assert found == {}


def test_every_file_is_text_of_modest_size():
    found = {}
    for path in source_files.tracked_files():
        content = path.read_bytes()
        if len(content) > LARGEST_FILE:
            found[str(path.relative_to(source_files.ROOT))] = f"{len(content)} bytes"
        try:
            content.decode("utf-8")
        except UnicodeDecodeError:
            found[str(path.relative_to(source_files.ROOT))] = "binary"
    assert found == {}
