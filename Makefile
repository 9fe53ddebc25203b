# `make run` and `make test` create all that they need from Python 3.11 and the package registry.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One more than the two cores that it is meant for: many tests wait for a worker to be found dead.
WORKERS ?= 3
# Tools that look at the packages from outside, so that the lock file needn't hold theirs.
TOOLS := build/tools

.DEFAULT_GOAL := help
.PHONY: help setup run demo picture test check soak bench simulate lock clean
.PHONY: dashboards observability-test container-test audit sbom

help:  ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

setup: $(VENV)/.ready  ## Create .venv with everything the project needs

$(VENV)/.ready: pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

run: setup  ## Run a worker; with no REDIS_URL and DATABASE_URL it starts private servers
	@exec $(BIN)/python -m runtime

demo: setup  ## Show a cluster at work, and kill a worker in the middle of it
	@exec $(BIN)/python -m runtime demo

picture: setup  ## Make the pictures in the README and docs anew: the demo, and workers in trouble
	$(BIN)/python -m runtime demo --picture docs/demo.svg
	$(BIN)/python -m tests.cli.watch_pictures docs

check: setup  ## Lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check  ## Everything that must hold before a change lands
	$(BIN)/python -m pytest -n $(WORKERS) -m "not soak and not observability"

soak: setup  ## Long runs: kills, cuts, restarts, a full server
	$(BIN)/python -m pytest -n $(WORKERS) -m soak --timeout 1800

bench: setup  ## Speed, as ratios measured in one run (BENCH="--json" for scripts)
	$(BIN)/python -m benchmarks $(BENCH)

simulate: setup  ## Autoscaling under loads, simulated: the table of docs/autoscaling.md
	$(BIN)/python -m benchmarks.autoscaling

dashboards: setup  ## Make Grafana's dashboard anew from deploy/grafana/dashboard.py
	$(BIN)/python deploy/grafana/dashboard.py

observability-test: setup  ## Alerts and dashboard with a real Prometheus (installs Debian's if none is there)
	command -v promtool >/dev/null || apt-get install -y --no-install-recommends prometheus
	promtool check config deploy/prometheus/prometheus.yml
	promtool test rules deploy/prometheus/tests/rules.yml
	$(BIN)/python -m pytest -n 0 -m observability tests/observability --timeout 600 $(OBSERVE)

$(TOOLS)/.ready: Makefile
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet pip-audit==2.10.1 cyclonedx-bom==7.5.0
	@touch $@

audit: $(TOOLS)/.ready  ## Known vulnerabilities of the locked packages; fails where it can't ask
	$(TOOLS)/bin/pip-audit --strict --disable-pip --no-deps --requirement requirements.lock

sbom: $(TOOLS)/.ready  ## build/sbom.cdx.json: the packages that the image adds to its base
	$(TOOLS)/bin/cyclonedx-py requirements requirements-worker.lock --pyproject pyproject.toml \
	  --output-reproducible --output-format JSON --output-file build/sbom.cdx.json

lock: setup  ## Write requirements-worker.lock, what the image installs, from requirements.lock
	$(BIN)/python deploy/worker_lock.py > requirements-worker.lock

container-test: setup  ## Build the image and run it, as root (installs buildah, debootstrap, runc)
	tests/container/run.sh

clean:  ## Remove what the other targets made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
