"""Steps of a project's own that move its schema, and lead it back, by the command that its authors use: Django's, Alembic's."""

from __future__ import annotations

from dataclasses import dataclass
from string import Template
from typing import Final

from pytest_deploy.starter.repository import Repository


@dataclass(frozen=True)
class Tool:
    """A command that moves a schema, and the table in which it keeps what it has applied."""

    title: str
    words: str
    """What follows the interpreter, as Python words."""
    shown: str
    forward: str
    back: str
    """The lines of the way back, from `before` and `now` on."""
    table: str
    query: str


_DJANGO_BACK: Final = """\
    new = [name for name in now or [] if name not in (before or [])]
    # The app whose migration came last goes first; what rests on it goes with it.
    for app in dict.fromkeys(name.partition(".")[0] for name in reversed(new)):
        earlier = [name for name in before or [] if name.startswith(f"{app}.")]
        target = earlier[-1].partition(".")[2] if earlier else "zero"
        command(database, policy, "migrate", "--noinput", app, target)
"""
_ALEMBIC_BACK: Final = """\
    for revision in before or ["base"]:
        if revision not in (now or []):
            command(database, policy, "downgrade", revision)
"""
TOOLS: Final = {
    "django": Tool(
        "Django",
        '"manage.py"',
        "manage.py migrate",
        '"migrate", "--noinput"',
        _DJANGO_BACK,
        "django_migrations",
        "select app || '.' || name from django_migrations order by id",
    ),
    "alembic": Tool(
        "Alembic",
        '"-P", "-m", "alembic"',
        "alembic upgrade heads",
        '"upgrade", "heads"',
        _ALEMBIC_BACK,
        "alembic_version",
        "select version_num from alembic_version order by 1",
    ),
}
"""By the name that `schema` gives them. Prisma has no way back, so that nothing is written for it."""

_HEAD: Final = Template('''\
"""$claim"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_deploy import Database, Policy, StepRecord, search_path

PROJECT = Path(__file__).parents[2]$below
TABLE = "$table"
APPLIED = "$query"
BEFORE = "schema/applied-before.json"
"""In the run's folder: what was applied before this run."""


def applied(database: Database) -> list[str] | None:
    """What $title says is applied; None where its table is not there."""
    there = database.one("select to_regclass(%s)::text", TABLE)
    return None if there is None else database.column(APPLIED)


def command(database: Database, policy: Policy, *words: str) -> None:
    """$title's own command, with what the service is given, as the owner of the database."""
    given = {
        **policy.service.env,
        "PATH": search_path(os.environ),
        "DATABASE_URL": database.access.url,
    }
    ran = subprocess.run(
        [sys.executable, $words, *words],
        cwd=PROJECT,
        env=given,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.step(changes=True, timeout=600)
''')
_FORWARD: Final = Template("""\
def test_migrations_are_applied(
    database: Database, policy: Policy, record: StepRecord
) -> None:
    before = applied(database)
    # Kept before anything changes, so that the way back knows it whatever happens here.
    record.attach(BEFORE, json.dumps(before).encode())

    command(database, policy, $forward)

    record.expect({"before": before}, {"before": before, "applied": applied(database)})
""")
_BACK: Final = Template("""\
def test_migrations_are_taken_back(
    database: Database, policy: Policy, record: StepRecord
) -> None:
    kept = record.folder.path / BEFORE
    if not kept.is_file():
        record.not_applicable("no migration was tried in this run")
    before, now = json.loads(kept.read_text(encoding="utf-8")), applied(database)

$back    if before is None:  # the first release: the table came with it
        with database.connect() as connection:
            connection.execute(f"drop table if exists {TABLE}")

    record.expect({"applied": before}, {"applied": applied(database)})
    assert applied(database) == before
""")


def tool_of(repository: Repository) -> Tool | None:
    """The command that moves the repository's schema, where this knows its way forward and back."""
    return TOOLS.get(repository.schema.tool) if repository.schema is not None else None


def migration_steps(repository: Repository) -> dict[str, str]:
    """The files of the steps, by their path from deploy.yaml's folder; none where this knows no command."""
    tool = tool_of(repository)
    if tool is None:
        return {}
    file = f"test_{repository.name.value.replace('-', '_')}.py"
    below = "" if repository.source == "." else f" / {repository.source!r}"
    claims = {
        "migration": (_FORWARD, f"{tool.title}'s own command moves the schema; suites/rollback/{file} leads it back."),
        "rollback": (_BACK, f"{tool.title}'s own command leads the schema back to what suites/migration/{file} found."),
    }
    return {
        f"suites/{phase}/{file}": (
            _HEAD.substitute(
                claim=claim, below=below, table=tool.table, query=tool.query, title=tool.title, words=tool.words
            )
            + body.substitute(forward=tool.forward, back=tool.back)
        )
        for phase, (body, claim) in claims.items()
    }
