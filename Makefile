# `make` alone lists what there is. Every target does its own set-up: Python 3.11 or newer and make are enough.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
FILES  ?=
CONFIG ?= config.toml

.DEFAULT_GOAL := help
.PHONY: help install demo run run-server run-worker test test-fast test-rq check fmt bench bench-quality bench-pipeline soak clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(READY) ## make the virtual environment in .venv

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[documents,formats,pipeline,llm,test,dev]' 2>&1 | grep -v '^WARNING' || true
	@$(BIN)/python -c 'import aiohttp, redis, pydantic, pypdfium2, mammoth, xberg, sklearn, pyarrow, openai, pytest, playwright, ruff' && touch $@

demo: $(READY) ## make a dataset of the sample files, or of FILES="a.pdf b.md", and watch it
	@$(BIN)/python -m server.demo $(FILES)

run: $(READY) ## server, worker and embedded Valkey in this terminal; Ctrl-C stops all
	@$(BIN)/python -m server.run_all --config $(CONFIG)

run-server: $(READY) ## one server
	@$(BIN)/python -m server --config $(CONFIG)

# A worker that had to give up on a job that cannot be stopped exits with 70 and is started again.
run-worker: $(READY) ## one worker; start as many as you like
	@while $(BIN)/python -m worker --config $(CONFIG); code=$$?; [ $$code -eq 70 ]; do echo "starting the worker again"; done; exit $$code

test: $(READY) ## all tests
	@sh tests/install_debian.sh
	@$(BIN)/python -m pytest

test-fast: $(READY) ## the inner loop: without process and slow tests
	@$(BIN)/python -m pytest -m "not process and not slow"

test-rq: $(READY) ## RQ's own tests with our worker in place of theirs
	@$(BIN)/python tests/rq_suite/run.py

check: $(READY) ## format, lint, strict types, import rules, size rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest tests/contract/test_house_rules.py

fmt: $(READY) ## format and sort imports
	@$(BIN)/ruff check --select I --fix .
	@$(BIN)/ruff format .

bench: $(READY) ## our benchmark rows; BENCH_HARNESS=../shared/bench adds the peers
	@$(BIN)/python tests/bench/run.py

bench-quality: $(READY) ## taxonomy, extraction, chunks and datasets on labelled texts from packages
	@PYTHONPATH=tests $(BIN)/python -m bench.quality.run

bench-pipeline: $(READY) ## the whole chain on 80 MB of manuals: seconds, memory, how late the worker's loop is
	@PYTHONPATH=tests:. $(BIN)/python -m bench.pipeline_bench

soak: $(READY) ## ten minutes of mixed load; fails when something leaks
	@$(BIN)/python tests/bench/soak.py

clean: ## remove the environment and all caches (not data/)
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .cache
