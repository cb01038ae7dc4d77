#!/usr/bin/env bash
# A researcher's first minutes, in a virtual environment of their own: `pip install .`, six lines on the demo's rows as a
# DataFrame, and the same answers from the object, from what it saved in another process, and from what it exported in
# plain TensorFlow. `scripts/newcomer.sh FOLDER [PYTHON]`; FOLDER is new, PYTHON is python3.11 or another from 3.10 on.
# Needs `make set-up` (which knows the demo's rows) and a network; takes 10 to 20 minutes.
set -euo pipefail
unset PYTHONPATH
cd "$(dirname "$0")/.."
folder=$(realpath -m "${1:?a new folder}") python=${2:-python3.11}
mkdir "$folder"
.venv/bin/python -W ignore -m scripts.demo_rows "$folder/rows"
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet . pandas
cp scripts/newcomer.py "$folder"
# Elsewhere, so that what is imported is what was installed.
cd "$folder"
for encoder in minilm efficientnet_lite0; do venv/bin/hfmnas encoder fetch $encoder; done
exec venv/bin/python -W ignore newcomer.py rows
