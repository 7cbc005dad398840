# Every target sets up by itself all that it needs: `make demo` and `make test` work in a fresh clone.

VENV := .venv
PYTHON := $(VENV)/bin/python
export PERSONALIZE_SPARK_JARS := $(CURDIR)/.jars
# Changes exactly when the environment must be made anew.
READY := $(VENV)/ready-$(shell cat requirements.lock pyproject.toml | sha256sum | cut -c1-16)

.DEFAULT_GOAL := help
.PHONY: help demo test check bench bench-full jars java clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

demo: $(READY) java  ## The main job on a generated catalogue, from nothing to printed answers (KEEP=dir keeps it)
	$(VENV)/bin/personalize-spark demo $(if $(KEEP),--keep $(KEEP))

test: $(READY) jars  ## All tests
	$(PYTHON) -m pytest

check: $(READY)  ## Style and types
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy

bench: $(READY) jars  ## Benchmarks, quick sizes; results into benchmarks/results
	$(PYTHON) -m benchmarks.endtoend

jars: $(READY) java
	@$(PYTHON) -m personalize_spark.jars >/dev/null

java:
	@bin/java-or-say

$(READY): requirements.lock pyproject.toml
	@bin/make-venv $(VENV)
	@touch $@

clean:  ## Remove the environment, the jars and all caches
	rm -rf $(VENV) .jars .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
