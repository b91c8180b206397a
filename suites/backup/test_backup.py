"""REQ-o00044-J: a backup before the first migration."""

from __future__ import annotations

import pytest

from pytest_deploy.migrate import backup, events
from pytest_deploy.platform.clients import Database
from pytest_deploy.platform.environment import Environment
from pytest_deploy.plugin.recorder import StepRecord
from pytest_deploy.policy.policy import Policy


@pytest.mark.requirement("REQ-o00044-J")
@pytest.mark.step(timeout=600)
def test_database_is_backed_up(
    database: Database, policy: Policy, environment: Environment, record: StepRecord
) -> None:
    """`pg_dump -Fc`, readable by its owner only, beside the record and never in it; proven by a restore at policy's rate."""
    prove = backup.proof_due(policy.database.restore_rate, environment.run)

    made = backup.back_up(
        database.access.owner, environment.workspace.backups(environment.run), database.access.programs, prove=prove
    )

    record.event("backup.created", **events.backed_up(made))
    record.expect({"restorable": True if prove else None}, {"restorable": made.restorable, "bytes": made.bytes})
    assert made.bytes > 0
    assert made.restorable is (True if prove else None)
