"""What of a release commits together. REQ-o00044-B.

Migrations that follow one another commit in one transaction. One that runs outside a transaction (CREATE INDEX CONCURRENTLY)
commits by itself, so a release that holds it and others commits in several batches, each with its own history and way back.

That a release is one batch is a rule about releases. A database on which nothing was ever applied has no earlier state that
half of them could break, and what a trial replays was released before: there the rule does not hold.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from typing import Final, Protocol, TypeVar

from pytest_deploy.errors import Fault, MigrationsRefused
from pytest_deploy.migrate.migration import Migration
from pytest_deploy.workspace import program_command, typed_path

UNDO: Final = program_command("migrate", "down", "ENV", "--to", "0")


class _Direction(Protocol):
    """One migration on its way up or down."""

    @property
    def transactional(self) -> bool: ...


_WayT = TypeVar("_WayT", bound=_Direction)


def batches(ways: Iterable[_WayT]) -> list[tuple[_WayT, ...]]:
    """The batches in order: what is transactional with its neighbours, anything else by itself."""
    found: list[tuple[_WayT, ...]] = []
    for transactional, neighbours in groupby(ways, key=lambda way: way.transactional):
        own = tuple(neighbours)
        found.extend([own] if transactional else [(way,) for way in own])
    return found


def require_one_batch(pending: Sequence[Migration], *, several: bool) -> None:
    """A release commits in one batch, unless it may in `several`. Raises MigrationsRefused, each that commits by itself."""
    if several or len(pending) < 2:  # noqa: PLR2004 - one is a batch
        return
    problem = f"it runs outside a transaction, and {len(pending) - 1} others are pending with it"
    remedy = "release it alone: else the release could half-happen; or let policy say `database.outside_transaction: several`"
    faults = [
        Fault(typed_path(migration.path), migration.up.line, "", problem, remedy)
        for migration in pending
        if not migration.up.transactional
    ]
    if faults:
        raise MigrationsRefused("migrations of this release", faults)


def require_tried(pending: Sequence[Migration], tried: Collection[str]) -> None:
    """Each of these is one of the versions that a trial has `tried`. Raises MigrationsRefused, each that is not."""
    faults = [
        Fault(
            typed_path(migration.path),
            None,
            "",
            "no trial has tried it: it became pending after the trial",
            "begin again, so that what is pending now is tried",
        )
        for migration in pending
        if migration.version not in tried
    ]
    if faults:
        raise MigrationsRefused("migrations of this release", faults)
