# Two commands do everything on a machine with git, make and Python 3.11 or newer: `make demo` and `make test`.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPATH := $(CURDIR)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
install = $(BIN)/uv pip install -q -p $(BIN)/python --require-hashes -r $(1) || $(BIN)/pip install -q --require-hashes -r $(1)

.PHONY: demo test test-spark lint bench bench-large soak soak-service soak-faults lock wheel clean

demo: $(VENV)/demo  ## two clouds on loopback, twelve weekly scans, a report and a bundle
	@$(BIN)/python -m auditor demo

test: lint  ## everything CI runs
	$(BIN)/python -m auditor rules test --shipped
	$(BIN)/python -m pytest -n 3 --dist loadfile

test-spark: $(VENV)/dev  ## 100,000 objects on a master and two workers of its own, and over Spark Connect; needs Java 17
	AUDITOR_SPARK_CLUSTER=1 $(BIN)/python -m pytest -rs tests/test_spark_cluster.py

lint: $(VENV)/dev
	$(BIN)/ruff format --check auditor tests bench
	$(BIN)/ruff check auditor tests bench
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/dev $(VENV)/bench  ## the figures of bench/README.md
	$(BIN)/python -m bench

bench-large: $(VENV)/dev $(VENV)/bench  ## the chain over 50 million versions: some 20 minutes, 6 GB of disk
	$(BIN)/python -m bench chain_large

soak: soak-service soak-faults  ## all that is too long for every commit: 20 to 40 minutes

soak-service: $(VENV)/dev  ## 200 kills of services, 24 amid real scans, a year of hourly scans: two minutes
	AUDITOR_FULL_WALK=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests/test_service_kills.py tests/test_service_kills_scans.py tests/test_service_slots.py

soak-faults: $(VENV)/dev  ## every fault at every operation and place, kills at every step of a scan: 20 to 40 minutes
	AUDITOR_FULL_WALK=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(sort $(wildcard tests/test_faults_*.py))

lock: $(VENV)/uv  ## renew the hash-locked requirements (no index host stands in them)
	for set in run demo dev bench; do $(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		$$([ $$set = run ] || echo --extra $$set) pyproject.toml -o requirements/$$set.txt; done

wheel: $(VENV)/dev
	$(BIN)/python -m hatchling build -t wheel

clean:
	rm -rf $(VENV) dist auditor-demo

$(VENV)/uv: requirements/uv.txt
	$(PYTHON) -m venv $(VENV)
	-$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(VENV)/%: requirements/%.txt $(VENV)/uv
	$(call install,$<)
	@touch $@
