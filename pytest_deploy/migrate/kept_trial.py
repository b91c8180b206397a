"""A rehearsal that passed is kept, and reused for exactly the same files from exactly the same schema. REQ-o00044-F."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_deploy.errors import MigrationsRefused
from pytest_deploy.migrate import ledger
from pytest_deploy.migrate.catalog import read_catalog
from pytest_deploy.migrate.migration import Migration
from pytest_deploy.migrate.session import connect, rows_of
from pytest_deploy.migrate.trial import Rehearsal, rehearse


@dataclass(frozen=True)
class Rehearsed:
    """A rehearsal, and whether it had been done before."""

    rehearsal: Rehearsal
    reused: bool


def rehearsed(
    conninfo: str,
    migrations: Sequence[Migration],
    *,
    kept: Path,
    actor: str,
    lock_timeout_s: float,
    budget_s: float,
) -> Rehearsed:
    """The rehearsal of what is pending: the one in the folder `kept` if it speaks for it, else a new one, kept there.

    Raises MigrationsRefused with every fault that the rehearsal finds.
    """
    with connect(conninfo, lock_timeout_s=lock_timeout_s) as connection:
        todo = ledger.judge(migrations, ledger.applied(connection))
        before = read_catalog(rows_of(connection)).sha256
    place = kept / f"{_name(todo, before)}.json"
    known = _known(place)
    if known is not None and known.speaks_for(todo, before):
        # The budget may have changed since; the time it took has not.
        return Rehearsed(replace(known, within_budget=known.together_s <= budget_s), reused=True)
    found = rehearse(conninfo, migrations, actor=actor, lock_timeout_s=lock_timeout_s, budget_s=budget_s)
    _keep(place, found)
    return Rehearsed(found, reused=False)


def _name(todo: Sequence[Migration], before: str) -> str:
    bound = "".join([before, *(f"{one.version}:{one.sha256}" for one in todo)])
    return hashlib.sha256(bound.encode()).hexdigest()


def _known(place: Path) -> Rehearsal | None:
    try:
        return Rehearsal.from_json(place.read_text(encoding="utf-8"))
    except (OSError, MigrationsRefused):
        return None


def _keep(place: Path, found: Rehearsal) -> None:
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = place.with_suffix(f".{os.getpid()}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(found.to_json())
    part.replace(place)
