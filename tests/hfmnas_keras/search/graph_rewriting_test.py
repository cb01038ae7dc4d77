import dataclasses

import pytest
import tensorflow as tf

from hfmnas_keras.search.bilevel_step import BilevelStep
from hfmnas_keras.search.graph_rewriting import without_graph_rewriting
from tests.hfmnas_keras.search.search_case import SETTINGS, run_search


def _rewriting():
    return not tf.config.optimizer.get_experimental_options().get("disable_meta_optimizer", False)


def test_the_switch_is_put_back():
    assert _rewriting()
    with pytest.raises(KeyError), without_graph_rewriting():
        assert not _rewriting()
        with without_graph_rewriting():
            pass
        # What it was, not what TensorFlow begins with.
        assert not _rewriting()
        raise KeyError
    assert _rewriting()


def test_a_search_runs_its_graphs_as_traced(tmp_path, monkeypatch):
    seen = []
    for name in ("weight_step", "architecture_step", "dev_logits"):
        step = getattr(BilevelStep, name)

        def watched(*args, step=step, **kwargs):
            seen.append(_rewriting())
            return step(*args, **kwargs)

        monkeypatch.setattr(BilevelStep, name, watched)
    run_search(tmp_path, settings=dataclasses.replace(SETTINGS, epochs=1))
    assert len(seen) > 10 and not any(seen)
    assert _rewriting()
