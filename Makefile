# Every target sets up by itself all that it needs: `make demo` and `make test` work in a fresh clone.

VENV := .venv
PYTHON := $(VENV)/bin/python
export PERSONALIZE_SPARK_JARS := $(CURDIR)/.jars
# Tests start hundreds of processes of Python: each would compile all modules again, where an image forbids to keep them compiled.
unexport PYTHONDONTWRITEBYTECODE
# Its name changes exactly when the environment must, whatever the files' times say after a checkout.
READY := $(VENV)/ready-$(shell cat requirements.lock pyproject.toml personalize_spark/scoring/native/*.[ch] | sha256sum | cut -c1-16)

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast coverage test-stable test-floors test-matrix test-other test-constraints check fuzz simulate docs bench bench-full clean jars java clients dist

help:  ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: jars  ## The main job on a generated catalogue, from nothing to printed answers (KEEP=folder keeps it)
	@$(VENV)/bin/personalize-spark demo $(if $(KEEP),--keep "$(KEEP)")

# Two processes side by side; each takes some 4 GiB at its highest: a Spark session, an S3 server, and one of them the cluster.
# One thread for numpy in each, as a task has.
# A JVM starts with the classes of CLASSES in half the time; one that they do not fit says nothing and loads its own.
CLASSES := .jars/classes-$(shell sha256sum < requirements.lock | cut -c1-16).jsa
MAPPED := -XX:SharedArchiveFile=$(CURDIR)/$(CLASSES) -Xshare:auto -Xlog:cds=off -Xlog:cds+dynamic=off
# The files' order is that of tests/conftest.py, not by the number of their tests: long files of few tests would come last.
# What a test has written goes with it, unless it failed: most of that never meets the disk, and nothing is left to clear up at the end.
PYTEST := OPENBLAS_NUM_THREADS=1 SPARK_SUBMIT_OPTS="$(MAPPED)" $(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder \
	-o tmp_path_retention_policy=failed

test: jars clients $(CLASSES)  ## All tests (ARGS="-k name" for some; ARGS="--hypothesis-profile thorough" before a release)
	$(PYTEST) $(if $(CI),--durations=40) $(ARGS)

# They write some ten thousand small files: in memory, where Linux has half a gigabyte for them, that takes a tenth less.
MEMORY := $(shell test -w /dev/shm && df -k -P /dev/shm | awk 'NR == 2 && $$4 > 524288 { print "/dev/shm" }')

test-fast: $(READY)  ## The quick tests that need no JVM and no server, in seconds
	$(if $(MEMORY),TMPDIR=$(MEMORY)) $(PYTEST) --hypothesis-profile quick -m "not spark and not s3 and not cluster and not movielens and not slow" $(ARGS)

# Tracing takes 70 % more time on Python 3.11, and what tasks of Spark run is not traced: so only the tests without a JVM.
coverage: jars clients  ## The tests that need no JVM and no server, the slow ones too, and what they do not cover
	$(PYTEST) --hypothesis-profile fast --cov -m "not spark and not s3 and not cluster and not movielens" $(ARGS)

test-stable: jars clients $(CLASSES)  ## All tests N times over, 10 unless N says otherwise; stops at the first failure
	for run in $$(seq $(or $(N),10)); do echo "Run $$run"; $(PYTEST) $(ARGS) || exit 1; done

# The JVM writes them when it ends, after the demo: `cat` waits for that.
$(CLASSES): | jars
	@echo "Keeping the classes that Spark loads in the demo (a minute or two)" >&2
	@rm -f .jars/*.jsa
	@SPARK_SUBMIT_OPTS="-XX:ArchiveClassesAtExit=$(CURDIR)/$@.new" $(VENV)/bin/personalize-spark demo 2>&1 | cat >/dev/null
	@mv $@.new $@

# A plain install at exactly its floors, so without Spark and scipy: what a job is made of.
FLOORS := .venv-floors
FLOORS_TESTS := $(addprefix tests/,artifacts catalog filters job quality recipes scoring storage testing themes) \
	$(addprefix tests/test_,answer.py records.py request.py schemas.py scores.py) tests/service/test_batch_inference_jobs.py
FLOORS_READY := $(FLOORS)/ready-$(shell cat requirements.lock pyproject.toml | sha256sum | cut -c1-16)

test-floors: $(FLOORS_READY) clients  ## Jobs, without Spark, on the oldest versions that pyproject.toml allows
	$(FLOORS)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -p no:cacheprovider --hypothesis-profile fast \
		-m "not spark and not cluster and not movielens" $(FLOORS_TESTS) $(ARGS)

$(FLOORS_READY): $(READY)
	@bin/make-floors $(PYTHON) $(FLOORS)
	@rm -f $(FLOORS)/ready-* && touch $@

test-constraints: $(READY)  ## Whether pip resolves on what platforms have installed; needs the package index
	@bin/check-constraints $(PYTHON)

check: $(READY) docs  ## Style, types, and the links of the documents
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy

OTHERS := 3.5.9 4.0.5 4.2.1

test-matrix: java  ## Demo, jobs, imports, training and import-model on other releases of Spark (SPARK="4.0.5 4.2.0"); fills docs/platforms.md
	bin/test-matrix $(PYTHON) $(or $(SPARK),$(OTHERS) 4.3.0)

test-other: java  ## The demo, a job, an import and a training on one other release of Spark, which the date chooses
	bin/test-matrix --today $(PYTHON) $(OTHERS)

# Not in the lock: it has wheels for Linux on x86-64 alone.
FUZZ := .venv-fuzz
FUZZ_READY := $(FUZZ)/atheris-3.0.0.dist-info

# So many RUNS are the same ones each time: what CI finds stands in the change that it looks at.
fuzz: $(FUZZ_READY)  ## Each reader fuzzed for FOR seconds, ten minutes if left out, or RUNS times; guided by coverage; on Linux on x86-64
	for target in line expression request schema record array csv; do \
		PYTHONPATH=$(FUZZ) $(PYTHON) -m tests.fuzz_targets $$target $(if $(RUNS),-seed=1 -runs=$(RUNS),-max_total_time=$(or $(FOR),600)) || exit 1; done

$(FUZZ_READY): | $(READY)
	@$(PYTHON) -m pip install -q --disable-pip-version-check --no-input --no-deps --upgrade --target $(FUZZ) $(subst -,==,$(basename $(@F)))

simulate: $(READY)  ## Jobs in SEEDS simulated worlds, 10,000 if left out, by two processes: minutes
	SIMULATED_JOBS=$(or $(SEEDS),10000) $(PYTEST) --dist load tests/job/test_simulation.py

docs: $(READY)  ## The documentation site, in .site; a link to nowhere fails
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict

bench: jars  ## Benchmarks, quick sizes; results into benchmarks/results
	$(PYTHON) -m benchmarks.topn --quick
	$(PYTHON) -m benchmarks.endtoend
	$(PYTHON) -m benchmarks.report

bench-full: jars  ## All benchmarks; two hours
	$(PYTHON) -m benchmarks.topn
	$(PYTHON) -m benchmarks.endtoend --runs 5
	$(PYTHON) -m benchmarks.endtoend --items 100000
	$(PYTHON) -m benchmarks.task
	$(PYTHON) -m benchmarks.filters
	$(PYTHON) -m benchmarks.quality
	$(PYTHON) -m benchmarks.training
	$(PYTHON) -m benchmarks.extremes
	$(PYTHON) -m benchmarks.scale
	$(PYTHON) -m benchmarks.estimates
	$(PYTHON) -m benchmarks.endurance
	$(PYTHON) -m benchmarks.report

# Other people's clients of the service, with what they need of their own.
CLIENTS := .clients
CLIENTS_READY := $(CLIENTS)/ready-$(shell sha256sum < bin/make-clients | cut -c1-16)

clients: $(CLIENTS_READY)

$(CLIENTS_READY): | $(READY)
	@bin/make-clients $(PYTHON) $(CLIENTS)
	@touch $@

# The tools that build what is shipped; zig compiles the search for every kind of machine.
TOOLS := .venv-dist
TOOLS_WANTED := build==1.6.1 setuptools==84.2.1 wheel==0.48.0 ziglang==0.15.2

dist: jars  ## What is shipped, in dist/: sdist, wheels, environments; each is installed and runs a job, and Spark the demo
	@test -e "$(TOOLS)/ready" || { $(PYTHON) -m venv $(TOOLS) && $(TOOLS)/bin/python -m pip install -q --disable-pip-version-check $(TOOLS_WANTED) && touch $(TOOLS)/ready; }
	@bin/make-dist $(TOOLS)
	@bin/check-dist $(PYTHON)

clean:  ## Remove the environment, the jars and all caches
	rm -rf $(VENV) $(FLOORS) $(FUZZ) $(TOOLS) .venv-lock dist .site .venv-spark-* $(CLIENTS) .jars .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info

jars: java
	@$(PYTHON) -m personalize_spark.jars >/dev/null

# After the environment, not beside it: both may have to install a package of the system, and apt lets only one in.
java: $(READY)
	@bin/java-or-say

$(READY):
	@bin/make-venv $(VENV)
	@rm -f $(VENV)/ready-* && touch $@
