"""REQ-o00044-J: a backup before the first migration."""

from __future__ import annotations

import pytest

from pytest_deploy.clients import Database
from pytest_deploy.environment import Environment
from pytest_deploy.migrate import backup, events
from pytest_deploy.phase.recorder import StepRecord


@pytest.mark.requirement("REQ-o00044-J")
@pytest.mark.step(timeout=600)
def test_database_is_backed_up(database: Database, environment: Environment, record: StepRecord) -> None:
    """`pg_dump -Fc`, readable by its owner only, beside the record and never in it."""
    made = backup.back_up(database.access.owner, environment.context.backups, database.access.programs)

    record.event("backup.created", **events.backed_up(made))
    record.expect("more than 0 bytes", made.bytes)
    assert made.bytes > 0
