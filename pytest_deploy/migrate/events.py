"""What the record says of migrations: the content of migration.applied, migration.rolled-back and backup.created."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from pytest_deploy.migrate.backup import Backup
from pytest_deploy.migrate.ledger import Applied
from pytest_deploy.migrate.rollback import ENGINE, RolledBack
from pytest_deploy.migrate.snapshot import Snapshot
from pytest_deploy.record.events import BackupCreated, Migration, MigrationApplied, MigrationRolledBack

_Moved = TypeVar("_Moved", bound=Migration)
_UNKNOWN = "0" * 64
"""In place of a file's digest that nobody kept."""


def applied(done: Sequence[Applied], before: Snapshot, after: Snapshot) -> list[MigrationApplied]:
    """One event a migration, in order of application.

    All of them commit together, so the schema is seen before the first and after the last; between them it is null.
    """
    events = [MigrationApplied(**_common(one), engine=one.engine) for one in done]
    return _with_schemas(events, before, after)


def rolled_back(done: Sequence[RolledBack], before: Snapshot, after: Snapshot) -> list[MigrationRolledBack]:
    """One event a migration, in order of undoing, with where the rows lie that its way down took."""
    events = []
    for one in done:
        event = MigrationRolledBack(**_common(one), engine=ENGINE)
        if one.lost:
            saved = [{"place": s.place, "table": s.table, "count": s.count, "sha256": s.sha256} for s in one.lost]
            event = replace(event, saved=saved)
        events.append(event)
    return _with_schemas(events, before, after)


def backed_up(backup: Backup) -> BackupCreated:
    """The event of a backup that was made."""
    return BackupCreated(
        kind=backup.kind,
        place=backup.place,
        bytes=backup.bytes,
        sha256=backup.sha256,
        restorable=backup.restorable,
    )


def _common(one: Applied | RolledBack) -> dict[str, Any]:
    return {
        "version": one.version,
        "name": one.name,
        "sha256": one.sha256 or _UNKNOWN,
        "duration_s": one.duration_s or 0.0,
        "schema_before": None,
        "schema_after": None,
    }


def _with_schemas(events: list[_Moved], before: Snapshot, after: Snapshot) -> list[_Moved]:
    if events:
        events[0] = replace(events[0], schema_before={"version": before.version, "sha256": before.sha256})
        events[-1] = replace(events[-1], schema_after={"version": after.version, "sha256": after.sha256})
    return events
