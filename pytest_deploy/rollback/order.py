"""Which goes back first, traffic or schema: policy's order, unless a migration of the release says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pytest_deploy.errors import MigrationsRefused
from pytest_deploy.migrate import read
from pytest_deploy.migrate.migration import Migration, compatibility
from pytest_deploy.release.live import Baseline

Order = Literal["traffic-first", "database-first"]


def order_of(policy: Order, since: Sequence[Migration]) -> Order:
    """`database-first` where the earlier revision cannot serve on the new schema (a breaking migration), else policy's."""
    return "database-first" if not compatibility(since).running_revision_survives else policy


def since(baseline: Baseline, folder: Path) -> tuple[Migration, ...]:
    """The files of what may have been applied since; none where the folder has become faulty: the ledger knows the downs."""
    return tuple(one for one in files(folder) if one.version not in baseline.migrations)


def files(folder: Path) -> tuple[Migration, ...]:
    """The migrations in the folder; none where it is faulty."""
    try:
        return read.read_migrations(folder)
    except MigrationsRefused:
        return ()
