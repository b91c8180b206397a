"""Small migrations of the tests' own, and short ways to look at a database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from pytest_deploy.migrate.migration import Migration
from pytest_deploy.migrate.migration_folder import read_migrations
from pytest_deploy.platform.embedded.postgres import embedded_programs
from tests.postgres_server import DEBIAN_15

PROGRAMS = embedded_programs()
"""pg_dump 18, which reads a server of 15 as well."""

ACTOR = "local:0:tester@here"

VISIT = ("create table visit (id bigint primary key, note text);\n", "drop table visit;\n")
INDEX = ("create index visit_note on visit (note);\n", "drop index visit_note;\n")
COLUMN = ("alter table visit add column day date;\n", "alter table visit drop column day;\n")
FUNCTION = (
    "create function today() returns date language sql begin atomic select current_date; end;\n",
    "drop function today();\n",
)
VIEW = ("create view visit_day as select id, day from visit;\n", "drop view visit_day;\n")
PARTITIONED = (
    """create table m (id bigint, at date not null, note text, primary key (id, at)) partition by range (at);
    create table m_2026 partition of m for values from ('2026-01-01') to ('2027-01-01');
    """,
    "drop table m;\n",
)
M_2027 = "create table m_2027 partition of m for values from ('2027-01-01') to ('2028-01-01');\n"
FIVE = (VISIT, INDEX, COLUMN, FUNCTION, VIEW)


def text(up: str, down: str, *declared: str, compatible: str = "expand", options: str = "") -> str:
    """One file of dbmate's format."""
    head = "".join(f"-- deploy:{line}\n" for line in (f"compatible {compatible}", *declared))
    return f"{head}-- migrate:up{options}\n{up}-- migrate:down{options}\n{down}"


def write(folder: Path, *ways: tuple[str, str] | str, first: int = 1) -> Path:
    """A folder of migrations, numbered from `first` on; a way is (up, down), or a whole file's text."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, way in enumerate(ways, first):
        content = way if isinstance(way, str) else text(*way, "lossy it goes with its rows")
        (folder / f"{number:04d}_step_{number}.sql").write_text(content, encoding="utf-8")
    return folder


def sample(folder: Path, *ways: tuple[str, str] | str) -> tuple[Migration, ...]:
    """The same, read."""
    return read_migrations(write(folder, *ways))


def rows(conninfo: str, query: str) -> list[tuple[Any, ...]]:
    """What the database answers, in a session of its own."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def do(conninfo: str, *statements: str) -> None:
    """Run statements, each by itself."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def as_superuser(conninfo: str) -> str:
    """The server's superuser, in the same database."""
    return make_conninfo(conninfo, user="postgres")


def exists(conninfo: str, name: str) -> bool:
    """Whether there is a relation of that name."""
    return bool(rows(conninfo, f"select to_regclass('{name}') is not null")[0][0])


def versions(conninfo: str) -> list[str]:
    """What dbmate's table says is applied."""
    return [version for (version,) in rows(conninfo, "select version from schema_migrations order by version")]


def programs_of(conninfo: str) -> Path:
    """pg_restore wants to be of the server's own version: a newer one uses settings an older server lacks."""
    ((version,),) = rows(conninfo, "select current_setting('server_version_num')::int / 10000")
    return DEBIAN_15 if version == 15 else PROGRAMS
