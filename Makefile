# Everything a developer runs. `make help` lists it.
SHELL := bash
.DEFAULT_GOAL := help
BIN := .venv/bin
WORKERS ?= 3
# Every service and every child is a Python of its own: compiling torch anew for each takes seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: setup
setup: ## Make .venv and install everything into it
	@deploy/dev/setup

.PHONY: web
web: setup ## Build the web UI, which the gateway serves
	@deploy/dev/web build

.PHONY: demo
demo: web ## From nothing to activations on disk: a real model, real text, the whole stack
	@$(BIN)/python examples/demo/run.py

.PHONY: test
test: ## Every check and every test
	@deploy/dev/test $(WORKERS) $(ARGS)

.PHONY: families
families: setup ## Run every family in every format and write docs/families.md
	@MISTUDIO_TESTS=all $(BIN)/pytest -n 0 tests/integration/test_families.py $(ARGS)

.PHONY: faults
faults: setup ## Kill, fill, cut and pause at every point: what the usual run does at a few
	@MISTUDIO_TESTS=all $(BIN)/pytest -n 0 tests/faults $(ARGS)

.PHONY: fuzz
fuzz: setup ## Give every door and every reader of files random input, ten minutes each
	@MISTUDIO_TESTS=all MISTUDIO_FUZZ_SECONDS=600 $(BIN)/pytest -n 0 -m fuzz $(ARGS)

.PHONY: thorough
thorough: web ## What else takes too long for each change: start page, tutorial, a long fuzzing …
	@MISTUDIO_TESTS=all $(BIN)/pytest -n 0 -m 'nightly and not fuzz' --ignore=tests/faults \
		--ignore=tests/integration/test_families.py $(ARGS)

.PHONY: unit
unit: setup ## Only the fast tests, those beside the packages
	@$(BIN)/pytest -n $(WORKERS) libs services $(ARGS)

.PHONY: lint
lint: setup ## Format, lint, architecture and types
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(BIN)/lint-imports
	@$(BIN)/mypy
	@deploy/dev/web lint typecheck

.PHONY: contracts
contracts: setup ## Render contracts/ and infra/nats/ from the code
	@$(BIN)/python deploy/dev/render.py

.PHONY: docs
docs: setup ## Build the documentation into site/; a warning ends it
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

.PHONY: constraints
constraints: setup ## Pin today's versions into constraints.txt, without addresses
	@deploy/dev/pin

.PHONY: audit
audit: setup ## Ask what is known against what we depend on, look for secrets, list what is in a release
	@deploy/dev/audit

.PHONY: bench
bench: setup ## Run a benchmark: make bench NAME=capture
	@$(BIN)/python -m benchmarks.$(NAME)

.PHONY: up
up: web ## Start the embedded stack in the foreground
	@$(BIN)/mistudio up

.PHONY: clean
clean: ## Remove caches and the venv
	@rm -rf .venv .venv-peers .venv-audit build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache site services/web/node_modules services/web/dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
