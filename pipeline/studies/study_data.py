"""The features on which the models of a study are trained and compared."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping

import numpy as np

from hfmnas_keras.atomic_file import atomic_file
from hfmnas_keras.data.feature_files import read_feature_set, write_feature_set
from hfmnas_keras.data.feature_set import FeatureSet
from pipeline.config import RunConfig

_DESCRIPTION = "data.json"


@dataclasses.dataclass(frozen=True)
class StudyData:
    """Where the features of a data set lie, and what they are.

    Args:
        folders: dict from `"train"`, `"dev"` and `"test"` to the folder of a feature set.
        num_outputs: int. Classes.
        vocabulary_size: int or None. Token ids, padding included; `None` where no modality is a text.
        digest: str. Of all rows: equal features have an equal one, wherever they lie.
    """

    folders: dict[str, str]
    num_outputs: int
    vocabulary_size: int | None
    digest: str

    def read(self, split: str) -> FeatureSet:
        """The rows of a split; they stay in memory for the next caller."""
        return _read(self.folders[split])


@functools.lru_cache(maxsize=3)
def _read(folder: str) -> FeatureSet:
    return read_feature_set(folder)


def prepare_study_data(config: RunConfig, root: pathlib.Path) -> StudyData:
    """Runs the pipeline up to its features, from the cache where they are there, and adds those of the test split.

    Args:
        config: `RunConfig`.
        root: folder of all studies; the test features go to `data/` below it and are made once.

    Returns:
        `StudyData`.

    Raises:
        RuntimeError: when the pipeline fails; it has said why.
    """
    # Here and not above: it is TFX, which the processes that train do without.
    from pipeline.definition import FEATURES_STAGE
    from pipeline.local_runner import run_and_summarise

    code, summary = run_and_summarise(config, last_stage=FEATURES_STAGE)
    if summary is None:
        raise RuntimeError(f"The pipeline of {config.name!r} ended with {code} before there were features, see above.")
    return study_data_of(summary.uris, len(config.preparation.classes), root)


def study_data_of(uris: Mapping[str, str], num_outputs: int, root: pathlib.Path) -> StudyData:
    """The data of a run, whose test features are made where they are not there yet.

    Args:
        uris: dict of str. Folders of the run's artifacts, see `pipeline.run_summary.RunSummary`.
        num_outputs: int. Classes.
        root: folder of all studies.

    Returns:
        `StudyData`.
    """
    # By content: a run that was removed and made again has artifacts of the same names.
    made_from = _digest_of_files(
        os.path.join(uris["MultimodalExampleGen.examples"], "Split-test"),
        uris["Transform.transform_graph"],
        uris["BackboneTrainer.backbones"],
    )
    test = root / "data" / made_from
    features = uris["FeatureExtractor.features"]
    folders = {
        **{split: os.path.join(features, f"Split-{split}") for split in ("train", "dev")},
        "test": str(test / "Split-test"),
    }
    description = test / _DESCRIPTION
    if not description.is_file():
        from pipeline.studies.test_features import extract_test_features, token_ids

        write_feature_set(extract_test_features(uris), folders["test"])
        with atomic_file(description) as file:
            file.write(json.dumps({"vocabulary_size": token_ids(uris)}).encode("utf-8") + b"\n")
    vocabulary_size = json.loads(description.read_text(encoding="utf-8"))["vocabulary_size"]
    digest = digest_of_rows(folders)
    return StudyData(folders, num_outputs, vocabulary_size, f"{digest}-{num_outputs}-{vocabulary_size}")


def digest_of_rows(folders: Mapping[str, str]) -> str:
    """A digest of the rows in the folders of feature sets, by split; of their numbers, and not of their files.

    What is extracted anew from the same data is equal bit for bit, while the bytes of its files are not: the entries of
    a `tf.Example` have no order.
    """
    digest = hashlib.sha256()
    for split in sorted(folders):
        rows = read_feature_set(folders[split])
        arrays = {"ids": rows.ids.astype("U"), "labels": rows.labels, **rows.inputs()}
        for name in sorted(arrays):
            array = np.ascontiguousarray(arrays[name])
            digest.update(f"{split} {name} {array.dtype} {array.shape}".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def _digest_of_files(*folders: str) -> str:
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(pathlib.Path(folder).rglob("*")):
            if path.is_file():
                digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
                # `hashlib.file_digest` is not there in Python 3.10.
                with open(path, "rb") as file:
                    while block := file.read(1 << 20):
                        digest.update(block)
    return digest.hexdigest()[:16]
