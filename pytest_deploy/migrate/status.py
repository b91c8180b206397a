"""Where a database stands against a folder of migrations, one line each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pytest_deploy.migrate import ledger
from pytest_deploy.migrate.migration import Migration

if TYPE_CHECKING:
    import psycopg

State = Literal["applied", "pending", "edited", "file gone"]


@dataclass(frozen=True)
class Status:
    """One migration as it stands."""

    version: str
    name: str
    state: State
    at: datetime | None
    """UTC; None where it is not applied."""
    actor: str
    """Empty where it is not applied."""
    duration_s: float | None


def status(connection: psycopg.Connection[Any], migrations: Sequence[Migration]) -> tuple[Status, ...]:
    """Every migration of the folder or of the history, in order of number. Changes nothing."""
    files = {migration.number: migration for migration in migrations}
    history = {done.number: done for done in ledger.applied(connection)}
    found = []
    for number in sorted({*files, *history}):
        file, done = files.get(number), history.get(number)
        if done is None:
            pending = files[number]
            found.append(Status(pending.version, pending.name, "pending", None, "", None))
            continue
        state: State = "applied"
        if file is None:
            state = "file gone"
        elif done.sha256 not in {None, file.sha256}:
            state = "edited"
        name = file.name if file is not None else done.name
        found.append(Status(done.version, name, state, done.at, done.actor, done.duration_s))
    return tuple(found)
