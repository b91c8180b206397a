"""What the record says of migrations: the `data` of migration.applied, migration.rolled-back and backup.created."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_deploy.migrate.backup import Backup
from pytest_deploy.migrate.ledger import Applied
from pytest_deploy.migrate.rollback import ENGINE, RolledBack
from pytest_deploy.migrate.snapshot import Snapshot


def applied(done: Sequence[Applied], before: Snapshot, after: Snapshot) -> list[dict[str, Any]]:
    """One `data` a migration, in order of application.

    All of them commit together, so the schema is seen before the first and after the last; between them it is null.
    """
    return _around([_one(one.version, one.name, one.sha256, one.duration_s, one.engine) for one in done], before, after)


def rolled_back(done: Sequence[RolledBack], before: Snapshot, after: Snapshot) -> list[dict[str, Any]]:
    """One `data` a migration, in order of undoing."""
    found = [_one(one.version, one.name, one.sha256, one.duration_s, ENGINE) for one in done]
    for one, content in zip(done, found, strict=True):
        if one.lost:
            content["saved"] = [
                {"place": s.place, "table": s.table, "count": s.count, "sha256": s.sha256} for s in one.lost
            ]
    return _around(found, before, after)


def backed_up(made: Backup) -> dict[str, Any]:
    """The `data` of backup.created."""
    return {
        "kind": made.kind,
        "place": made.place,
        "bytes": made.bytes,
        "sha256": made.sha256,
        "restorable": made.restorable,
    }


def _one(version: str, name: str, sha256: str | None, duration_s: float | None, engine: str) -> dict[str, Any]:
    return {
        "version": version,
        "name": name,
        "sha256": sha256 or "0" * 64,
        "duration_s": duration_s or 0.0,
        "schema_before": None,
        "schema_after": None,
        "engine": engine,
    }


def _around(found: list[dict[str, Any]], before: Snapshot, after: Snapshot) -> list[dict[str, Any]]:
    if found:
        found[0]["schema_before"] = {"version": before.version, "sha256": before.sha256}
        found[-1]["schema_after"] = {"version": after.version, "sha256": after.sha256}
    return found
