"""The last look at what serves, on folders that no run has to make; `operator_test` has whole runs."""

import shutil

from components.pusher.executor import push_model
from components.pusher.model_digest import model_digest
from pipeline.last_word import with_last_word
from pipeline.run_summary import RunSummary
from pipeline.served_versions import roll_back, served_versions


def _pushed_run(folder):
    """A run that pushed the second of two models."""
    for name in ("first", "second"):
        model = folder / name / "Format-Serving"
        model.mkdir(parents=True)
        (model / "saved_model.pb").write_text(name, encoding="utf-8")
        path = push_model(str(model), str(folder / "serving"))
    return RunSummary(
        stages=(),
        evaluation=None,
        is_blessed=True,
        is_serving_checked=True,
        is_pushed=True,
        uris={"Pusher.pushed_model": str(folder / "gone"), "Trainer.model": str(folder / "second")},
        pushed_path=path,
        pushed_digest=model_digest(str(folder / "second" / "Format-Serving")),
    )


def test_what_serves_is_left_alone(tmp_path):
    run = _pushed_run(tmp_path)
    assert with_last_word(run, str(tmp_path / "serving")) == (run, None)


def test_a_model_that_is_gone_is_pushed_again(tmp_path):
    run = _pushed_run(tmp_path)
    shutil.rmtree(tmp_path / "serving")
    summary, said = with_last_word(run, str(tmp_path / "serving"))
    assert summary.is_pushed and "pushed again" in said
    assert model_digest(summary.pushed_path) == run.pushed_digest


def test_a_withdrawn_model_stays_withdrawn(tmp_path):
    run = _pushed_run(tmp_path)
    ((withdrawn,), serves) = roll_back(str(tmp_path / "serving"))
    summary, said = with_last_word(run, str(tmp_path / "serving"))
    assert not summary.is_pushed
    assert f"withdrawn-{withdrawn}" in said
    assert served_versions(str(tmp_path / "serving")) == [serves]
    # Renamed back, as the sentence says, it serves.
    (tmp_path / "serving" / f"withdrawn-{withdrawn}").rename(tmp_path / "serving" / str(withdrawn))
    assert with_last_word(run, str(tmp_path / "serving")) == (run, None)
