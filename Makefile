# `make run` and `make test` create all that they need from Python 3.11 and the package registry.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup run test check soak bench lock container-test clean

help:  ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: $(VENV)/.ready  ## Create .venv with everything the project needs

$(VENV)/.ready: pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

run: setup  ## Run a worker; with no REDIS_URL and DATABASE_URL it starts private servers
	@exec $(BIN)/python -m runtime

check: setup  ## Lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check  ## Everything that must hold before a change lands
	$(BIN)/python -m pytest -n $(WORKERS) -m "not soak"

soak: setup  ## Long runs: kills, cuts, restarts, a full server
	$(BIN)/python -m pytest -n $(WORKERS) -m soak --timeout 1800

bench: setup  ## Speed, as ratios measured in one run (BENCH="--json" for scripts)
	$(BIN)/python -m benchmarks $(BENCH)

lock: setup  ## Write requirements-worker.lock, what the image installs, from requirements.lock
	$(BIN)/python deploy/worker_lock.py > requirements-worker.lock

container-test: setup  ## Build the image and run it, as root (installs buildah, debootstrap, runc)
	tests/container/run.sh

clean:  ## Remove what the other targets made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
