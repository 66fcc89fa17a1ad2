SHELL = /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
LINT_PATHS = sb3_dpg tests
# The networks are small: more threads only wait for each other
export OMP_NUM_THREADS ?= 1

.PHONY: train test test-slow test-nightly pytest lint type format check-codestyle commit-checks docs docs-links wheel clean help

help:
	@echo "make train          train BNDDPG on Pendulum-v1, evaluate it beside an untrained policy, plot the learning curve"
	@echo "make test           lint, type-check and run the tests (all but the slow ones)"
	@echo "make test-slow      run the slow tests: trainings that must reach a return"
	@echo "make test-nightly  run the tests that kill whole studies again and again, and those on a Ray cluster"
	@echo "make format         sort imports and format"
	@echo "make lint type      what make test checks before the tests"
	@echo "make commit-checks  format, type, lint"
	@echo "make docs           build the documentation into build/docs; a warning is an error"
	@echo "make docs-links     ask for every page on the web that the documentation links to"
	@echo "make wheel          build a wheel into dist/"

# A stamp for each set of dependencies, so that they are installed again when they change
$(VENV)/installed-%: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".$(EXTRAS)"
	touch $@

$(VENV)/installed-dev: EXTRAS = [dev,mujoco,box2d,classic-control,plots,tensorboard,export,docs]

TRAIN = --algo bnddpg --env Pendulum-v1
# Further options of sb3-dpg train
OPTIONS ?=
train: $(VENV)/installed-base
	$(BIN)/sb3-dpg train $(TRAIN) --seed 1 --num-threads 1 --eval-freq 1000 --eval-episodes 10 --log-folder logs $(OPTIONS)
	$(BIN)/python -m sb3_dpg.zoo.report $(TRAIN) --folder logs --episodes 20

test: lint type pytest

lint: $(VENV)/installed-dev
	$(BIN)/ruff check $(LINT_PATHS)
	$(BIN)/ruff format --check $(LINT_PATHS)

check-codestyle: lint

type: $(VENV)/installed-dev
	$(BIN)/mypy

pytest: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m "not slow and not nightly"

test-slow: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m slow

test-nightly: $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[ray]"
	$(BIN)/python -m pytest -m nightly

format: $(VENV)/installed-dev
	$(BIN)/ruff check --select I --fix $(LINT_PATHS)
	$(BIN)/ruff format $(LINT_PATHS)

commit-checks: format type lint

docs: $(VENV)/installed-dev
	$(BIN)/sphinx-build -W --keep-going -b html -d build/doctrees docs build/docs

docs-links: $(VENV)/installed-dev
	$(BIN)/sphinx-build -q -b linkcheck -d build/doctrees docs build/docs-links

wheel: $(VENV)/installed-dev
	$(BIN)/python -m build --wheel

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
