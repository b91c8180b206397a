"""The history of the schema: one append-only table, which dbmate and pgmigrate see as their own.

REQ-o00044-M, -P: every up and every down, by whom, when, how long; nothing is deleted. The owner of the database can still
disable a trigger, hence the chained record outside of it.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final, Literal

from psycopg import sql as composed

from pytest_deploy.errors import Fault, MigrationsRefused
from pytest_deploy.migrate.adopted import ADOPT, ADOPT_BASELINE, Tool
from pytest_deploy.migrate.migration import Migration
from pytest_deploy.migrate.names import RENUMBER, NamedFile
from pytest_deploy.migrate.session import Connection, Rows, rows_of
from pytest_deploy.workspace import typed_path

_APPLIED: Final = """
select version, description, sha256, to_char(at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), actor, engine,
       duration_s, way_down, seq
from deploy.applied order by seq
"""


@dataclass(frozen=True)
class Applied:
    version: str
    name: str
    sha256: str | None
    """Of the file; None where a tool applied it that keeps no digests."""
    at: datetime
    """UTC."""
    actor: str
    engine: str
    duration_s: float | None
    """None where a tool applied it that does not measure."""
    way_down: str | None
    """The SQL that undoes it, as it was when it was applied; None where a tool applied it that does not keep it."""
    seq: int
    """Position in the history: the order of application."""

    @property
    def number(self) -> int:
        return int(self.version)


@cache
def definition() -> tuple[str, str]:
    """The SQL that installs the ledger, and the comment by which its present form is known."""
    sql = resources.files("pytest_deploy.migrate").joinpath("ledger.sql").read_text(encoding="utf-8")
    mark = f"pytest-deploy ledger {hashlib.sha256(sql.encode()).hexdigest()}"
    return f"{sql}\ncomment on schema deploy is '{mark}';", mark


def install(connection: Connection) -> None:
    """The ledger is there, in its present form; again: no change.

    A table of dbmate's or pgmigrate's becomes part of it: who calls this has seen that it was adopted, or has called `refuse_others`.
    """
    if not is_present_form(connection):
        connection.execute(definition()[0].encode())


def is_present_form(connection: Connection) -> bool:
    """Whether the ledger is there as this version makes it."""
    found = connection.execute("select obj_description(to_regnamespace('deploy'), 'pg_namespace')").fetchone()
    return found == (definition()[1],)


def installed(connection: Connection) -> bool:
    return connection.execute("select to_regclass('deploy.migration_event') is not null").fetchone() == (True,)


def applied(connection: Connection) -> tuple[Applied, ...]:
    """What is applied now, in the order in which it was; before the ledger is there, what dbmate's or pgmigrate's own table says."""
    return read_applied(rows_of(connection)) if installed(connection) else history_of_others(connection)[1]


def history_of_others(connection: Connection) -> tuple[Tool, tuple[Applied, ...]]:
    """Whose history a database without ledger has, and what it says is applied, by number; `none` and () where it has none.

    Raises MigrationsRefused where it is another tool's.
    """
    for tool, table, shape, query in _OTHERS:
        found = connection.execute(_SHAPE, (table,)).fetchone()
        if found is None or found[0] is None:
            continue
        if set(shape) != set(found[0]):
            problem = f"{table} has the columns {', '.join(found[0])}: it is not {tool}'s"
            remedy = f"give that table another name, then declare what the database holds: `{ADOPT_BASELINE}`"
            raise MigrationsRefused("history of the database", [Fault(table, None, "", problem, remedy)])
        _require_versions(connection, table)
        rows = connection.execute(query.encode()).fetchall()
        if rows:
            return tool, tuple(
                Applied(version, name, None, at, f"database:{by}", tool, None, None, seq)
                for seq, (version, name, at, by) in enumerate(rows, 1)
            )
    return "none", ()


def histories_elsewhere(connection: Connection) -> tuple[str, ...]:
    """Tables of other schemas that have the name and columns of a history of dbmate's or pgmigrate's, qualified and quoted."""
    found = []
    for _, table, shape, _ in _OTHERS:
        rows = connection.execute(_ELSEWHERE, (table.split(".")[1],)).fetchall()
        found += [name for name, columns in rows if set(columns) == set(shape)]
    return tuple(found)


def _require_versions(connection: Connection, table: str) -> None:
    """Each row of another tool's table names a version of its own. Raises MigrationsRefused."""
    query = composed.SQL("select version::text from {} order by 1").format(composed.Identifier(*table.split(".")))
    versions = [version for (version,) in connection.execute(query)]
    odd = [version for version in versions if not _VERSION.fullmatch(version)]
    numbers = Counter(int(version) for version in versions if version not in odd)
    twice = [version for version in versions if version not in odd and numbers[int(version)] > 1]
    faults = [
        Fault(table, None, version, "this is no version", "delete the row, or write digits, at most 18")
        for version in odd
    ]
    faults += [Fault(table, None, version, "its number is there twice", "delete one of the rows") for version in twice]
    if faults:
        raise MigrationsRefused("history of the database", faults)


def refuse_others(connection: Connection) -> None:
    """Raises MigrationsRefused where the database has another tool's history, which nobody has adopted."""
    if installed(connection):
        return
    tool, history = history_of_others(connection)
    if history:
        problem = (
            f"it has {tool}'s history of {len(history)} migrations, up to {history[-1].version}, and nobody adopted it"
        )
        remedy = f"look at it first: `{ADOPT}`"
        raise MigrationsRefused("history of the database", [Fault("database", None, "", problem, remedy)])


_VERSION: Final = re.compile(r"[0-9]{1,18}")
_SHAPE: Final = """
select array_agg(attname::text order by attnum) from pg_attribute a join pg_class c on c.oid = a.attrelid
where c.oid = to_regclass(%s) and c.relkind = 'r' and attnum > 0 and not attisdropped
"""
_ELSEWHERE: Final = """
select format('%%I.%%I', n.nspname, c.relname), array_agg(a.attname::text)
from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
where c.relname = %s and c.relkind = 'r' and n.nspname not in ('public', 'deploy') and n.nspname !~ '^pg_'
    and attnum > 0 and not attisdropped
group by 1 order by 1
"""
_OTHERS: Final[tuple[tuple[Tool, str, tuple[str, ...], str], ...]] = (
    (
        "pgmigrate",
        "public.schema_version",
        ("version", "description", "type", "installed_by", "installed_on"),
        (
            "select lpad(version::text, greatest(length(version::text), 4), '0'), description, installed_on at time zone 'utc',"
            " installed_by from public.schema_version order by version"
        ),
    ),
    (
        "dbmate",
        "public.schema_migrations",
        ("version",),
        "select version::text, '', now(), 'unknown' from public.schema_migrations order by version::bigint",
    ),
)


def read_applied(rows: Rows) -> tuple[Applied, ...]:
    """The same through any session, also inside a transaction that is not committed; there must be a ledger."""
    return tuple(
        Applied(version, name, sha256, datetime.fromisoformat(at), actor, engine, duration_s, way_down, seq)
        for version, name, sha256, at, actor, engine, duration_s, way_down, seq in rows(_APPLIED)
    )


def pending(migrations: Sequence[Migration], history: Sequence[Applied]) -> tuple[Migration, ...]:
    """What of `migrations` is not applied yet, in order. REQ-o00044-A.

    Raises MigrationsRefused, all faults at once, where history and files disagree: an applied file is edited or
    deleted, or a file that is not applied stands before one that is.
    """
    files = {migration.number: migration for migration in migrations}
    newest = max((row.number for row in history), default=0)
    done_numbers = {row.number for row in history}
    faults: list[Fault] = []
    for row in sorted(history, key=lambda row: row.number):
        file = files.get(row.number)
        if file is None:
            named = f" ({row.name})" if row.name else ""
            problem = f"version {row.version}{named} is applied, and its file is gone"
            faults.append(
                Fault("migrations", None, row.version, problem, "restore the file from the commit of its release")
            )
        elif _is_another(row, file):
            problem = f"version {row.version} was applied as {row.name}, and this is another file"
            remedy = f"restore {row.version}_{row.name}.sql; give this one its own version: `{RENUMBER}`"
            faults.append(Fault(typed_path(file.path), None, "", problem, remedy))
        elif row.sha256 is not None and row.sha256 != file.sha256:
            problem = f"it was edited after it was applied (then {row.sha256[:12]}, now {file.sha256[:12]})"
            faults.append(
                Fault(typed_path(file.path), 1, "", problem, "restore it; write the change as a new migration")
            )
    faults.extend(
        Fault(
            typed_path(file.path),
            None,
            "",
            f"it comes late: version {newest} is applied already",
            f"number it after the last: `{RENUMBER}`",
        )
        for number, file in sorted(files.items())
        if number < newest and number not in done_numbers
    )
    if faults:
        raise MigrationsRefused("migrations and the database's history", faults)
    return tuple(file for number, file in sorted(files.items()) if number not in done_numbers)


def declare(connection: Connection, taken: Sequence[Migration], *, actor: str) -> None:
    """These are applied: no tool kept it, `actor` says so. The schema was held against them."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into deploy.migration_event (version, direction, description, sha256, engine, actor)"
            " values (%s, 'up', %s, %s, 'baseline', %s)",
            [(migration.version, migration.name, migration.sha256, actor) for migration in taken],
        )


def _is_another(row: Applied, file: Migration | NamedFile) -> bool:
    """Whether what was applied was a file of another name and other bytes."""
    return row.sha256 not in {None, file.sha256} and row.name not in {"", file.name}


def note_digests(connection: Connection, migrations: Sequence[Migration], *, actor: str) -> None:
    """The digest of each file whose up came from a tool that keeps none, from now on: later edits are seen."""
    unknown = {row.number for row in applied(connection) if row.sha256 is None}
    for migration in migrations:
        if migration.number in unknown:
            connection.execute(
                "insert into deploy.migration_event (version, direction, description, sha256, engine, actor)"
                " values (%s, 'noted', %s, %s, 'pytest-deploy', %s)",
                (migration.version, migration.name, migration.sha256, actor),
            )


State = Literal["applied", "pending", "edited", "another file", "file gone"]


@dataclass(frozen=True)
class Status:
    """Where one migration of a folder or of the history stands."""

    version: str
    name: str
    state: State
    applied: Applied | None
    """None where it is pending."""


def files_applied(history: Sequence[Applied], files: Sequence[NamedFile]) -> dict[int, Path | None]:
    """By number the file that was applied: by its digest, else by its name, else the first; None where none of them is it."""
    found: dict[int, Path | None] = {}
    for row in history:
        same = [file for file in files if file.number == row.number]
        by_digest = [file for file in same if hashlib.sha256(file.path.read_bytes()).hexdigest() == row.sha256]
        by_name = [file for file in same if row.name in {"", file.name}]
        found[row.number] = next((file.path for file in (*by_digest, *by_name)), None)
    return found


def status(connection: Connection, named: Sequence[Migration | NamedFile]) -> tuple[Status, ...]:
    """Every migration of the folder or of the history, in order of number. Changes nothing.

    Names and digests are enough: what is wrong inside a file is no reason not to say where the database stands.
    """
    files = {file.number: file for file in named}
    history = {row.number: row for row in applied(connection)}
    rows = []
    for number in sorted({*files, *history}):
        file, row = files.get(number), history.get(number)
        if row is None:
            rows.append(Status(files[number].version, files[number].name, "pending", None))
            continue
        state: State = "applied"
        if file is None:
            state = "file gone"
        elif _is_another(row, file):
            state = "another file"
        elif row.sha256 not in {None, file.sha256}:
            state = "edited"
        rows.append(Status(row.version, row.name or (file.name if file is not None else ""), state, row))
    return tuple(rows)
