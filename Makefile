# Everything that people and CI do with this project. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.SUFFIXES:

PYTHON ?= python3
BIN := .venv/bin
MISSIONS := $(BIN)/missions
PYTEST := $(BIN)/python -m pytest
# What pytest gets beside the suite's path: make test-unit ARGS="-k claim -x"
ARGS ?=
# Processes that `make test` shares its files among. Each has servers of its own. One more than the cores of a small machine: a third of
# the time a test waits for somebody.
WORKERS ?= 3

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-18s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- the environment

# Made again when what it is made from changes. The stamp is written last: an interrupted install is not taken for one.
.venv/.installed: requirements/dev.txt pyproject.toml schemas/pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	  echo "✗ $(PYTHON) is not installed — fix: install Python 3.11 or newer, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "✗ $$($(PYTHON) --version) is too old — fix: install Python 3.11 or newer, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv || { rm -rf .venv; \
	  echo "✗ $(PYTHON) could not make .venv — fix: install its venv module (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@echo "Installing the packages of requirements/dev.txt into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e schemas -e .
	@touch $@

.PHONY: venv
venv: .venv/.installed ## make .venv with everything that is needed, pinned by hash

.PHONY: lock
lock: venv ## write requirements/*.txt again from pyproject.toml
	@requirements/lock.sh

# --- the local stack

.PHONY: up
up: venv ## start servers and roles in the background, and wait until they are ready
	@$(MISSIONS) stack up

.PHONY: down
down: venv ## stop all of it; the data stays
	@$(MISSIONS) stack down

.PHONY: clean
clean: venv ## stop all of it and forget the data
	@$(MISSIONS) stack clean

.PHONY: status
status: venv ## show what runs
	@$(MISSIONS) stack status

.PHONY: logs
logs: venv ## show the logs' last lines and what is added (ROLE=api for one of them)
	@$(MISSIONS) stack logs --follow $(ROLE)

.PHONY: doctor
doctor: venv ## check machine, servers and roles, with a fix beside each fault
	@$(MISSIONS) doctor

.PHONY: demo
demo: venv ## start everything and play a learner's first day through the real services
	@$(MISSIONS) demo

# --- tests and checks

.PHONY: test
test: venv ## run every test suite (WORKERS=1: file after file)
	@$(PYTEST) -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: test-unit test-properties test-contracts test-integration test-journeys test-simulation
test-unit: venv ## the pure core, no I/O
test-properties: venv ## the rules, on random input (Hypothesis)
test-contracts: venv ## the published schemas and examples
test-simulation: venv ## thousands of lives under seeded faults, in memory
test-integration: venv ## each outside thing, on real servers
test-journeys: venv ## whole stories, through the real roles
test-unit test-properties test-contracts test-integration test-journeys test-simulation:
	@$(PYTEST) tests/$(@:test-%=%) $(ARGS)

.PHONY: check
check: lint types architecture ## lint, types and the direction of imports

.PHONY: lint
lint: venv ## ruff: rules and layout
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

.PHONY: format
format: venv ## ruff: mend what it can
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

.PHONY: types
types: venv ## mypy --strict
	@$(BIN)/mypy

.PHONY: architecture
architecture: venv ## import-linter: imports point one way
	@$(BIN)/lint-imports

.PHONY: simulate
simulate: venv ## the real handlers under seeded faults, in memory (SEEDS=1000 FROM=0), or one seed's history (SEED=…)
	@$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),1000) --from $(or $(FROM),0)) $(ARGS)

.PHONY: life
life: venv ## a longer random life against the independent model (DAYS=21 USERS=100 SEED=…)
	@MISSIONS_LIFE_DAYS=$(or $(DAYS),21) MISSIONS_LIFE_USERS=$(or $(USERS),100) MISSIONS_LIFE_SEED=$(SEED) \
	  $(PYTEST) tests/journeys/test_seven_days.py -s $(ARGS)

.PHONY: relay-storm
relay-storm: venv ## two relays and their servers die again and again (RUNS=5 FAULTS=14 SEED=…)
	@MISSIONS_STORM_RUNS=$(or $(RUNS),5) MISSIONS_STORM_FAULTS=$(or $(FAULTS),14) MISSIONS_STORM_SEED=$(SEED) \
	  $(PYTEST) tests/integration/relay/test_storm.py -s -q $(ARGS)

.PHONY: fuzz-api
fuzz-api: venv ## the HTTP API against its OpenAPI, for longer (SECONDS=300 SEED=…)
	@MISSIONS_FUZZ_SECONDS=$(or $(SECONDS),300) MISSIONS_FUZZ_SEED=$(SEED) \
	  $(PYTEST) tests/integration/api/test_openapi_fuzz.py tests/integration/api/test_hostile_input.py -s --timeout=0 $(ARGS)

.PHONY: fuzz
fuzz: venv ## records and definitions, changed until something breaks (SECONDS=60, ARGS=definitions-yaml)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
	  -r requirements/fuzz.txt 2>/dev/null || echo "atheris can't be installed here: nothing will guide the fuzzing"
	@$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60) $(ARGS)

.PHONY: chaos
chaos: venv ## break roles, servers and network by a seed, then verify every event (RUNS=20 EVENTS=100000 SEED=…)
	@$(BIN)/python -m tests.chaos --runs $(or $(RUNS),1) --events $(or $(EVENTS),100000) $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: mutants
mutants: venv ## remove each guard from a copy of the tree: which tests turn red (ARGS="--list", ARGS=version-guard)
	@$(BIN)/python -m tests.mutants $(ARGS)

.PHONY: claim-storm
claim-storm: venv ## claims by many clients at once while the claims services are killed (ASSIGNMENTS=1000 CONCURRENCY=100 SEED=…)
	@MISSIONS_STORM_ASSIGNMENTS=$(or $(ASSIGNMENTS),1000) MISSIONS_STORM_CONCURRENCY=$(or $(CONCURRENCY),100) \
	  MISSIONS_STORM_SEED=$(SEED) $(PYTEST) tests/chaos/test_claim_storm.py -s $(ARGS)

.PHONY: audit
audit: venv ## ask for advisories about every pinned package (ARGS="--service osv")
	@$(BIN)/python -m tests.supply_chain $(ARGS)

.PHONY: sbom
sbom: venv ## write build/sbom.json: what an installed system is made of (CycloneDX)
	@mkdir -p build && $(BIN)/cyclonedx-py requirements requirements/runtime.txt --pyproject pyproject.toml \
	  --output-reproducible --of JSON -o build/sbom.json && echo "build/sbom.json is written"

.PHONY: bench
bench: venv ## events per second through the whole pipeline, beside its peer
	@$(BIN)/python -m benchmarks.pipeline $(ARGS)

.PHONY: bench-catch-up
bench-catch-up: venv ## lag after a minute without Postgres, and on five million events: about twenty minutes (ARGS="--only outage")
	@$(BIN)/python -m benchmarks.catch_up $(ARGS)

.PHONY: bench-curves
bench-curves: venv ## what an event costs as definitions, users, missions, batches, partitions, processors grow: about forty minutes
	@$(BIN)/python -m benchmarks.curves $(ARGS)

.PHONY: bench-sizes
bench-sizes: venv ## bytes by the row, the event and the user, and what a deployment needs
	@$(BIN)/python -m benchmarks.sizes $(ARGS)

.PHONY: bench-latency
bench-latency: venv ## from an event to its progress in GET /missions, at 200, 2,000 and 10,000 events/s
	@$(BIN)/python -m benchmarks.latency $(ARGS)

.PHONY: bench-http
bench-http: venv ## GET /missions and claims under load, beside a route that does nothing (needs Node)
	@$(BIN)/python -m benchmarks.http_load $(ARGS)

.PHONY: bench-profile
bench-profile: venv ## where the time of an event goes, by program and by function
	@$(BIN)/python -m benchmarks.profile --functions $(ARGS)
