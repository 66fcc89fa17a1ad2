SHELL = /bin/bash
PYTHON ?= python3
VENV ?= .venv
# Versions of dependencies; test-lowest has its own
CONSTRAINTS ?= constraints.txt
BIN = $(VENV)/bin
LINT_PATHS = sb3_dpg scripts tests
# One process more than there are cores: many tests wait for processes of their own
PYTEST = -m pytest -n $(or $(WORKERS),$(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)) --dist worksteal --durations 10
FAST = -m "not slow and not nightly"
# What other versions of the dependencies can change
VERSIONS = $(FAST) $(addprefix --ignore=tests/,faults property scripts test_docs.py test_docs_commands.py test_structure.py)
# The networks are small: more threads only wait for each other
export OMP_NUM_THREADS ?= 1

.PHONY: train test test-slow test-nightly test-lowest test-highest coverage mutation long-run pytest lint type format check-codestyle commit-checks docs docs-links wheel clean help

help:
	@echo "make train          train BNDDPG on Pendulum-v1, evaluate it beside an untrained policy, plot the learning curve"
	@echo "make test           lint, type-check and run the tests (all but the slow ones)"
	@echo "make test-slow      run the slow tests: trainings that must reach a return, studies killed again and again"
	@echo "make test-nightly   run the property tests with 1000 examples each, and work out all published reports again"
	@echo "make test-lowest    run the fast tests, but those of faults, properties and pages, on the lowest versions that pyproject.toml admits"
	@echo "make test-highest   run the same on the newest versions that there are (PyTorch's stays the pinned one)"
	@echo "make coverage       run the tests and fail if they reach less than 90 % of the lines"
	@echo "make mutation       change the equations one by one and list the changes that no test notices (MUTANTS='*noise*': only those)"
	@echo "make long-run       train for 200,000 and 50,000 steps and tell whether memory and speed stay as they are"
	@echo "make format         sort imports and format"
	@echo "make lint type      what make test checks before the tests"
	@echo "make commit-checks  format, type, lint"
	@echo "make docs           build the documentation into build/docs; a warning is an error"
	@echo "make docs-links     ask for every page on the web that the documentation links to"
	@echo "make wheel          build a wheel into dist/ and check it"

# A stamp for each set of dependencies, so that they are installed again when they change
$(VENV)/installed-%: pyproject.toml $(CONSTRAINTS)
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(UPGRADE) --constraint $(CONSTRAINTS) --editable ".$(EXTRAS)"
	touch $@

# Gymnasium 1.0's Box2D is built from source, with SWIG: not for the lowest versions
$(VENV)/installed-lowest: EXTRAS = [dev,mujoco,classic-control,plots,tensorboard,export]
DEV_EXTRAS = dev,mujoco,box2d,classic-control,plots,tensorboard,export,docs
$(VENV)/installed-dev $(VENV)/installed-highest: EXTRAS = [$(DEV_EXTRAS)]
$(VENV)/installed-mutation: EXTRAS = [$(DEV_EXTRAS),mutation]

TRAIN = --algo bnddpg --env Pendulum-v1
# Further options of sb3-dpg train
OPTIONS ?=
train: $(VENV)/installed-base
	@echo "Training BNDDPG on Pendulum-v1, two to four minutes. Ctrl-C saves all of it; then go on by: make train OPTIONS=--resume"
	@$(BIN)/sb3-dpg train $(TRAIN) --seed 1 --num-threads 1 --eval-freq 1000 --eval-episodes 10 --log-folder logs \
		--progress --verbose 0 $(OPTIONS)
	@$(BIN)/python -m scripts.compare_untrained $(TRAIN) --folder logs --episodes 20
	@echo "Next: $(BIN)/sb3-dpg enjoy $(TRAIN) --no-render, or the Python block in README.md"

test: lint type pytest

lint: $(VENV)/installed-dev
	$(BIN)/ruff check $(LINT_PATHS)
	$(BIN)/ruff format --check $(LINT_PATHS)

check-codestyle: lint

type: $(VENV)/installed-dev
	$(BIN)/mypy

pytest: $(VENV)/installed-dev
	$(BIN)/python $(PYTEST) $(FAST)

test-slow: $(VENV)/installed-dev
	$(BIN)/python $(PYTEST) -m slow

test-nightly: $(VENV)/installed-dev
	HYPOTHESIS_PROFILE=nightly $(BIN)/python $(PYTEST) tests/property tests/benchmark/test_published.py

# Each in an environment of its own
test-lowest:
	$(MAKE) .venv-lowest/installed-lowest VENV=.venv-lowest CONSTRAINTS=constraints-lowest.txt
	.venv-lowest/bin/python $(PYTEST) $(VERSIONS)

test-highest:
	rm -f .venv-highest/installed-highest
	$(MAKE) .venv-highest/installed-highest VENV=.venv-highest UPGRADE="--upgrade --upgrade-strategy eager"
	.venv-highest/bin/python $(PYTEST) $(VERSIONS)

coverage: $(VENV)/installed-dev
	$(BIN)/python $(PYTEST) $(FAST) --cov --cov-report term:skip-covered --cov-fail-under 90

MUTANTS ?=
mutation: $(VENV)/installed-mutation
	$(BIN)/mutmut run $(patsubst %,'%',$(MUTANTS))
	$(BIN)/mutmut results

long-run: $(VENV)/installed-dev
	$(BIN)/python -m scripts.long_run

format: $(VENV)/installed-dev
	$(BIN)/ruff check --select I --fix $(LINT_PATHS)
	$(BIN)/ruff format $(LINT_PATHS)

commit-checks: format type lint

docs: $(VENV)/installed-dev
	$(BIN)/sphinx-build -W --keep-going -b html -d build/doctrees docs build/docs

docs-links: $(VENV)/installed-dev
	$(BIN)/sphinx-build -q -b linkcheck -d build/doctrees docs build/docs-links

wheel: $(VENV)/installed-dev
	rm -f dist/*.whl
	$(BIN)/python -m build --wheel
	$(BIN)/twine check --strict dist/*.whl

clean:
	rm -rf build dist mutants .pytest_cache .mypy_cache .ruff_cache .hypothesis
