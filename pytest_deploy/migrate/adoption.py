"""A database that was there before: its history becomes ours, once its schema is what the files make.

A history is dbmate's or pgmigrate's own table, or none, with a baseline that is declared. Looked at first, and written down beside
the migrations (`adopted.json`); taken over at once where nobody is asked, else by the next approved deployment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pytest_deploy.errors import Fault, MigrationsRefused
from pytest_deploy.migrate import ledger
from pytest_deploy.migrate.adopted import ADOPT, ADOPT_BASELINE, Adopted, Adoption, Tool, read_adopted, write_adopted
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.ledger import Applied
from pytest_deploy.migrate.migration import Migration
from pytest_deploy.migrate.migration_folder import read_migrations
from pytest_deploy.migrate.names import named_files, rollback_file, rollback_folder
from pytest_deploy.migrate.readable_diff import readable
from pytest_deploy.migrate.session import Connection, connect, rows_of
from pytest_deploy.migrate.snapshot import Catalog, read_catalog
from pytest_deploy.migrate.trial_place import TrialPlace, Where, choose, require_no_named_effects
from pytest_deploy.workspace import typed_path

_SHOWN_LINES = 40


def examine(
    conninfo: str,
    folder: Path,
    *,
    actor: str,
    baseline: str | None = None,
    where: Where | None = None,
    programs: Path | None = None,
) -> tuple[Adoption, dict[str, str]]:
    """What there is to take over, and the files that are exempt with their SHA-256 (hex). The database is only read.

    Args:
        conninfo: of the database's owner.
        folder: of the migrations.
        actor: who adopts.
        baseline: the newest version whose schema the database holds, where no tool kept a history.
        where: the files make their schema; as a trial's (`database.trial`).
        programs: the folder to look in first for the server's programs.

    Raises MigrationsRefused: it is ours already, it has no history and no baseline was given, it has both, files and history
    disagree, or the schema is not what the files make, with the difference.
    """
    with connect(conninfo) as connection:
        if ledger.installed(connection):
            raise _refused("database", "its history is kept here already", "there is nothing to adopt")
        tool, history = ledger.history_of_others(connection)
        if not history and baseline is None:
            raise _without_history(ledger.histories_elsewhere(connection))
        catalog = read_catalog(rows_of(connection))
    files = _exempt(folder, _last(tool, history, baseline))
    migrations = _taken(read_migrations(folder, files), history, baseline)
    place = choose(conninfo, where, programs=programs, applied=migrations)
    made = _schema_of(place, migrations, actor)
    if catalog != made:
        problem = (
            f"the database's schema is not what {len(migrations)} migrations make:\n{_difference(made, catalog)}\n   "
        )
        raise _refused("database", problem, "write the difference as a migration before the last one, or undo it")
    last = migrations[-1].version
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Adoption(tool, last, catalog.sha256, actor, at), files


def _refused(place: str, problem: str, remedy: str) -> MigrationsRefused:
    return MigrationsRefused("adoption", [Fault(place, None, "", problem, remedy)])


def _without_history(elsewhere: Sequence[str]) -> MigrationsRefused:
    problem, remedy = "it has no history of dbmate's or pgmigrate's", f"say what it holds: `{ADOPT_BASELINE}`"
    if elsewhere:
        problem += f" in the schema public; {' and '.join(elsewhere)} looks like one"
        remedy = f"if it is: `alter table {elsewhere[0]} set schema public`, then again; if not, {remedy}"
    return _refused("database", problem, remedy)


def _last(tool: Tool, history: Sequence[Applied], baseline: str | None) -> int:
    """The newest number that is taken over."""
    if history and baseline is not None:
        problem = f"it has {tool}'s history, up to {history[-1].version}, and a baseline was given"
        raise _refused("database", problem, "leave --baseline out")
    return history[-1].number if baseline is None else int(baseline)


def _exempt(folder: Path, last: int) -> dict[str, str]:
    """SHA-256 (hex) of each file up to that number, the ways down of pairs with them."""
    pairs = rollback_folder(folder)
    paths = []
    for file in named_files(folder):
        if file.number <= last:
            paths += [file.path, *([] if pairs is None else [rollback_file(pairs, file.version)])]
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.is_file()
    }


def _taken(migrations: Sequence[Migration], history: Sequence[Applied], baseline: str | None) -> tuple[Migration, ...]:
    """The migrations that the database is said to hold."""
    if baseline is None:
        _require_no_hole(migrations, history)
        pending = ledger.pending(migrations, history)
        return tuple(migrations[: len(migrations) - len(pending)])
    taken = tuple(migration for migration in migrations if migration.number <= int(baseline))
    if not taken or taken[-1].number != int(baseline):
        known = ", ".join(migration.version for migration in migrations) or "none"
        raise _refused(f"--baseline {baseline}", "there is no such migration", f"known: {known}")
    return taken


def _require_no_hole(migrations: Sequence[Migration], history: Sequence[Applied]) -> None:
    """Raises MigrationsRefused where a file stands before the newest applied one, and the other tool never applied it."""
    done = {row.number for row in history}
    holes = [migration for migration in migrations if migration.number < max(done) and migration.number not in done]
    if holes:
        problem = f"the history holds later versions, up to {history[-1].version}, and not this one"
        remedy = (
            "apply it by the tool that kept the history, or remove the file; where the database holds its change already, "
            "write its version into that tool's table"
        )
        raise MigrationsRefused("adoption", [Fault(typed_path(one.path), None, "", problem, remedy) for one in holes])


def _schema_of(place: TrialPlace, migrations: Sequence[Migration], actor: str) -> Catalog:
    """What the migrations make of an empty database."""
    require_no_named_effects(place, migrations, ())
    with place.database() as database, connect(database, autocommit=True) as connection:
        apply(database, migrations, actor=actor, several=True, before_commit=place.before_commit(connection))
        place.settle(database)
        return read_catalog(rows_of(connection))


def _difference(made: Catalog, found: Catalog) -> str:
    lines = list(readable("".join(made.diff(found, "files", "database"))))
    rest = len(lines) - _SHOWN_LINES
    shown = [*lines[:_SHOWN_LINES], *([f"and {rest} lines more"] if rest > 0 else [])]
    return "".join(f"    {line}\n" for line in ["- the files make it, + the database has it", *shown]).rstrip("\n")


def write_down(folder: Path, environment: str, adoption: Adoption, files: dict[str, str]) -> None:
    """Put it beside the migrations, for the commit."""
    known = read_adopted(folder)
    databases = {**known.databases, environment: adoption}
    write_adopted(folder, Adopted(databases, {**known.files, **files}))


def take_over(connection: Connection, adoption: Adoption, migrations: Sequence[Migration]) -> None:
    """The history becomes ours: by whom, when, from whom, and the schema that was found. All in one transaction.

    Raises MigrationsRefused where the database is no longer at the version that was looked at.
    """
    tool, history = ledger.history_of_others(connection)
    taken = _taken(migrations, history, adoption.last if tool == "none" else None)
    if (tool, taken[-1].version) != (adoption.tool, adoption.last):
        problem = f"{tool}'s history ends with {taken[-1].version}; what was adopted ended with {adoption.last} ({adoption.tool})"
        raise _refused("database", problem, f"look again: `{ADOPT}`, and commit what it writes")
    with connection.transaction():
        ledger.install(connection)
        if tool == "none":
            ledger.declare(connection, taken, actor=adoption.by)
        ledger.note_digests(connection, migrations, actor=adoption.by)
        connection.execute(
            "insert into deploy.adoption (actor, tool, last, schema_sha256) values (%s, %s, %s, %s)",
            (adoption.by, adoption.tool, adoption.last, adoption.schema_sha256),
        )
