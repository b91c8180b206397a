"""The schema moves: all pending migrations in one transaction, with the schema kept before and after."""

from __future__ import annotations

import difflib

import pytest

from pytest_deploy import Migrations, Policy, StepRecord, verify_record

MINUTES = 60
OWN = "deploy.yaml says database.migrations: null: a step of suites/migration moves the schema"


@pytest.mark.requirement("REQ-o00044-N")
def test_schema_before_is_kept(migrations: Migrations, record: StepRecord) -> None:
    before = migrations.schema()

    record.attach("schema/before.sql", before.text.encode())

    kept = (record.folder.path / "schema" / "before.sql").read_text(encoding="utf-8")
    now = migrations.schema()
    record.expect({"version": now.version, "sha256": now.sha256}, {"version": before.version, "sha256": before.sha256})
    assert kept == now.text
    if not migrations.pending():
        record.not_applicable("no migration is pending: the schema was kept all the same")
    record.verified()


@pytest.mark.requirement("REQ-o00043-F")
@pytest.mark.requirement("REQ-o00044-B")
@pytest.mark.requirement("REQ-o00044-C")
@pytest.mark.requirement("REQ-o00044-K")
@pytest.mark.requirement("REQ-o00044-L")
@pytest.mark.requirement("REQ-o00044-M")
@pytest.mark.requirement("REQ-o00044-R")
@pytest.mark.step(changes=True, timeout=30 * MINUTES)
def test_pending_migrations_are_applied(migrations: Migrations, policy: Policy, record: StepRecord) -> None:
    """Each batch all or nothing, in order, through pgmigrate; committed only if the schema is the rehearsed one."""
    if migrations.folder is None:
        record.not_applicable(OWN)
    wanted = [one.version for one in migrations.files()]
    trial = migrations.trial_of((record.folder.path / "schema" / "rehearsal.json").read_text(encoding="utf-8"))
    pending = migrations.pending()
    alerts: list[str] = []
    lock_timeouts: list[float] = []

    def alert(detail: str) -> None:
        alerts.append(detail)
        record.alert("migration over budget", detail)

    applied = migrations.apply(trial=trial, on_event=record.event, on_alert=alert, on_lock_timeout=lock_timeouts.append)

    found = [one.version for one in migrations.applied()]
    given_up_after = [migrations.policy.lock_timeout_s] if pending else []
    record.expect(
        {"applied": wanted, "lock_timeout_s": given_up_after},
        {"applied": found, "lock_timeout_s": sorted(set(lock_timeouts))},
    )
    assert found == wanted
    assert sorted(set(lock_timeouts)) == given_up_after
    if not pending:
        record.not_applicable("no migration is pending")
    assert [one.version for one in applied] == [one.version for one in pending]
    assert all(one.engine == "pgmigrate" and one.actor and one.at and one.duration_s is not None for one in applied)
    record.verified("REQ-o00043-F", "REQ-o00044-B", "REQ-o00044-C", "REQ-o00044-M")
    if policy.platform.at_google:  # the specification names Cloud SQL: another database shows nothing of it
        record.verified("REQ-o00044-R")
    if not policy.replaced("database.lock_timeout_s"):
        record.verified("REQ-o00044-K")
    if alerts and not policy.replaced("database.budget_s"):
        record.verified("REQ-o00044-L")


@pytest.mark.requirement("REQ-o00044-D")
@pytest.mark.requirement("REQ-o00044-O")
def test_schema_after_is_kept(migrations: Migrations, record: StepRecord) -> None:
    before = (record.folder.path / "schema" / "before.sql").read_text(encoding="utf-8")
    after = migrations.schema()
    said = difflib.unified_diff(
        before.splitlines(keepends=True), after.text.splitlines(keepends=True), "before", "after"
    )

    record.attach("schema/after.sql", after.text.encode())
    record.attach("schema/diff.txt", "".join(said).encode())

    if migrations.folder is None:
        record.not_applicable(f"{OWN}: the schema was kept all the same")
    trial = (record.folder.path / "schema" / "rehearsal.json").read_text(encoding="utf-8")
    rehearsed = migrations.trial_of(trial).after
    record.expect({"catalog": rehearsed}, {"catalog": after.catalog, "sha256": after.sha256})
    assert after.catalog == rehearsed
    if not any(event.type == "migration.applied" for event in record.events()):
        record.not_applicable("no migration was applied: the schema was kept all the same")
    record.verified()


@pytest.mark.requirement("REQ-o00044-Q")
def test_migrations_are_recorded(migrations: Migrations, record: StepRecord) -> None:
    """What the database says it applied stands in the record, each with who, when and how long; and the record verifies."""
    recorded = {
        event.content.as_data()["version"]: event for event in record.events() if event.type == "migration.applied"
    }
    if not recorded:
        record.not_applicable("no migration was applied")
    ledger = {one.version: one for one in migrations.applied() if one.version in recorded}
    verified = verify_record(record.store)

    record.expect(
        {"versions": sorted(recorded), "faults": []},
        {"versions": sorted(ledger), "faults": [str(finding) for finding in verified.findings]},
    )
    assert ledger.keys() == recorded.keys()
    assert all(event.actor and event.content.as_data()["duration_s"] >= 0 for event in recorded.values())
    assert verified.ok
    record.verified()
