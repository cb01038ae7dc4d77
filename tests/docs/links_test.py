import os

import pytest

from tests.docs.pages import anchors, links, pages
from tests.source_files import ROOT

PAGES = pages()


def dead_links(page: str, text: str) -> list[str]:
    """Relative links of a page that lead to no file or to no heading; nothing is asked of the network."""
    dead = []
    for target in links(text):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        place = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
        there = PAGES.get(place, "") if path else text
        if not (ROOT / place).exists() or (anchor and anchor not in anchors(there)):
            dead.append(target)
    return dead


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    assert dead_links(page, PAGES[page]) == []


def test_dead_links_are_seen():
    text = "# One thing\n[a](docs/none.md) [b](#other) [c](#one-thing) `[d](x.md)` [e](docs/method.md#nothing)"
    assert dead_links("README.md", text) == ["docs/none.md", "#other", "docs/method.md#nothing"]


def test_links_of_the_site_stay_within_it():
    """What the site cannot show, a page of docs/ names in words."""
    leaving = {
        f"{page}: {target}"
        for page, text in PAGES.items()
        if page.startswith("docs/")
        for target in links(text)
        if target.startswith("../")
    }
    assert not leaving
