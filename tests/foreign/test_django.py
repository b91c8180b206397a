"""A Django project whose own command moves its schema: deployed, led back by a step of its own, rehearsed, handed out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.foreign.django_project import FILES, PACKAGES, WEIGHT
from tests.foreign.strangers_machine import Machine, built_wheel, last_run

MIGRATES = "suites/migration/test_django.py::test_django_migrates"
SMOKE = "suites/smoke/test_parcels.py::test_a_parcel_can_be_handed_in"


@pytest.fixture(scope="module")
def machine(shared_folder: Path) -> Iterator[Machine]:
    with Machine.open(built_wheel(shared_folder), *PACKAGES) as opened:
        yield opened


def test_a_django_project_is_deployed_led_back_rehearsed_and_handed_out(machine: Machine) -> None:
    shop = machine.repository("der Läden", FILES)
    shop.does("pytest-deploy", "steps", "--write")
    shop.commit("The steps that a deployment must have")

    # 1. Its own command makes the schema, the service's role gets the rights that it grants, and a requirement is credited.
    shop.does("pytest", "--deploy-env=dev")
    store = "reports/dev"
    ended = shop.outcomes(store)
    assert (ended[MIGRATES], ended[SMOKE]) == ("passed", "passed")
    assert (
        ended["pytest_deploy/suites/migration/test_migration.py::test_pending_migrations_are_applied"]
        == "not-applicable"
    )
    assert ended["pytest_deploy/suites/backup/test_backup.py::test_database_is_backed_up"] == "passed"
    (credited,) = (
        e["data"]["verifies"]
        for e in shop.events(store)
        if e["data"].get("nodeid") == SMOKE and e["type"] == "step.finished"
    )
    assert credited == ["PARCEL-1"]

    # 2. A release with another migration fails in smoke: traffic, schema and what serves are as they were.
    shop.write("parcels/migrations/0002_weight.py", WEIGHT)
    shop.replace("shop/urls.py", '"parcels": Parcel.objects.count()', '"parcels": 0')
    shop.commit("Parcels have a weight")
    failed = shop.run("pytest", "--deploy-env=dev")
    assert failed.code == 1, failed.said
    assert "rolled-back in" in failed.stdout, failed.said
    ended = shop.outcomes(store)
    assert ended["suites/rollback/test_django.py::test_django_is_led_back"] == "passed"
    assert ended["pytest_deploy/suites/rollback/test_restore.py::test_schema_is_what_it_was"] == "passed"
    assert ended[f"{SMOKE}[rollback]"] == "passed"

    # 3. Mended, it goes; production is rehearsed by its own policy, and what is handed out verifies.
    shop.replace("shop/urls.py", '"parcels": 0', '"parcels": Parcel.objects.count()')
    shop.commit("They are counted again")
    run = last_run(shop.does("pytest", "--deploy-env=dev", "-n2"))
    shop.does("pytest-deploy", "rehearse", "production")
    shop.assert_handed_out(run, store)
