"""`hfmnas_keras` works where only what `pip install .` brings is installed."""

import os
import subprocess
import sys

from tests import source_files

# Everything that an extra brings, and our own upper layers.
NOT_INSTALLED = [
    "tfx",
    "tfx_bsl",
    "apache_beam",
    "tensorflow_transform",
    "tensorflow_data_validation",
    "tensorflow_model_analysis",
    "tensorflow_metadata",
    "ml_metadata",
    "tf_keras",
    "keras_tuner",
    "tensorboard",
    "kfp",
    "pydantic",
    "yaml",
    "PIL",
    "jinja2",
    "matplotlib",
    "av",
    "sklearn",
    "pandas",
    "components",
    "pipeline",
]

PROGRAM = """
import importlib
import sys


class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"{{name}} is not installed in this test", name=name)


sys.meta_path.insert(0, NotInstalled())
for name in {blocked!r}:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        continue
    sys.exit(f"{{name}} was not blocked")
for name in {modules!r}:
    importlib.import_module(name)
print("imported", len({modules!r}))
"""


def test_every_module_imports_without_the_extras():
    modules = [
        ".".join(path.relative_to(source_files.ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in source_files.python_files("hfmnas_keras")
    ]
    program = PROGRAM.format(blocked=NOT_INSTALLED, modules=modules)
    # Importing TFT in this process, as other tests do, sets it, and TensorFlow would then ask for tf_keras.
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=source_files.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.split() == ["imported", str(len(modules))]
