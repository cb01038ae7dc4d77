#!/usr/bin/env bash
# Builds the site into build/site, with warnings as errors, in an environment of its own: what it needs does not go with
# the locked stacks. The pages of the API are read from the source; nothing of this project is imported.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/uv.sh
python=$(command -v python3 || command -v python)
[ -x .venv/bin/python ] && python=.venv/bin/python
environment=build/docs-venv
stamp="$PWD $(sha256sum requirements/docs.txt)"
if [ "$(cat $environment/stamp 2>/dev/null)" != "$stamp" ]; then
    "$python" -m venv --clear --without-pip $environment
    use_uv "$python" build/uv
    "$uv" pip sync --quiet --require-hashes --python $environment/bin/python requirements/docs.txt
    echo "$stamp" >$environment/stamp
fi
NO_MKDOCS_2_WARNING=1 $environment/bin/mkdocs build --quiet --strict
echo "docs: build/site/index.html"
