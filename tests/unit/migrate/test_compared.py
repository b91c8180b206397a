"""The documented list of what is compared is the list: of PostgreSQL's catalogs each is read, or named with why it is not."""

from __future__ import annotations

import re
from pathlib import Path

from tests.unit.migrate.sample_migrations import rows

ROOT = Path(__file__).parents[3]
CATALOGS = "select relname from pg_class where relnamespace = 'pg_catalog'::regnamespace and relkind = 'r'"


def not_read(conninfo: str) -> set[str]:
    texts = (
        ROOT.joinpath("pytest_deploy/migrate", name).read_text(encoding="utf-8")
        for name in ("catalog.sql", "state.sql")
    )
    read = {word for text in texts for word in re.findall(r"\bpg_\w+", re.sub(r"--[^\n]*", "", text))}
    return {name for (name,) in rows(conninfo, CATALOGS)} - read


def documented() -> set[str]:
    page = (ROOT / "docs/migrations.md").read_text(encoding="utf-8")
    table = re.search(r"\| catalog \| why it is not read \|\n\|---\|---\|\n((?:\|.*\n)+)", page)
    assert table is not None
    return {name for line in table[1].splitlines() for name in re.findall(r"`(pg_\w+)`", line.split("|")[1])}


def test_each_catalog_is_read_or_named_with_why_not(database: str) -> None:
    assert not_read(database) == documented()


def test_the_older_server_has_no_other(database15: str) -> None:
    assert not_read(database15) <= documented()
