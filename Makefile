# Every command of this project, by name. `make demo` and `make test` need Python >= 3.11, make and git, nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A current pip first: it installs the same set in half the time. Modules are compiled when they are first imported.
PIP = $(BIN)/python -m pip --quiet --disable-pip-version-check install --no-compile
# Twice the cores of a small machine: half of a story is waiting.
WORKERS ?= 4
# Compiled modules are kept, whatever the shell says: without them each of the many processes compiles what it imports.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo rehearse test coverage lint reference infrastructure faults scale bench clean

demo: $(VENV)/demo.installed  ## deploy the reference service to the embedded platform
	$(BIN)/python -m pytest --deploy-env=local

rehearse: $(VENV)/demo.installed  ## staging, then production at the next open instant, with throw-away keys
	$(BIN)/python deploy.py rehearse production

test: $(VENV)/test.installed  ## the project's own tests, 20 to 50 minutes on two cores, as the machine is; says at the end which took longest
	$(BIN)/python -m pytest -n $(WORKERS) --dist=worksteal --durations=60 --durations-min=5

coverage: $(VENV)/test.installed  ## the same, measured: branches of the whole package, deployments of stories included; fails below 95 %
	$(BIN)/python -m pytest -n $(WORKERS) --dist=worksteal --cov --cov-report=term --cov-fail-under=95

lint: $(VENV)/test.installed  ## ruff, mypy (strict, package and tests), and the import contracts of pyproject.toml
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

reference: $(VENV)/test.installed  ## writes docs/reference.md and the types in docs/record-format.md from the code
	$(BIN)/python docs/generate_reference.py
	$(BIN)/python docs/generate_event_types.py

infrastructure: $(VENV)/infrastructure.installed  ## Pulumi, built from Go modules, and its SDK: what the tests of infrastructure/ want; 220 MB
	.ci/pulumi/build

faults: $(VENV)/test.installed  ## every fault, not a sample
	$(BIN)/python -m pytest -n $(WORKERS) --dist=worksteal -m faults

scale: $(VENV)/test.installed  ## what only shows in large numbers
	$(BIN)/python -m pytest -m scale

bench: $(VENV)/test.installed  ## speed, as ratios measured in one run
	$(BIN)/python tests/bench/bench_smoke.py
	$(BIN)/python tests/bench/bench_migrations.py

# yandex-pgmigrate asks for psycopg2 from source, which needs a compiler; psycopg2-binary is the same module. So it is
# installed by itself, without its dependencies, which stand in the hashed set.
$(VENV)/%.installed: requirements/%.txt requirements/pip.txt requirements/pgmigrate.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes -r requirements/pip.txt
	$(PIP) --require-hashes --no-deps -r requirements/$*.txt
	$(PIP) --require-hashes --no-deps --no-build-isolation -r requirements/pgmigrate.txt
	$(PIP) --no-deps --no-build-isolation -e .
	touch $@

# In an environment of its own: Pulumi's SDK holds protobuf below 7, and pulumi-gcp is larger than all the rest.
$(VENV)/infrastructure.installed: requirements/infrastructure.txt requirements/pip.txt
	test -x $(VENV)/infrastructure/bin/python || $(PYTHON) -m venv $(VENV)/infrastructure
	$(VENV)/infrastructure/bin/python -m pip --quiet --disable-pip-version-check install --no-compile --require-hashes -r requirements/pip.txt
	$(VENV)/infrastructure/bin/python -m pip --quiet --disable-pip-version-check install --no-compile --require-hashes --no-deps -r requirements/infrastructure.txt
	touch $@

clean:  ## forget the virtual environment; the record in reports/ stays
	rm -rf $(VENV)
