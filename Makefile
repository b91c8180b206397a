# Every command of this project, by name. `make demo` and `make test` need Python >= 3.11, make and git, nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: demo test lint faults scale bench clean

demo: $(VENV)/demo.installed  ## deploy the reference service to the embedded platform
	$(BIN)/python -m pytest --deploy-env=local

test: $(VENV)/test.installed  ## the project's own tests, 12 minutes at most
	$(BIN)/python -m pytest -n $(WORKERS) --dist=worksteal

lint: $(VENV)/test.installed  ## ruff and mypy (strict, package and tests)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

faults: $(VENV)/test.installed  ## every fault, not a sample
	$(BIN)/python -m pytest -n $(WORKERS) -m faults --override-ini=addopts="--import-mode=importlib -p no:allure_pytest_bdd"

scale: $(VENV)/test.installed  ## what only shows in large numbers
	$(BIN)/python -m pytest -m scale --override-ini=addopts="--import-mode=importlib -p no:allure_pytest_bdd"

bench: $(VENV)/test.installed  ## speed, as ratios measured in one run
	$(BIN)/python tests/bench/bench_migrations.py

# yandex-pgmigrate asks for psycopg2 from source, which needs a compiler; psycopg2-binary is the same module. So it is
# installed by itself, without its dependencies, which stand in the hashed set.
$(VENV)/%.installed: requirements/%.txt requirements/pgmigrate.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/$*.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --no-build-isolation -r requirements/pgmigrate.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

clean:  ## forget the virtual environment; the record in reports/ stays
	rm -rf $(VENV)
