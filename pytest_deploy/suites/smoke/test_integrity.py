"""Smoke 3: the schema is the release's, and holds what the service needs."""

from __future__ import annotations

import pytest

from pytest_deploy import Database, Migrations, Policy, Release, StepRecord

pytestmark = pytest.mark.requirement("REQ-o00043-H")

TABLES = """
select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p')
"""
FUNCTIONS = "select n.nspname || '.' || p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
TRIGGERS = """
select n.nspname || '.' || c.relname || '.' || t.tgname
from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
where not t.tgisinternal and t.tgenabled <> 'D'
"""


@pytest.mark.step(rollback=True)
def test_schema_is_the_releases_version(migrations: Migrations, release: Release, record: StepRecord) -> None:
    if migrations.folder is None:
        record.not_applicable(
            "deploy.yaml says database.migrations: null: a step of the project's own knows the schema"
        )
    found = [one.version for one in migrations.applied()]
    if not found and not release.migrations:
        record.not_applicable("the release has no migration, and none is applied")

    record.expect(list(release.migrations), found)
    assert found == list(release.migrations)
    record.verified()


def test_required_tables_exist(database: Database, policy: Policy, record: StepRecord) -> None:
    _all_exist("tables", database.column(TABLES), policy, record)


def test_required_functions_exist(database: Database, policy: Policy, record: StepRecord) -> None:
    _all_exist("functions", database.column(FUNCTIONS), policy, record)


def test_required_triggers_exist(database: Database, policy: Policy, record: StepRecord) -> None:
    _all_exist("triggers", database.column(TRIGGERS), policy, record)


def _all_exist(kind: str, found: list[str], policy: Policy, record: StepRecord) -> None:
    required: tuple[str, ...] = () if policy.database is None else getattr(policy.database.required, kind)
    if not required:
        record.not_applicable(f"deploy.yaml requires none: database.required.{kind} names what the service needs")
    missing = sorted(set(required) - set(found))
    record.expect(sorted(required), sorted(set(required) & set(found)))
    assert not missing
    if not policy.replaced("database.required"):
        record.verified()
