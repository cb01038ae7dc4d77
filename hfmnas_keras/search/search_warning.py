"""One thing that speaks against the result of a search."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class SearchWarning:
    """A rule of `search_warnings` that a search broke.

    Args:
        verdict: str. `"collapsed"`: the choices are degenerate; `"not discretisable"`: the mixtures work, and what is
            chosen from them does not; `"undecided"`: the choices are hardly better than chance.
        rule: str. Short name of the rule.
        message: str. What was seen, what the bound is, what to do.
    """

    verdict: str
    rule: str
    message: str
