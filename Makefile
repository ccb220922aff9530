# `make demo` and `make test` do their own set-up on a fresh machine with Python >= 3.11.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
SUPPLY := $(VENV)/supply/bin
TOOLS  := $(VENV)/supply/.ready
# Tests start Python many hundreds of times: without compiled modules, each start takes three times as long.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test packages check lint unit domain system-test moments volume browser deb campaign bench bench-full lock audit example clean

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $(READY)

demo: $(READY)        ## the main job on the embedded sandbox, told live
	$(BIN)/mcfd demo

test: packages        ## what to run before anything lands; CI runs `moments`, `volume`, `browser` and `system-test`, too
	$(MAKE) --jobs=2 lint domain
	$(MAKE) unit

packages:             ## Debian's packages for the tests with real servers, where there are root and apt
	.ci/packages

check: lint           ## what to run before each commit: lint, unit and the quick ones of services on SQLite
	$(PARALLEL) tests/unit tests/services -m "not slow and not volume" -k "not postgres"

lint: $(READY)        ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Twice as many workers as cores, because tests with real processes wait longer than they work; the others need no more.
CORES    := $(shell nproc)
WORKERS  ?= $(shell expr 2 \* $(CORES))
check domain moments: WORKERS := $(CORES)
PARALLEL  = $(BIN)/pytest -n $(WORKERS) --dist worksteal --durations=10

# Those that try hundreds of examples take no branch of their own, and would take five times as long when it is noted.
EXAMPLES := $(addprefix tests/unit/domain/test_, allocation.py lives.py)
DOMAIN  := $(filter-out $(EXAMPLES), $(wildcard tests/unit/domain/test_*.py)) tests/unit/test_problem_codes.py \
           $(addprefix tests/services/test_, lost_store.py unproven.py switches.py shop_pauses.py)

MOMENTS := $(addprefix tests/campaign/test_, kill_points.py easypost.py) tests/durability/test_power_cut.py \
           $(addprefix tests/services/test_, crashes.py portal_changes_during_calls.py)

unit: $(READY)        ## every test but those of `domain`, `moments`, `volume`, `browser` and `system-test`
	$(PARALLEL) -m "not volume" $(patsubst %,--ignore=%,$(DOMAIN) $(MOMENTS) tests/browser)

domain: $(READY)      ## the tests that together take every branch of the domain, and the proof that they do
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(DOMAIN) -p no:randomly -n $(WORKERS) --durations=10
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

system-test: $(READY) ## the unit in booted Debians; skipped, with the reason, where none can be booted
	$(BIN)/pytest tests/system -n 2 --dist loadgroup -p no:randomly -rs --durations=10

deb:                  ## dist/mcfd_….deb for the Debian that this is
	deploy/debian/build dist

SEED    ?= $(shell date +%s)
RETURNS ?= 40
WORLDS  ?= 50

moments: $(READY)     ## death, trouble or news at every moment of a life; pytest alone tries every sixteenth
	$(PARALLEL) --every-moment --timeout 600 $(MOMENTS)

volume: $(READY)      ## whole stories over real processes and nodes, more random worlds, crowds; `make test` runs one of each
	$(PARALLEL) --timeout 600 -m volume

browser: $(READY)     ## the console's pages and the sandbox's in a real browser
	$(PARALLEL) tests/browser

campaign: $(READY)    ## random worlds with everything that goes wrong; WORLDS=0 goes on until interrupted
	$(BIN)/python -m tests.campaign --seed $(SEED) --returns $(RETURNS) --worlds $(WORLDS)

bench: $(READY)       ## the measurements, in short
	$(BIN)/python -m bench --quick

bench-full: $(READY)  ## the measurements as in bench/RESULTS.md
	$(BIN)/python -m bench --full

lock: $(TOOLS)        ## renews requirements.txt, which names every package of an installation with its hashes
	$(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
	| $(SUPPLY)/uv pip compile pyproject.toml - --quiet --upgrade --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --custom-compile-command "make lock" --output-file requirements.txt

audit: $(TOOLS)       ## looks for known vulnerabilities in what requirements.txt names; needs the internet
	$(SUPPLY)/pip-audit --strict --disable-pip --require-hashes --requirement requirements.txt

$(TOOLS): pyproject.toml
	$(PYTHON) -m venv $(VENV)/supply
	$(SUPPLY)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(SUPPLY)/python -m pip install --quiet --upgrade --group supply
	touch $(TOOLS)

example: $(READY)     ## writes config.example.yaml from what the fields of config/ say of themselves
	$(BIN)/python -m config.example

clean:
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .coverage
