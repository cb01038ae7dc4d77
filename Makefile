# Every target does its own set-up (scripts/set_up.sh), which takes no time when nothing changed.
.DEFAULT_GOAL := help
.PHONY: help demo test test-b lint bench bench-multilabel docs reference lock set-up

PYTHON := .venv/bin/python
# Byte code is worth keeping (TFX's imports take three times as long without), TensorFlow's start-up chatter is not.
unexport PYTHONDONTWRITEBYTECODE
export TF_CPP_MIN_LOG_LEVEL ?= 3

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: set-up  ## run the whole pipeline on the demo data: search, train, gate, push (CONFIG=my.yaml: on yours)
	$(PYTHON) -m pipeline.local_runner $(if $(CONFIG),--config $(CONFIG))

test: set-up  ## run all tests but the long ones
	$(PYTHON) -m pytest -m "not long" -n auto --maxprocesses 4 --dist loadgroup --no-loadscope-reorder $(ARGS)

test-b:  ## the same on the newest TFX (stack B), in a Debian 13 root made by debootstrap (as root)
	scripts/test_b.sh make test

lint: set-up  ## check style (ruff) and types (mypy)
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

bench: set-up  ## compare with the baselines on the demo data
	$(PYTHON) -m benchmarks.demo $(ARGS)

bench-multilabel: set-up  ## the same on a real multi-label set, openclipart, which it fetches and builds (156 MB)
	$(PYTHON) -m benchmarks.multilabel $(ARGS)

docs:  ## build the site into build/site, with warnings as errors
	scripts/docs.sh

reference: set-up  ## write docs/configuration-reference.md and the JSON schema anew, after a change of a setting
	$(PYTHON) -m scripts.configuration_reference

lock:  ## write both lock files in requirements/ anew
	scripts/lock.sh

set-up:
	@scripts/set_up.sh
