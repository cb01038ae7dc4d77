import ast
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import hfmnas_keras
from hfmnas_keras import known_to_keras
from hfmnas_keras.layers.normalization import BatchNormalization
from hfmnas_keras.node_operations.linear_glu import LinearGLU
from tests import source_files


def decorated():
    """(package, module, class) of all that `register_keras_serializable` decorates, from the source."""
    found = set()
    for path in source_files.python_files("hfmnas_keras"):
        module = ".".join(path.relative_to(source_files.ROOT / "hfmnas_keras").with_suffix("").parts)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            for call in getattr(node, "decorator_list", ()):
                if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("register_keras_serializable"):
                    (package,) = [word.value.value for word in call.keywords if word.arg == "package"]
                    found.add((package, module, node.name))
    return found


def run(program, *arguments):
    result = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=source_files.ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout.strip()


def test_every_class_that_is_registered_stands_in_the_table():
    listed = {
        (package, module, name)
        for package, modules in known_to_keras._CLASSES.items()
        for module, names in modules.items()
        for name in names
    }
    assert listed == decorated(), "the table is in hfmnas_keras/known_to_keras.py"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model with a layer within a layer of ours, and what it says of a row."""
    inputs = [keras.Input((2, 2, 4), name=name) for name in ("first", "second")]
    outputs = BatchNormalization()(LinearGLU(channels=4)(inputs))
    model = keras.Model(inputs, outputs)
    path = tmp_path_factory.mktemp("model") / "model.keras"
    model.save(path)
    return path, float(np.abs(model([np.linspace(0, 1, 16).reshape(1, 2, 2, 4)] * 2)).sum())


@pytest.mark.parametrize(
    "imports",
    [
        "import hfmnas_keras, keras",
        "import keras, hfmnas_keras",
        "import hfmnas_keras; from keras.models import load_model; import keras",
        # Imports Keras while one of the classes is being defined.
        "import hfmnas_keras.layers.normalization; import keras",
    ],
)
def test_a_file_is_read_after_the_import_alone(saved, imports):
    path, expected = saved
    assert expected > 0.01
    program = (
        f"{imports}\nimport sys\nimport numpy as np\n"
        "assert 'hfmnas_keras.node_operations.linear_glu' not in sys.modules\n"
        "model = keras.models.load_model(sys.argv[1])\n"
        "print(float(np.abs(model([np.linspace(0, 1, 16).reshape(1, 2, 2, 4)] * 2)).sum()))"
    )
    assert float(run(program, path).splitlines()[-1]) == pytest.approx(expected, rel=1e-5)


def test_the_import_loads_nothing_heavy_until_a_name_is_asked_for():
    program = (
        "import sys, hfmnas_keras\n"
        "heavy = {'numpy', 'keras', 'tensorflow'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "hfmnas_keras.SearchSettings()\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "hfmnas_keras.searched_model\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert run(program).splitlines() == ["[]", "[]", "['keras', 'numpy', 'tensorflow']"]


def test_every_public_name_is_there():
    for name in hfmnas_keras.__all__:
        assert getattr(hfmnas_keras, name) is not None
    assert set(hfmnas_keras.__all__) <= set(dir(hfmnas_keras))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = hfmnas_keras.nothing
