"""The lock files against the list of known advisories, which is kept by hand."""

from __future__ import annotations

import datetime
import re

import pytest
import yaml
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from tests.source_files import ROOT

FOLDER = ROOT / "requirements"
CONTENT = yaml.safe_load((FOLDER / "advisories.yaml").read_text(encoding="utf-8"))
LOCKS = ("stack-a.txt", "stack-b.txt")
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def pins(text):
    """Versions by package; a package may have one for each version of Python."""
    found = {}
    for name, version in _PIN.findall(text):
        found.setdefault(name.lower().replace("_", "-"), set()).add(Version(version))
    return found


def concerned(text):
    """Ids of the advisories that a lock file's text is concerned by."""
    versions = pins(text)
    return {
        advisory["id"]
        for advisory in CONTENT["advisories"]
        for version in versions.get(advisory["package"], ())
        if any(version in SpecifierSet(affected, prereleases=True) for affected in advisory["affected"])
    }


@pytest.mark.parametrize("lock", LOCKS)
def test_no_lock_file_has_a_known_hole_that_nobody_weighed(lock):
    accepted = {entry["id"] for entry in CONTENT["accepted"] if entry["lock"] == lock}
    # The other way round, too: what is mended needs no excuse any more.
    assert concerned((FOLDER / lock).read_text(encoding="utf-8")) == accepted


def test_a_version_with_a_hole_is_seen():
    assert {"CVE-2026-0897", "CVE-2026-1669"} < concerned("keras==3.12.0 \\\n    --hash=sha256:00\n")
    assert concerned("keras==3.12.4 \\\n") == set()
    assert concerned("h11==0.14.0 ; python_version < '3.12' \\\nh11==0.16.0 ; python_version >= '3.12'\n") == {
        "CVE-2025-43859"
    }


def test_the_hotfix_that_an_excuse_names_is_locked():
    assert "pyarrow-hotfix" in pins((FOLDER / "stack-a.txt").read_text(encoding="utf-8"))


def test_an_entry_names_a_package_that_is_locked():
    """A name that is written in another way would hold nothing to anything."""
    locked = set().union(*(pins((FOLDER / lock).read_text(encoding="utf-8")) for lock in LOCKS))
    assert {advisory["package"] for advisory in CONTENT["advisories"]} <= locked


def test_every_entry_is_whole_and_the_list_has_a_date():
    assert isinstance(CONTENT["read"], datetime.date)
    ids = [advisory["id"] for advisory in CONTENT["advisories"]]
    assert len(set(ids)) == len(ids)
    assert {entry["id"] for entry in CONTENT["accepted"]} <= set(ids) and all(e["why"] for e in CONTENT["accepted"])
    for advisory in CONTENT["advisories"]:
        assert set(advisory) == {"id", "package", "affected"} and advisory["affected"]
