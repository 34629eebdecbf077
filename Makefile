# The front door. `make demo` sets everything up and runs the main job; `make test` sets everything up and passes the tests.
SHELL := /bin/bash
.DEFAULT_GOAL := help
SCALE ?= 0.1
VENV := .venv
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
export UV_NO_PROGRESS := 1

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(INSTALLED)  ## create .venv from the hashed lock

$(INSTALLED): requirements-dev.txt requirements-uv.txt sandbox/setup.sh
	@sandbox/setup.sh $(VENV)
	@touch $@

demo: setup  ## everything set up, one day run, marts published (SCALE=0.1; SCALE=1 is 100,000 orders)
	@$(PYTHON) -m sandbox demo --scale $(SCALE)

status: setup  ## what runs
	@$(PYTHON) -m sandbox status

dbt: setup  ## dbt in a place of your own: make dbt ARGS="build --select fct_orders+" (docs/working-on-marts.md)
	@$(PYTHON) -m transform dbt $(ARGS)

backfill: setup  ## load days again or for the first time: make backfill SOURCE=orders FROM=2026-11-01 TO=2026-11-05
	@$(PYTHON) -m operations backfill $(or $(SOURCE),all) --from "$(FROM)" $(if $(TO),--to "$(TO)") $(ARGS)

stop:  ## end everything that runs
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m sandbox stop; else echo "Nothing was running."; fi

clean: stop  ## also remove the sandbox's data
	@rm -rf .local

# Linters run beside the tests; what they have to say comes at the end.
UNIT := $(PYTHON) -m pytest -n 2 --dist loadscope -m
LINT := mkdir -p .local; $(MAKE) --no-print-directory lint > .local/lint.txt 2>&1 & lint=$$!

test: setup  ## everything: linters, unit tests, real stand-ins, a real scheduler; all at once
	@$(LINT); $(PYTHON) -m pytest -m "scheduler and not browser" > .local/scheduler.txt 2>&1 & scheduler=$$!; \
	trap 'kill -INT $$lint $$scheduler 2> /dev/null; wait' INT TERM; \
	$(UNIT) "not scheduler and not browser and not compose"; unit=$$?; \
	wait $$lint; lint=$$?; wait $$scheduler; scheduler=$$?; \
	cat .local/lint.txt .local/scheduler.txt; exit $$((unit || lint || scheduler))

test-fast: setup  ## linters, and the tests that are quick
	@$(LINT); $(UNIT) "not scheduler and not browser and not compose and not slow"; unit=$$?; \
	wait $$lint; lint=$$?; cat .local/lint.txt; exit $$((unit || lint))

test-long: setup  ## what is left to chance, with many examples and a seed of its own; a whole month on Snowflake's double
	@TESTS_LONG=1 $(UNIT) "hypothesis or chance" $(ARGS)

test-mutants: setup  ## break the code on purpose, rule by rule: a test has to notice each
	@$(PYTHON) -m tests.mutants $(ARGS)

test-browser: setup  ## the pages in a real browser (needs chromium)
	@$(PYTHON) -m pytest -m browser

test-snowflake: setup  ## everything on a real Snowflake account (SNOWFLAKE_*), in an environment of its own; says what is unproven without
	@$(PYTHON) -m pytest tests/snowflake_account

lint: setup  ## ruff, mypy, sqlfluff
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/mypy
	@MYPYPATH=dags $(VENV)/bin/mypy -p wiring
	@$(VENV)/bin/sqlfluff lint --disable-progress-bar --nocolor dbt_ecommerce

docs: setup  ## the documentation as a site, in site/ (a warning is an error)
	@$(PYTHON) -m docs.generate
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

screenshots: setup  ## the pictures in docs/images, taken by the browser tests
	@SCREENSHOTS=docs/images $(PYTHON) -m pytest -q -m browser tests/dashboard tests/pipeline_page

bench-ingestion: setup  ## ingestion against dlt, a bare COPY and Stripe's SDK; ends with the ratios (about 18 minutes)
	@mkdir -p .local && set -o pipefail && \
	{ $(PYTHON) -m benchmarks.ingestion_postgres && $(PYTHON) -m benchmarks.ingestion_stripe; } | tee .local/bench-ingestion.txt && \
	echo && grep '^ratio ' .local/bench-ingestion.txt

bench-scheduling: setup  ## a day as small DAGs against one master DAG, on a real Airflow; ends with the ratios (about 10 minutes)
	@mkdir -p .local && set -o pipefail && \
	$(PYTHON) -m benchmarks.scheduling | tee .local/bench-scheduling.txt && \
	echo && grep '^ratio ' .local/bench-scheduling.txt

bench-transform: setup  ## dbt on Airflow against `dbt build`, cosmos, a full refresh; ends with the ratios (about 15 minutes)
	@mkdir -p .local && set -o pipefail && \
	{ $(PYTHON) -m benchmarks.transform_airflow && $(PYTHON) -m benchmarks.transform_incremental && \
	$(PYTHON) -m benchmarks.snowflake_statements; } | tee .local/bench-transform.txt && \
	echo && grep '^ratio ' .local/bench-transform.txt

bench-page: setup  ## the page Pipeline with 90 days in a browser (needs chromium), beside a page of Airflow's; ends with the ratios
	@mkdir -p .local && set -o pipefail && \
	$(PYTHON) -m benchmarks.pipeline_page | tee .local/bench-page.txt && \
	echo && grep '^ratio ' .local/bench-page.txt

test-compose: setup  ## docker compose up, both forms, on a real engine: the one at hand, or one of its own (root on Debian 12)
	@$(PYTHON) -m pytest -m compose tests/compose

env:  ## generate the secrets of a deployment into .env, where it does not set them
	@python3 -m sandbox.containers env

LOCK := uv pip compile --override requirements-overrides.txt --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url
lock: setup  ## compile the *.in files into locks
	@for name in requirements requirements-container requirements-dev requirements-uv; do $(VENV)/bin/$(LOCK) $$name.in -o $$name.txt; done

.PHONY: help dbt env test-compose setup demo status backfill stop clean test test-browser test-fast test-long test-mutants test-snowflake lint docs screenshots bench-ingestion bench-scheduling bench-transform bench-page lock
