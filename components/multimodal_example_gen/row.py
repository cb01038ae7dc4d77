"""One labelled row of a source, and the reason why a row was left out."""

from __future__ import annotations

import dataclasses
from typing import Any

SPLITS = ("train", "dev", "test")
#: The label of HARM's harmless rows.
NOT_HARMFUL = "not harmful"
#: Ways to replace texts, see `components.multimodal_example_gen.inconsistency.Inconsistency`.
SHARES_LABEL, OTHER_LABEL, NOT_HARMFUL_TEXT = "shares_label", "other_label", "not_harmful"


@dataclasses.dataclass(frozen=True)
class Row:
    """What a source knows about a row before it opens the row's pictures.

    Args:
        id: str. Unique within the source.
        split: str. One of `train`, `dev`, `test`.
        labels: tuple of str. Names of the row's classes; exactly one in single-label sets.
        media: dict. What the source needs to read the row's pictures, for example `{"image": "/data/1.png"}`. Values
            for JSON only: it travels to Beam workers.
        text: str. Not empty where the source has texts. Defaults to `""`.
        place: str. Where a person finds the row, for messages: `"line 7"`.
        text_donor: str. Id of the row that `text` was taken from, where it is not the row's own. Defaults to `""`.
    """

    id: str
    split: str
    labels: tuple[str, ...]
    media: dict[str, Any]
    text: str = ""
    place: str = ""
    text_donor: str = ""


@dataclasses.dataclass(frozen=True)
class Skip:
    """A row that was left out.

    Args:
        reason: str. Short and countable, for example `"missing_image"`.
        id: str. The row's id where it has one, else its place.
        detail: str. One sentence for a person: what came and what was expected.
        place: str. Where a person finds the row, for messages.
    """

    reason: str
    id: str
    detail: str
    place: str = ""

    def message(self) -> str:
        """Returns one line that names place, id, reason and detail."""
        where = self.place if self.id in ("", self.place) else f"{self.place} (id {self.id!r})"
        return f"{where}: {self.reason}: {self.detail}"


class SkipRowError(ValueError):
    """Raised by a source while it reads one row; becomes a `Skip`.

    Args:
        reason: str. See `Skip`.
        detail: str. See `Skip`.
    """

    def __init__(self, reason: str, detail: str):
        # Both go to the base class: an exception that crosses a process is rebuilt from its arguments.
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
