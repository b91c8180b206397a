"""Whether a schema that was can be reached again: the migrations that stand between, and the way back of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_deploy.errors import MigrationsRefused, Refused
from pytest_deploy.migrate.ledger import Applied
from pytest_deploy.migrate.migration import Migration
from pytest_deploy.migrate.rollback import plan_downs
from pytest_deploy.release.live import Baseline


@dataclass(frozen=True)
class Between:
    """A migration that was applied since, or taken back since, as far as the checkout has its file."""

    version: str
    name: str
    file: str
    """The file's name; of one that the checkout lacks, what the ledger knows of it."""
    loses: str | None
    """Its author's reason, where it declares that rows go with it."""

    def __str__(self) -> str:
        return self.file + (f": its way back loses rows ({self.loses})" if self.loses is not None else "")


def way_back(
    applied: Sequence[Applied], files: Sequence[Migration], now: Baseline, target: Baseline
) -> tuple[Between, ...]:
    """The migrations that stand between, newest first: their ways back lead to the target.

    Args:
        applied: what is applied now, by the ledger.
        files: the migrations of the checkout.
        now: what the environment is.
        target: what it shall be.

    Raises:
        Refused: they do not lead there. It names each migration that stands between, and why its schema cannot be reached.
    """
    known = {migration.version: migration for migration in files}
    undo = [row for row in sorted(applied, key=lambda row: -row.seq) if row.version not in target.migrations]
    between = tuple(_between(row.version, row.name, known) for row in undo)
    names = {row.version: row.name for row in applied}
    faults = {
        version: f"{_between(version, '', known).file}: the release needs it, and it was taken back since"
        for version in target.migrations
        if version not in {row.version for row in applied}
    }
    try:
        plan_downs(applied, files, [version for version in target.migrations if version not in faults])
    except MigrationsRefused as refused:
        faults |= {
            fault.key: f"{_between(fault.key, names.get(fault.key, ''), known).file}: {fault.problem}"
            for fault in refused.faults
        }
    if faults:
        passable = [
            f"{one}; it can be undone" if one.loses is None else str(one)
            for one in between
            if one.version not in faults
        ]
        lines = "".join(f"\n  {line}" for line in (*faults.values(), *passable))
        raise Refused(
            f"{_name(target)} is not gone back to: its schema cannot be reached, nothing was changed; what stands between:{lines}"
        )
    if not undo and now.schema_sha256 != target.schema_sha256:
        raise Refused(
            f"{_name(target)} is not gone back to: no migration stands between, and the schema is not the one it served on (SHA-256 "
            f"{now.schema_sha256[:12]}…, was {target.schema_sha256[:12]}…), nothing was changed; somebody, or a step of suites/migration, moved it: "
            "lead it back by hand, or deploy forward"
        )
    return between


def _between(version: str, name: str, known: dict[str, Migration]) -> Between:
    file = known.get(version)
    if file is not None:
        return Between(version, file.name, file.path.name, file.lossy)
    return Between(version, name, f"{version}_{name}" if name else version, None)


def _name(target: Baseline) -> str:
    return target.revision if target.release is None else target.release.version
