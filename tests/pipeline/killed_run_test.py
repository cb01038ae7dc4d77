"""A run that is killed, wherever it stands, ends as one that was left alone."""

from __future__ import annotations

import contextlib
import json
import pathlib
import random
import sqlite3

import numpy as np
import pytest
import tensorflow as tf
from coloured_shapes import write_shapes
from conftest import write_config
from killable_run import KillableRun
from ml_metadata.proto import metadata_store_pb2

from components.pusher.model_digest import model_digest
from pipeline.config_file import load_config
from pipeline.local_runner import BLESSED
from pipeline.run_summary import summarise_run

KILLS = 20
KILLS_OF_A_RUN = 5


def ended(config_path):
    """Lets a run come to its end; what it came to."""
    process = KillableRun(config_path)
    assert process.end() == BLESSED, process.text
    return summarise_run(load_config(config_path).metadata_path), process.stages()


def result(summary, config):
    """What a user has in the end: genotype, scores, and the answers of the pushed model."""
    rows = [json.loads(line) for line in pathlib.Path(config.data.manifest).read_text(encoding="utf-8").splitlines()]
    pictures = [(pathlib.Path(config.data.manifest).parent / row["image"]).read_bytes() for row in rows]
    (version,) = pathlib.Path(config.push_destination).glob("[0-9]*")
    assert str(version) == summary.pushed_path and model_digest(str(version)) == summary.pushed_digest
    answers = tf.saved_model.load(str(version)).signatures["serve_json"](
        image_bytes=tf.constant(pictures), text=tf.constant([row["text"] for row in rows])
    )
    genotype = pathlib.Path(summary.uris["ArchitectureSearch.genotype"], "genotype.json").read_text(encoding="utf-8")
    return genotype, summary.f1_m(), summary.references(), answers["probabilities"].numpy()


def what_is_finished(config):
    """Digests of all that stages have handed on, and of what serves; none of it may change any more."""
    if not config.metadata_path.is_file():
        return {}
    with contextlib.closing(sqlite3.connect(config.metadata_path)) as metadata:
        assert metadata.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
        if not metadata.execute("SELECT 1 FROM sqlite_master WHERE name = 'Artifact'").fetchone():
            return {}
        live = metadata_store_pb2.Artifact.LIVE
        handed_on = [uri for (uri,) in metadata.execute("SELECT uri FROM Artifact WHERE state = ?", (live,))]
    served = [str(path) for path in pathlib.Path(config.push_destination).glob("[0-9]*")]
    return {uri: model_digest(uri) for uri in (*handed_on, *served) if pathlib.Path(uri).is_dir()}


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
def test_twenty_kills_change_nothing_of_the_result(tmp_path):
    manifest = write_shapes(tmp_path / "data")

    def fresh(name):
        (tmp_path / name).mkdir()
        return write_config(tmp_path / name, manifest)

    alone = fresh("alone")
    summary, order = ended(alone)
    expected = result(summary, load_config(alone))
    seconds = {stage.name: stage.seconds for stage in summary.stages}
    draw = random.Random(17)
    killed, struck = 0, []
    while killed < KILLS:
        config_path = fresh(f"killed_{killed}")
        config = load_config(config_path)
        finished: dict[str, str] = {}
        # Each stage is as likely as any other, be it long or short.
        for place, share in sorted((draw.randrange(len(order)), draw.random()) for _ in range(KILLS_OF_A_RUN)):
            process = KillableRun(config_path)
            if process.kill_in(order[place], share * seconds[order[place]]):
                killed += 1
                struck.append(process.stages()[-1])
            now = what_is_finished(config)
            assert {uri: now.get(uri) for uri in finished} == finished
            finished = now
        summary, _ = ended(config_path)
        now = what_is_finished(config)
        assert {uri: now.get(uri) for uri in finished} == finished
        genotype, scores, references, probabilities = result(summary, config)
        assert (genotype, scores, references) == expected[:3]
        np.testing.assert_allclose(probabilities, expected[3], atol=1e-5)
        print(f"{killed} kills, in {struck}", flush=True)
    assert len(set(struck)) > 5
