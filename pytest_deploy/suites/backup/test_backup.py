"""REQ-o00044-J: a backup before the first migration."""

from __future__ import annotations

import pytest

from pytest_deploy import Environment, Migrations, Platform, StepRecord, backup_event

PLATFORM_SECONDS = 450


@pytest.mark.requirement("REQ-o00044-J", environment="production")
@pytest.mark.step(timeout=600)
def test_database_is_backed_up(
    migrations: Migrations, environment: Environment, platform: Platform, record: StepRecord
) -> None:
    """`pg_dump -Fc`, readable by its owner only, beside the record and never in it; proven by a restore at policy's rate.

    Where the platform makes backups itself, one of those too, done before the first migration.
    """
    if migrations.pending() and (kept := platform.back_up(f"before {environment.run}", deadline_s=PLATFORM_SECONDS)):
        record.event("backup.created", kind=kept.kind, place=kept.place, bytes=kept.bytes, sha256=None, restorable=None)
    prove = migrations.proof_due(environment.run)

    made = migrations.back_up(environment.workspace.backups(environment.run), prove=prove)

    record.event(backup_event(made))
    record.expect({"restorable": True if prove else None}, {"restorable": made.restorable, "bytes": made.bytes})
    assert made.bytes > 0
    assert made.restorable is (True if prove else None)
    if migrations.pending():
        record.verified()
