#!/usr/bin/env bash
# release.sh VERSION: checks that the checkout is that version and that CHANGELOG.md tells of it, then builds the source
# distribution and the wheel of hfmnas_keras into dist/ and the version's changes into dist-notes.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    echo "release: $*" >&2
    exit 1
}

[ $# = 1 ] || fail "name one version, such as 0.1.0."
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' hfmnas_keras/__init__.py)
[ "$version" = "$1" ] || fail "hfmnas_keras is $version, not $1. Set __version__ or tag the right commit."
awk -v heading="## $version" '$0 == heading { found = 1; next } /^## / { found = 0 } found' CHANGELOG.md >dist-notes.md
grep -q '[^[:space:]]' dist-notes.md || fail "CHANGELOG.md has nothing under '## $version'."
rm -rf dist build/release
python3 -m venv build/release
build/release/bin/python -m pip install --quiet build
build/release/bin/python -m build --quiet --outdir dist .
ls dist
