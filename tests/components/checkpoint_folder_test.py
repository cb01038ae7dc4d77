"""The same work finds the same folder; other work never does."""

from __future__ import annotations

import pytest
from tfx.types import standard_artifacts

from components.checkpoint_folder import checkpoint_folder


def _folder(uri="/data/1", root="/checkpoints", **properties):
    examples = standard_artifacts.Examples()
    examples.uri = uri
    return checkpoint_folder(
        "Search",
        root,
        {"examples": [examples]},
        {"settings": "{}", "code_fingerprint": "a", "checkpoint_root": root, **properties},
    )


def test_the_same_work_has_the_same_folder():
    assert _folder() == _folder()
    assert _folder().startswith("/checkpoints/Search/")


@pytest.mark.parametrize("change", [{"uri": "/data/2"}, {"settings": '{"epochs": 2}'}, {"code_fingerprint": "b"}])
def test_other_work_has_another(change):
    assert _folder(**change) != _folder()


def test_the_root_can_be_moved():
    assert _folder(root="/other").rsplit("/", 1)[1] == _folder().rsplit("/", 1)[1]
