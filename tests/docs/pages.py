"""The pages that people read, taken apart for their tests."""

from __future__ import annotations

import re
from typing import NamedTuple

from tests.source_files import ROOT, tracked_files

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A block of code of a page, with its language and the line it begins in."""

    page: str
    line: int
    language: str
    text: str


def pages() -> dict[str, str]:
    """Texts of README, CONTRIBUTING, CHANGELOG and of what is below docs/ and examples/, by path."""
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in tracked_files()
        if path.suffix == ".md" and path.relative_to(ROOT).parts[0] not in ("tests", ".github")
    }


def blocks(*languages: str) -> list[Block]:
    """The blocks of code of all pages in the given languages."""
    return [
        Block(page, text.count("\n", 0, match.start()) + 1, match[1], match[2])
        for page, text in pages().items()
        for match in _FENCE.finditer(text)
        if match[1] in languages
    ]


def links(text: str) -> list[str]:
    """Targets of a page's links, code left out."""
    return _LINK.findall(re.sub(r"`[^`\n]*`", "", _FENCE.sub("", text)))


def anchors(text: str) -> set[str]:
    """What can stand behind the # of a link to the page: its headings, as the site and the code host write them."""
    return {
        re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", heading.replace("`", "").strip().lower()))
        for heading in re.findall(r"^#+ +(.+)$", _FENCE.sub("", text), re.MULTILINE)
    }
