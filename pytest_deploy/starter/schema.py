"""Whether the service has a database, and what moves its schema."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_deploy.starter.source_files import below, text
from pytest_deploy.starter.start_command import needs

_FOLDERS: Final = ("db/migrations", "migrations", "sql/migrations", "database/migrations")
_OF_PGMIGRATE: Final = re.compile(r"V\d+__\w+\.sql")
_UP: Final = re.compile(r"^\s*--\s*migrate:up", re.MULTILINE)
_GROUP: Final = re.compile(r"\bcreate\s+role\s+\"?([a-z_][a-z0-9_]*)\"?\s+(?:with\s+)?nologin\b", re.IGNORECASE)
_DRIVERS: Final = (
    "psycopg",
    "psycopg2",
    "psycopg2-binary",
    "asyncpg",
    "pg",
    "postgres",
    "github.com/jackc/pgx",
    "github.com/lib/pq",
)
_SOURCES: Final = (".py", ".js", ".mjs", ".ts", ".go", ".rb", ".env.example")


@dataclass(frozen=True)
class Schema:
    """What moves the schema of the service's database."""

    tool: str
    """Who moves it now: dbmate, pairs, pgmigrate, sql, django, alembic, prisma; empty where nothing does."""
    by: str
    """What tells that there is a database: a folder or a file, from deploy.yaml's folder."""
    folder: str | None = None
    """The folder of migrations that this program runs, from deploy.yaml's folder; None where it runs none of them."""
    group: str | None = None
    """The group role that the migrations make."""


def read(root: Path, folder: Path) -> Schema | None:
    """The schema of the service in `folder`, of a deployment in `root`; None where nothing points to a database."""
    for place in dict.fromkeys((folder, root)):
        for name in _FOLDERS:
            if (place / name).is_dir() and (found := _of_folder(root, place / name)):
                return found
    for file, tool in (("alembic.ini", "alembic"), ("prisma/schema.prisma", "prisma")):
        if (folder / file).is_file():
            return Schema(tool, file, group=_group_in_python(folder))
    by = next(_hints(folder), None)
    if by is None:
        return None
    if (folder / "manage.py").is_file():
        return Schema("django", by, group=_group_in_python(folder))
    return Schema("", by)


def names_its_address(folder: Path) -> bool:
    """Whether any Python file of the service reads DATABASE_URL, by which its own commands find the database."""
    return any("DATABASE_URL" in text(path) for path in below(folder, ".py"))


def _of_folder(root: Path, place: Path) -> Schema | None:
    """What a folder of migrations is; None where it holds none."""
    files = sorted(place.glob("*.sql"))
    if not files:
        return None
    texts = [text(path) for path in files]
    shown = _from(root, place)
    group = next(filter(None, map(_group_of, texts)), None)
    if any(_OF_PGMIGRATE.fullmatch(path.name) for path in files):
        return Schema("pgmigrate", shown or str(place), group=group)
    if any(map(_UP.search, texts)) or (place / "rollback").is_dir():
        # deploy.yaml's migrations lie in its own folder.
        return Schema("pairs" if (place / "rollback").is_dir() else "dbmate", shown or str(place), shown, group)
    return Schema("sql", shown or str(place), group=group)


def _group_of(migration: str) -> str | None:
    found = _GROUP.search(migration)
    return found[1] if found else None


def _group_in_python(folder: Path) -> str | None:
    """The group role that a migration of Django's or Alembic's makes, in SQL of its own."""
    return next(filter(None, (_group_of(text(path)) for path in below(folder, ".py"))), None)


def _from(root: Path, place: Path) -> str | None:
    """A folder from deploy.yaml's; None where it lies elsewhere."""
    try:
        return place.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return None


def _hints(folder: Path) -> Iterator[str]:
    """Each file that points to PostgreSQL."""
    for path in below(folder, *_SOURCES):
        if "DATABASE_URL" in text(path):
            yield path.relative_to(folder).as_posix()
    yield from (f"the dependency {name}" for name in _DRIVERS if needs(folder, name))
