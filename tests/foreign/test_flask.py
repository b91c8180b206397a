"""A Flask service whose migrations have dbmate's own names, one of them outside a transaction: from `git init` to what is handed out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.foreign.flask_project import COUNT, FILES, FIRST, INDEX, PACKAGES, WEIGHT
from tests.foreign.strangers_machine import Machine, built_wheel, last_run

SMOKE = "suites/smoke/test_parcels.py::test_a_parcel_is_found_again"
MIGRATION = "pytest_deploy/suites/migration/test_migration.py::test_pending_migrations_are_applied"


@pytest.fixture(scope="module")
def machine(shared_folder: Path) -> Iterator[Machine]:
    with Machine.open(built_wheel(shared_folder), *PACKAGES) as opened:
        yield opened


def test_a_flask_service_with_dbmates_timestamps_is_deployed_rolled_back_rehearsed_and_handed_out(
    machine: Machine,
) -> None:
    parcels = machine.repository("Päckchen & Co", FILES)
    parcels.does("pytest-deploy", "steps", "--write")
    parcels.commit("The steps that a deployment must have")
    store = "reports/dev"

    # 1. The first release: an empty database reaches the end, batch by batch, over the one that is outside a transaction.
    parcels.does("pytest", "--deploy-env=dev")
    ended = parcels.outcomes(store)
    assert (ended[MIGRATION], ended[SMOKE]) == ("passed", "passed")
    moved = [event["data"]["version"] for event in parcels.events(store) if event["type"] == "migration.applied"]
    assert moved == [FIRST, INDEX, COUNT]

    # 2. A release with another migration fails in smoke: traffic and schema are as they were.
    parcels.write("db/migrations/20240403020100_weight.sql", WEIGHT)
    parcels.replace("app.py", "for (sender,) in rows]", "for (sender,) in rows[1:]]")
    parcels.commit("Parcels have a weight")
    failed = parcels.run("pytest", "--deploy-env=dev")
    assert failed.code == 1, failed.said
    assert "rolled-back in" in failed.stdout, failed.said
    ended = parcels.outcomes(store)
    assert ended["pytest_deploy/suites/rollback/test_restore.py::test_schema_is_what_it_was"] == "passed"
    assert ended[f"{SMOKE}[rollback]"] == "passed"

    # 3. Mended, it goes.
    parcels.replace("app.py", "rows[1:]]", "rows]")
    parcels.commit("They are found again")
    run = last_run(parcels.does("pytest", "--deploy-env=dev", "-n2"))

    # 4. A colleague's file comes late: it is refused by name, and given another.
    parcels.write("db/migrations/20240305000000_colour.sql", WEIGHT.replace("grams", "colour"))
    parcels.commit("Parcels have a colour")
    late = parcels.run("pytest-deploy", "migrate", "check", "dev")
    assert late.code == 1, late.said
    assert "20240305000000_colour.sql: it comes late" in late.said
    assert "20240305000000_colour.sql -> 2" in parcels.does("pytest-deploy", "migrate", "renumber", "dev")
    parcels.commit("It comes last")
    parcels.does("pytest-deploy", "migrate", "check", "dev")

    # 5. Production is rehearsed by its own policy, with two approvals, and what is handed out verifies.
    parcels.does("pytest-deploy", "rehearse", "production")
    parcels.assert_handed_out(run, store)
