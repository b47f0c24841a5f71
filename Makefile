# Each target does all the set-up it needs; `make test` in a fresh clone is enough.
#   make demo | test | lint | docs | setup | clean
#   make bench (BENCH=quick|full) | bench-speed | bench-trust | bench-headline
# PYTHON chooses the interpreter of the environment, VENV its folder.

PYTHON ?= python3
VENV ?= .venv
BENCH ?= quick
ifeq ($(filter $(BENCH),quick full),)
$(error BENCH must be quick or full, got '$(BENCH)')
endif
# Arguments for pytest, for instance: make test PYTEST_ARGS="tests/fusion -x"
PYTEST_ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SETUP_STAMP := $(VENV)/.setup-done
DOCS_STAMP := $(VENV)/.docs-done
BENCH_STAMP := $(VENV)/.bench-done
WIDEDEEP := build/venv-widedeep
WIDEDEEP_STAMP := $(WIDEDEEP)/.setup-done

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint docs clean \
	bench bench-data bench-speed bench-trust bench-headline

help:
	@echo "make setup  an environment in $(VENV)"
	@echo "make demo   learn from clothing reviews and show what was looked at"
	@echo "make test   the test suite, doctests included"
	@echo "make lint   ruff and mypy"
	@echo "make docs   the documentation, into docs/_build/html"
	@echo "make bench  the comparison with other methods (BENCH=quick or BENCH=full),"
	@echo "            on the data in SKFUSION_BENCH_DATA; tables into docs/benchmarks"
	@echo "make bench-speed, bench-trust, bench-headline"
	@echo "            the other benchmarks; see benchmarks/README.md"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# torch goes first and alone: resolved together with the rest, pip may download
# several other builds of it before it settles.
$(SETUP_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --constraint constraints.txt torch
	$(PIP) install --constraint constraints.txt --editable ".[dev,onnx,plot,polars,pretrained]"
	@touch $@

$(DOCS_STAMP): $(SETUP_STAMP)
	$(PIP) install --constraint constraints.txt --editable ".[docs]"
	@touch $@

setup: $(SETUP_STAMP)

demo: $(SETUP_STAMP)
	$(BIN)/python examples/quickstart.py

# Two processes of one thread each: with more, torch and BLAS fight for two cores.
test: $(SETUP_STAMP)
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 \
		$(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

lint: $(SETUP_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(DOCS_STAMP)
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

# Peers of the comparison; one of them wants an older numpy, and gets its own.
$(BENCH_STAMP): benchmarks/requirements.txt $(SETUP_STAMP)
	$(PIP) install --constraint constraints.txt --requirement $<
	@touch $@

$(WIDEDEEP_STAMP): benchmarks/requirements-widedeep.txt
	$(PYTHON) -m venv $(WIDEDEEP)
	$(WIDEDEEP)/bin/python -m pip install --requirement $<
	@touch $@

bench-data:
	@test -n "$(SKFUSION_BENCH_DATA)" || { echo "SKFUSION_BENCH_DATA must name the \
	folder of the benchmark's data, which holds load.py"; exit 2; }

# One thread a fit, so that seconds can be compared. What is there is not run again.
bench: bench-data $(BENCH_STAMP) $(WIDEDEEP_STAMP)
	$(BIN)/python -m benchmarks.compare --threads 1 $(if $(filter quick,$(BENCH)),--quick)
	$(BIN)/python -m benchmarks.compare.report

bench-speed: bench-data $(BENCH_STAMP) $(WIDEDEEP_STAMP)
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.speed.growth
	$(BIN)/python -m benchmarks.speed.busy
	$(BIN)/python -m benchmarks.speed.report

bench-trust: bench-data $(SETUP_STAMP)
	$(BIN)/python -m benchmarks.trust
	$(BIN)/python -m benchmarks.trust.report

bench-headline: bench-data $(SETUP_STAMP)
	$(BIN)/python -m benchmarks.headline --threads 1
	$(BIN)/python -m benchmarks.headline.report

clean:
	rm -rf build dist docs/_build docs/auto_examples .mypy_cache .pytest_cache .ruff_cache
