#!/usr/bin/env bash
# Writes both lock files anew from the ranges in setup.py, with the newest releases that fit.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/uv.sh
python=$(command -v python3 || command -v python)
[ -x .venv/bin/python ] && python=.venv/bin/python
use_uv "$python" .venv/uv

compile() {
    "$uv" pip compile --quiet --upgrade setup.py --extra pipeline --extra plots --extra video --extra dev \
        --generate-hashes --no-emit-index-url --no-emit-find-links --no-header "$@"
}

compile --python-version 3.10 --python-platform x86_64-manylinux_2_28 --output-file requirements/stack-a.txt
# tfx-bsl 1.21 asks for tensorflow-serving-api < 2.20, whose prediction_service_pb2 does not import beside protobuf 6.
compile --universal --python-version 3.11 --override <(echo "tensorflow-serving-api==2.21.0") \
    --output-file requirements/stack-b.txt

# What a GPU needs beside stack B, for the image (docker/pipeline.Dockerfile): of all that this asks for, NVIDIA's alone.
tensorflow=$(sed -n 's/^tensorflow==\([^ ]*\).*/tensorflow[and-cuda]==\1/p' requirements/stack-b.txt)
pins=$(sed -n 's/^\([a-z].*==[^ ]*\).*/\1/p' requirements/stack-b.txt)
"$uv" pip compile --quiet <(echo "$tensorflow") --constraint <(echo "$pins") --python-version 3.13 \
    --python-platform x86_64-manylinux_2_39 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header |
    awk '/^[a-z]/ { keep = /^nvidia-/ } keep && !/^ *#/' >requirements/cuda.txt
# The site's own.
"$uv" pip compile --quiet --upgrade requirements/docs.in --universal --python-version 3.10 \
    --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --output-file requirements/docs.txt
