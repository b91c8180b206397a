"""Four runners at once: one applies, the others wait and find nothing to do; each migration once, no failure."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from tests.unit.migrate.migration_process import answer, ask, runner
from tests.unit.migrate.sample_migrations import FIVE, do, rows, text, write

CONCURRENT = text(
    "create index concurrently visit_day_note on visit (day, note);\n",
    "drop index concurrently visit_day_note;\n",
    "outside-transaction the table is big",
    options=" transaction:false",
)


def race(conninfo: str, folder: Path, rounds: int) -> None:
    write(folder, *FIVE)
    grown = write(folder.with_name("grown"), *FIVE, CONCURRENT)
    with ExitStack() as stack:
        runners = [stack.enter_context(runner()) for _ in range(4)]
        for _ in range(rounds):
            name = f"race_{uuid.uuid4().hex[:12]}"
            do(conninfo, f"create database {name}")
            target = make_conninfo(conninfo, dbname=name)
            try:
                for place, expected in ((folder, [f"000{n}" for n in range(1, 6)]), (grown, ["0006"])):
                    for process in runners:
                        ask(process, conninfo=target, folder=str(place))
                    answers = [answer(process) for process in runners]
                    assert sorted(answers) == [[], [], [], expected]
                assert rows(target, "select count(*), count(distinct version) from deploy.migration_event") == [(6, 6)]
                assert rows(target, "select count(*) from pg_index where not indisvalid") == [(0,)]
            finally:
                do(conninfo, f"drop database {name} with (force)")


def test_each_migration_is_applied_once_by_one_of_four_runners(database: str, tmp_path: Path) -> None:
    race(database, tmp_path / "m", rounds=5)


def test_the_same_on_the_older_server(database15: str, tmp_path: Path) -> None:
    race(database15, tmp_path / "m", rounds=1)


@pytest.mark.scale
def test_fifty_times(each_database: str, tmp_path: Path) -> None:
    race(each_database, tmp_path / "m", rounds=50)
