"""The last look at what serves, after all stages: a stage from the cache has not looked."""

from __future__ import annotations

import dataclasses
import os

from components.pusher.executor import ensure_serving
from components.pusher.model_digest import model_digest
from pipeline.run_summary import RunSummary
from pipeline.served_versions import WITHDRAWN, withdrawn_versions


def with_last_word(summary: RunSummary, push_destination: str) -> tuple[RunSummary, str | None]:
    """Checks that the pushed model of a run is what serves, and pushes it again when it is gone or damaged.

    A model that `hfmnas serving rollback` withdrew stays withdrawn.

    Args:
        summary: `RunSummary`.
        push_destination: str. Folder of the versions.

    Returns:
        `RunSummary` with the place of the version that serves, not pushed where there is none any more; and a sentence
        to tell, or `None` where all is as the metadata have it.
    """
    if not summary.is_pushed:
        return summary, None
    folders = (summary.uris["Pusher.pushed_model"], os.path.join(summary.uris["Trainer.model"], "Format-Serving"))
    source = next((folder for folder in folders if _digest(folder) == summary.pushed_digest), None)
    if source is None:
        return dataclasses.replace(summary, is_pushed=False), (
            f"The model in {folders[1]} is gone or damaged, and was not pushed: remove {summary.uris['Trainer.model']} "
            "and run the same command again, which trains it anew."
        )
    for version in withdrawn_versions(push_destination):
        folder = os.path.join(push_destination, f"{WITHDRAWN}{version}")
        if _digest(folder) == summary.pushed_digest:
            return dataclasses.replace(summary, is_pushed=False), (
                f"The model of this run was withdrawn by `hfmnas serving rollback` and is not pushed again. To let it "
                f"serve after all, rename {folder} to {version}; for another one, change the configuration or the data."
            )
    serving_path, was_there = ensure_serving(source, push_destination)
    said = None if was_there else f"The pushed model was gone or damaged: pushed again, to {serving_path}."
    return dataclasses.replace(summary, pushed_path=serving_path), said


def _digest(folder: str) -> str | None:
    try:
        return model_digest(folder)
    except (ValueError, OSError):
        return None
