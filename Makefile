# Thin: every line below is one a person could type in the activated environment (README).
PYTHON ?= python3
# What the printed commands need first, where the caller's shell has not activated the environment.
ACTIVATE := $(if $(filter $(CURDIR)/.venv,$(VIRTUAL_ENV)),,--activate ". .venv/bin/activate")
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export VIRTUAL_ENV := $(CURDIR)/.venv

.PHONY: repro test ui bench bench-large lint fuzz faults

repro: .venv/installed
	@test -e data || whoswho pull
	@whoswho check
	@dvc repro
	@whoswho summary $(ACTIVATE)

test: .venv/installed
	pytest --numprocesses 3 --dist loadscope --no-loadscope-reorder

ui: .venv/installed
	whoswho ui

bench: .venv/installed
	python -m bench

# An hour or more and 3 GB of disk: a hundred thousand pictures (40,000 took 19 minutes).
bench-large: .venv/installed
	python -m bench.large --pictures 100000

# FUZZ=60 looks a minute at each of some 35 readers for what breaks them.
fuzz: .venv/installed
	WHOSWHO_FUZZ_SECONDS=$(or $(FUZZ),60) pytest --capture=no --timeout=0 tests/test_fuzz.py

# Half an hour: every fault in every stage, sound requests among bad ones, cases fuzzed.
faults: .venv/installed
	python -m bench.faults
	pytest --capture=no tests/test_fuzz.py tests/test_serve.py -k "fuzz or bad_input"

lint: .venv/installed
	ruff check .
	ruff format --check .
	mypy

.venv/installed: pyproject.toml constraints.txt
	@echo "Installing into .venv (about 7 GB, under 3 without GPU packages: docs/dependencies.md)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make repro PYTHON=python3.11")'
	@$(PYTHON) -m venv .venv
	@python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
