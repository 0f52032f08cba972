# The commands, `make demo` and `make test` first. Each makes .venv and installs into it where that has not been done.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test quick nightly faults lint results clean

demo: $(INSTALLED)
	$(BIN)/tlx demo

# One thread each: two processes with two threads each hinder one another on two cores. Many processes are started: each
# would compile every module again where PYTHONDONTWRITEBYTECODE keeps the first from writing what it has compiled.
test quick nightly faults: export OMP_NUM_THREADS := 1
demo test quick nightly faults: export PYTHONDONTWRITEBYTECODE :=
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist worksteal

test: $(INSTALLED)
	$(PYTEST)

# The tests that take seconds.
quick: $(INSTALLED)
	$(PYTEST) -m "not run and not slow and not nightly"

# What is rare or long: before a release, and before an issue is closed.
nightly: $(INSTALLED)
	$(PYTEST) -m nightly

# Plants the faults of tests/faults one after another: does the suite notice them?
faults: $(INSTALLED)
	$(BIN)/python -m tests.faults

lint: $(INSTALLED)
	$(BIN)/pip install -q -e '.[dev]'
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy tlx

# The figures of docs/results.md; about a day on 2 cores.
results: $(INSTALLED)
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/sweep.py
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/views.py
	$(BIN)/python benchmarks/targets.py
	$(BIN)/python benchmarks/domains.py
	$(BIN)/python benchmarks/medical.py
	$(BIN)/python benchmarks/tiles.py
	$(BIN)/python benchmarks/segmentation.py
	$(BIN)/python benchmarks/practices.py
	$(BIN)/python benchmarks/recipes.py recipes
	$(BIN)/python benchmarks/recipes.py grid
	$(BIN)/python benchmarks/architectures.py
	$(BIN)/python benchmarks/chains.py

$(INSTALLED): pyproject.toml
	PYTHON="$(PYTHON)" sh .ci/venv "$(VENV)"
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
