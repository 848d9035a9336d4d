# Everything a newcomer or CI needs; Python >= 3.11 and make are enough. `make` lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/sh

PYTHON ?= python3
UV_VERSION := 0.13.8
UV := .tools/bin/uv
UV_STAMP := .tools/uv-$(UV_VERSION).dist-info/METADATA
VENV_STAMP := .venv/.counterfoil-synced
RUN := .venv/bin/python
# Three processes keep two cores busy, since tests also wait; more cores take more.
WORKERS ?= 3
SCALE ?= 1

export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := .venv
export UV_NO_PROGRESS := 1
unexport VIRTUAL_ENV
unexport PYTHONPATH
# Compiling every module again at each start would more than double the time to the first answer.
unexport PYTHONDONTWRITEBYTECODE

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

setup: $(VENV_STAMP) ## install the locked dependencies into .venv

serve: $(VENV_STAMP) ## serve the API with a demo tenant on http://127.0.0.1:8000 until Ctrl-C
	@COUNTERFOIL_DEMO=$${COUNTERFOIL_DEMO:-on} exec $(RUN) -m counterfoil serve

shop: $(VENV_STAMP) ## open the example shop on http://127.0.0.1:8002, beside a running `make serve`
	@exec $(RUN) -m examples.storefront.run

test: $(VENV_STAMP) ## run the whole test suite on a PostgreSQL of its own
	$(RUN) -m pytest -n $(WORKERS) --dist loadscope

check: $(VENV_STAMP) ## everything CI asks for: format, lint, imports, types, tests
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	.venv/bin/lint-imports
	.venv/bin/mypy .
	$(RUN) -m pytest -n $(WORKERS) --dist loadscope

fix: $(VENV_STAMP) ## format, and mend what can be mended without a person
	.venv/bin/ruff format
	.venv/bin/ruff check --fix

demo: $(VENV_STAMP) ## tell the story of a few payments with what really happened
	@exec $(RUN) -m counterfoil demo

torture: $(VENV_STAMP) ## concurrency, crashes and hostile input; SCALE=0.1 for a short run
	@SCALE=$(SCALE) exec $(RUN) -m pytest tests/torture -q -s --no-header --tb=short -p no:xdist

bench: $(VENV_STAMP) ## measure against a bare server; SCALE=0.1 for a quick look
	@exec $(RUN) -m benchmarks --scale $(SCALE)

docs: $(VENV_STAMP) ## write what is generated: docs/settings.md, schema.graphql, requirements.txt
	$(RUN) -m counterfoil.reference
	$(UV) export --frozen --quiet --no-dev --output-file requirements.txt

$(UV_STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Counterfoil needs Python 3.11 or newer; try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m ensurepip --user >/dev/null 2>&1 || \
	  { echo "$(PYTHON) has no pip; install it, for example: apt-get install python3-pip" >&2; exit 1; }
	rm -rf .tools
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-input --root-user-action=ignore \
	  --target .tools uv==$(UV_VERSION)
	@touch $@

# The stamp keeps later runs off the network: uv runs only after the lock has changed.
$(VENV_STAMP): $(UV_STAMP) uv.lock pyproject.toml
	$(UV) sync --frozen --quiet --compile-bytecode
	@touch $@

.PHONY: help setup serve shop test check fix demo torture bench docs
