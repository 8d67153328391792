# One virtual environment, installed from the lock files only; a stamp says which lock it holds.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
PYTHON ?= python3
BIN := .venv/bin
UV ?= $(shell command -v uv || echo $(BIN)/uv)
LOCK := $(UV) --no-config pip compile --quiet --universal --generate-hashes --no-annotate --custom-compile-command 'make lock' --extra build
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check
PYTEST_OPTIONS ?=

.PHONY: help run test check bench prove chaos cluster lock clean needed

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-7s  %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/runtime.stamp  ## start everything in one process: data in ./.ninebell, Ctrl-C stops it
	@exec $(BIN)/ninebell up

test: .venv/dev.stamp needed  ## run all tests, on a real PostgreSQL and a real RabbitMQ
	@$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder --ignore=tests/e2e --ignore=tests/chaos $(PYTEST_OPTIONS)
	@$(BIN)/python -m pytest -n 3 --maxschedchunk 1 $(PYTEST_OPTIONS) tests/e2e tests/chaos  # every process is up, and mostly waits: apart from what computes

check: .venv/dev.stamp  ## lint, formatting, types and layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: .venv/runtime.stamp  ## measure messages per second on this machine
	@$(BIN)/python -m ops.bench

prove: .venv/dev.stamp  ## prove the calendar in full, going on where it was stopped; AFRESH=1 begins anew (minutes)
	@$(BIN)/python -m tests.prove $(if $(AFRESH),--afresh)

chaos: .venv/dev.stamp needed  ## break everything, one thing after another: FAULT=name,name or list, SEED=1,2,3
	@sh tests/chaos/libfaketime.sh
	@$(BIN)/python -m tests.chaos --fault '$(FAULT)' --seed '$(SEED)'

cluster: .venv/dev.stamp  ## nine machines as network namespaces, a broker node and a dispatcher killed (Linux, root)
	@$(BIN)/python -m tests.cluster

lock:  ## resolve the newest versions into the lock files (needs uv)
	@$(LOCK) --upgrade pyproject.toml -o requirements.txt
	@$(LOCK) --upgrade --extra dev --constraints requirements.txt pyproject.toml -o requirements-dev.txt

needed:  ## see to a RabbitMQ for the tests (AMQP_URL, Docker, or a package) and to curl
	@sh tests/needed.sh

clean:  ## remove what was made here, except the data in ./.ninebell
	rm -rf .venv .make dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' || \
		{ echo "Ninebell needs Python 3.11 to 3.14 as $(PYTHON); name another one with PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "$(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }

.venv/runtime.stamp: requirements.txt pyproject.toml | .venv/bin/python
	@echo "installing what requirements.txt names …"
	@$(INSTALL) --require-hashes -r requirements.txt
	@$(INSTALL) --no-deps --no-build-isolation --no-index --editable .
	@touch $@

.venv/dev.stamp: requirements-dev.txt .venv/runtime.stamp
	@echo "installing what requirements-dev.txt names …"
	@$(INSTALL) --require-hashes -r requirements-dev.txt
	@touch $@
