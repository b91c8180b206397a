"""A step of the project's own moves the schema: what is not compared is not passed, and what is left over is shown."""

from __future__ import annotations

import pytest

from tests.project_checkout import Checkout

OWN_STEP = """
import psycopg, pytest

@pytest.mark.step(changes=True)
def test_schema_is_moved(database, record):
    with psycopg.connect(database.access.owner) as connection:
        connection.execute("create table public.left_over (id int)")
    record.expect([], [])
"""
SCHEMA_OF_RELEASE = "pytest_deploy/suites/smoke/test_integrity.py::test_schema_is_the_releases_version"
SCHEMA_AFTER_ROLLBACK = "pytest_deploy/suites/rollback/test_restore.py::test_schema_is_what_it_was"
WITHOUT = [f"--deploy-set={key}=null" for key in ("database.migrations", "database.service_group", "service.account")]


@pytest.mark.faults
def test_a_schema_that_no_migration_made_is_not_compared_with_none(checkout: Checkout) -> None:
    checkout.write("suites/migration/test_own.py", OWN_STEP)
    assert checkout.deploy_py("steps", "--write").code == 0

    ran = checkout.deploy(*WITHOUT)

    assert ran.code == 20, ran.said
    ended = {data["nodeid"]: data for data in checkout.said("step.finished")}
    assert ended[SCHEMA_OF_RELEASE]["outcome"] == "not-applicable"
    assert "database.migrations: null" in ended[SCHEMA_OF_RELEASE]["message"]
    assert ended[SCHEMA_AFTER_ROLLBACK]["outcome"] == "failed"
    assert "+CREATE TABLE public.left_over (" in ended[SCHEMA_AFTER_ROLLBACK]["message"]
