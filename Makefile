# make train: from nothing to a trained model. make help: all targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DOCS_INSTALLED := $(VENV)/.docs_installed

.DEFAULT_GOAL := help
.PHONY: help install train test test-slow test-gpu test-lowest test-versions test-pythons fuzz bench docs docs-keys notebooks lint types format lock clean

help:  ## show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(INSTALLED)  ## make .venv with the pinned dependencies; does nothing if they are installed

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "$(PYTHON) is not Python 3.11, 3.12 or 3.13; give one as: make PYTHON=python3.12 ..." >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the pinned dependencies into $(VENV), once"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

train: install  ## train the character tutorial on the toy text and print a sample
	@$(BIN)/python scripts/train.py experiment=tutorial_char

test: install  ## run the test suite, in two processes
	@OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST)

test-slow: install $(DOCS_INSTALLED)  ## run the slow tests too
	@$(BIN)/python -m pytest -q -m 'not gpu'

test-gpu: install  ## run the tests that need a GPU
	@$(BIN)/python -m pytest -q -m gpu

# pytest in two processes, which get one thread each
PYTEST := -m pytest -q -n 2 --dist worksteal
PYTHONS ?= python3.12 python3.13

test-lowest:  ## run the tests with the lowest versions that pyproject.toml allows; TORCH=2.13.0: but this torch
	@rm -rf build/lowest && $(PYTHON) -m venv build/lowest
	@$(PYTHON) .ci/versions.py lowest $(if $(TORCH),| sed 's/^torch==.*/torch==$(TORCH)/') > build/lowest/requirements.txt
	@build/lowest/bin/python -m pip install --quiet --disable-pip-version-check -r build/lowest/requirements.txt --editable '.[dev]'
	@OMP_NUM_THREADS=1 build/lowest/bin/python $(PYTEST)

test-versions: install  ## run the contract tests with the lowest and the newest Lightning that pyproject.toml allows
	@for which in lowest range; do \
		rm -rf build/lightning && $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
			--target build/lightning "$$($(BIN)/python .ci/versions.py $$which pytorch-lightning)" \
		&& PYTHONPATH=build/lightning $(BIN)/python -c 'import pytorch_lightning as pl; print(pl.__version__, pl.__file__)' \
		&& PYTHONPATH=build/lightning $(BIN)/python -m pytest -q tests/training/test_lightning_internals.py || exit 1; \
	done

test-pythons:  ## run the tests with other versions of Python; PYTHONS="python3.12 python3.13" names them
	@for python in $(PYTHONS); do \
		echo $$python && $$python -m venv build/$$python \
		&& build/$$python/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' \
		&& OMP_NUM_THREADS=1 build/$$python/bin/python $(PYTEST) || exit 1; \
	done

fuzz: install  ## damage 3,000 files: each must be refused or read unchanged
	@$(BIN)/python -m pytest -q -s -m slow tests/faults

bench: install  ## measure everything and write benchmarks/RESULTS.md; or ONLY=training
	@$(BIN)/python -m benchmarks $(ONLY)

$(DOCS_INSTALLED): docs/requirements.lock $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement docs/requirements.lock
	@touch $@

docs: install $(DOCS_INSTALLED)  ## build the documentation into build/docs; warnings are errors
	@$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs
	@echo "open build/docs/index.html"

docs-keys: install  ## write docs/keys.md, the reference of all keys, from the schema
	@$(BIN)/python -m textloom.config.document docs/keys.md

notebooks: install $(DOCS_INSTALLED)  ## execute the notebooks in docs/notebooks and store their outputs
	@$(BIN)/python docs/notebooks/execute.py

lint: install  ## style, format, and the order of the packages (ruff, import-linter)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo --cache-dir=build/import-linter

types: install  ## mypy in strict mode
	@$(BIN)/mypy

format: install  ## correct style and format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock:  ## write requirements.lock anew from the ranges in pyproject.toml
	@rm -rf build/lock && $(PYTHON) -m venv build/lock
	@build/lock/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 '.[dev]'
	@{ sed -n '/^#/p' requirements.lock; build/lock/bin/python -m pip freeze --exclude textloom | sed 's/+cpu//' | grep -vE '^(nvidia-|triton|cuda-)'; } > build/requirements.lock
	@mv build/requirements.lock requirements.lock
	@build/lock/bin/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock '.[docs]'
	@{ sed -n '/^#/p' docs/requirements.lock; build/lock/bin/python -m pip freeze --exclude textloom | sed 's/+cpu//' | grep -vE '^(nvidia-|triton|cuda-)' | grep -vxFf requirements.lock; } > build/docs.lock
	@mv build/docs.lock docs/requirements.lock

clean:  ## remove the virtual environment and all caches; runs in outputs/ stay
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
