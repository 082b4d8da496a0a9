# Every target makes .venv on first use; nothing else needs to be installed by hand.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
SITE := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict # not --quiet: it hides what strict would refuse

.PHONY: setup sweep test test-faults soak test-all check format golden smoke-vit-b32 bench constraints docs clean

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "distmerge needs Python 3.11 or newer; call: make PYTHON=python3.11 ..."; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,zoo]'
	@touch $(READY)

setup: $(READY)  ## make .venv with the pinned versions

sweep: $(READY)  ## run the main job: jobs/quickstart.yaml on the tiny zoo
	$(BIN)/python jobs/sweep.py

test: $(READY)  ## the fast suite
	$(BIN)/python -m pytest -q -m "not slow and not gpu"

test-faults: $(READY)  ## kill, fill and cut off a sweep for real; a table of how it recovered
	$(BIN)/python -m pytest -q tests/faults --ignore=tests/faults/test_soak.py

MINUTES ?= 30
soak: $(READY)  ## a sweep under random kills; MINUTES=30, SOAK_SEED=0
	SOAK_MINUTES=$(MINUTES) $(BIN)/python -m pytest -q tests/faults/test_soak.py

test-all: $(READY)  ## everything that this machine can run
	$(BIN)/python -m pytest -q

check: $(READY)  ## format, lint, layers, types, the site's links
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(SITE)

docs: $(READY)  ## the documentation as a site, build/site/index.html; needs no network
	$(SITE)

format: $(READY)  ## rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

golden: $(READY)  ## rewrite tests/golden (commit it alone)
	DISTMERGE_GOLDEN=write $(BIN)/python -m pytest -q tests/test_golden.py tests/sweep/plan/test_plan.py -m "not slow"

smoke-vit-b32: $(READY)  ## eight full-size ViT-B/32 end to end on the CPU; needs 6 GB of disk
	$(BIN)/python -m benchmarks.smoke_vit_b32

bench: $(READY)  ## ours beside peers and physical limits, into benchmarks/results.parquet; needs 20 GB
	$(BIN)/python -m benchmarks

constraints: $(READY)  ## pin what .venv holds, without naming a registry
	$(BIN)/python -m pip freeze --exclude-editable | grep -vE '@ |^-' | sed -E 's/\+[a-z0-9.]+$$//' > constraints.txt

clean:  ## remove .venv and caches, never results
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
