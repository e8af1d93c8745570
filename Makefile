# `make demo` needs nothing but Python; everything is installed into $(VENV). PYTHON chooses the interpreter.
PYTHON ?= python3
VENV ?= .venv

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip
PACKAGE := $(VENV)/.package-installed
DEVELOPMENT := $(VENV)/.development-installed

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow check lint format clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(PACKAGE) ## Denoise and enlarge a simulated noisy photo, and lay the results side by side in demo/sheet.png and demo/report.html
	$(BIN)/python examples/demo.py demo

test: $(DEVELOPMENT) ## Run all tests but the slow ones, on up to four processors
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 -m "not slow"

test-slow: $(DEVELOPMENT) ## Run the slow tests: trainings, exports, several processes
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 -m slow

check: lint ## Check formatting, style and types
	$(BIN)/pyright --pythonpath $(BIN)/python

lint: $(DEVELOPMENT) ## Check formatting and style
	$(BIN)/ruff format --check
	$(BIN)/ruff check

format: $(DEVELOPMENT) ## Format the code and mend what can be mended by itself
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean: ## Remove the environment, caches and the demo's pictures
	rm -rf $(VENV) demo build dist .pytest_cache .ruff_cache .hypothesis
	find $(wildcard nsp_cli tests examples benchmarks) -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp marks a finished installation; it is made again when what is to be installed changes.
$(PACKAGE): pyproject.toml constraints.txt | $(BIN)/pip
	$(PIP) install --quiet "pip>=25.1"
	$(PIP) install --constraint constraints.txt --editable ".[all]"
	@touch $@

# --group needs pip 25.1.
$(DEVELOPMENT): $(PACKAGE)
	$(PIP) install --constraint constraints.txt --group dev
	@touch $@

$(BIN)/pip:
	@command -v $(PYTHON) >/dev/null || { echo "Found no $(PYTHON); install Python 3.11 or newer, or name one: make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else "nsp needs Python 3.11 or newer and $(PYTHON) is %d.%d; name another: make PYTHON=python3.12" % v[:2])'
	$(PYTHON) -m venv $(VENV)
