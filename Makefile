# Every target sets itself up; a second run finds the environments and starts at once.
# VENVS=… puts the environments elsewhere, PYTHON=… picks the interpreter.
VENVS ?= .venvs
export VENVS
APP := $(VENVS)/app/bin
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYENV := $(or $(PYENV_ROOT),$(HOME)/.pyenv)

.PHONY: help demo test matrix lint format docs hil setup setup-train lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## three simulated boards answer 200 requests; one is killed
	@scripts/setup run
	@$(APP)/ciuic demo

test: ## all tests, one closing line
	@scripts/setup dev tflr tools || [ $$? = 3 ]
	@$(APP)/python scripts/test

matrix: ## tox: every Python, both runtimes; an interpreter that is absent is skipped by name
	@scripts/setup dev
	TOX_DISCOVER="$$(ls -d $(PYENV)/versions/3.1[123]*/bin/python 2>/dev/null | tr '\n' ':')" $(APP)/tox

lint: ## formatter, linter, type checker, import contracts
	@scripts/setup dev
	$(APP)/ruff format --check .
	$(APP)/ruff check .
	$(APP)/mypy
	$(APP)/lint-imports --no-logo

format: ## let the formatter and the linter's safe fixes run
	@scripts/setup dev
	$(APP)/ruff format .
	$(APP)/ruff check --fix .

docs: ## the documentation into site/; warnings are errors
	@scripts/setup docs
	$(VENVS)/docs/bin/mkdocs build --strict --quiet --site-dir site

hil: ## the request path against a node from outside (CIUIC_HIL_BROKER=URL: against yours)
	@scripts/setup dev
	$(APP)/python -m pytest hil_tests -m hil

setup: ## everything for development but training
	@scripts/setup dev docs tflr tools || [ $$? = 3 ]

setup-train: ## torch, the exporters and onnx2tf (3 GB)
	@scripts/setup train convert

lock: ## write requirements/*.lock anew (UPGRADE=--upgrade for newer versions)
	@scripts/setup dev
	scripts/lock $(UPGRADE)

clean: ## what builds and tests leave behind; the environments stay
	rm -rf build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.venvs/*' -prune -exec rm -rf {} +
