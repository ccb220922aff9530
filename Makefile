# `make demo` and `make test` do their own set-up on a fresh machine with Python >= 3.11.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test lint unit bench bench-full clean

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $(READY)

demo: $(READY)        ## the main job on the embedded sandbox, told live
	$(BIN)/mcfd demo

test: lint unit       ## all that CI runs

lint: $(READY)        ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(READY)        ## every test, then the domain's branch coverage
	$(BIN)/coverage erase
	$(BIN)/pytest -n auto
	$(BIN)/coverage run -m pytest tests/unit/domain -p no:randomly
	$(BIN)/coverage report

bench: $(READY)       ## the measurements, in short
	$(BIN)/python -m bench --quick

bench-full: $(READY)  ## the measurements as in bench/RESULTS.md
	$(BIN)/python -m bench --full

clean:
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .coverage
