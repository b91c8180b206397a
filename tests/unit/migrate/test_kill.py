"""kill -9 of the runner at any point leaves the old schema or the new one, no lock, and a next run that finishes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.migration_folder import read_migrations
from pytest_deploy.migrate.rollback import roll_back
from pytest_deploy.migrate.snapshot import snapshot
from tests.unit.migrate.migration_process import answer, ask, runner
from tests.unit.migrate.sample_migrations import ACTOR, FIVE, PROGRAMS, rows, versions, write

SLOW = tuple((f"{up}select pg_sleep(0.06);\n", f"{down}select pg_sleep(0.03);\n") for up, down in FIVE)
SPAN_S = 0.6
POINTS = [SPAN_S * point / 19 for point in range(20)]
ALL = ["0001", "0002", "0003", "0004", "0005"]
OTHERS = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"


def killed(conninfo: str, folder: Path, after_s: float, to: list[str] | None) -> None:
    with runner() as process:
        ask(process, conninfo=conninfo, folder=str(folder), **({} if to is None else {"to": to}))
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        time.sleep(after_s)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


def gone_after(conninfo: str) -> float:
    """Seconds until nobody of the killed process is on the server any more, and with it every lock."""
    began = time.monotonic()
    while rows(conninfo, OTHERS) != [(0,)] and time.monotonic() - began < 10:
        time.sleep(0.02)
    return time.monotonic() - began


def up_at(conninfo: str, folder: Path, after_s: float) -> None:
    write(folder, *SLOW)
    old = snapshot(conninfo, PROGRAMS)
    killed(conninfo, folder, after_s, None)
    assert gone_after(conninfo) < 2
    found = snapshot(conninfo, PROGRAMS)
    done = (
        versions(conninfo) if rows(conninfo, "select to_regclass('schema_migrations') is not null") == [(True,)] else []
    )
    assert done in ([], ALL)
    assert (found.text == old.text) == (done == [])
    moved = [one.version for one in apply(conninfo, read_migrations(folder), actor=ACTOR)]
    assert moved == (ALL if done == [] else [])
    assert versions(conninfo) == ALL


def down_at(conninfo: str, folder: Path, after_s: float) -> None:
    migrations = read_migrations(write(folder, *SLOW))
    old = snapshot(conninfo, PROGRAMS)
    apply(conninfo, migrations, actor=ACTOR)
    killed(conninfo, folder, after_s, [])
    assert gone_after(conninfo) < 2
    done = versions(conninfo)
    assert done in ([], ALL)
    assert (snapshot(conninfo, PROGRAMS).text == old.text) == (done == [])
    moved = [one.version for one in roll_back(conninfo, migrations, to=[], actor=ACTOR, expected_schema=old.catalog)]
    assert moved == (ALL[::-1] if done == ALL else [])


@pytest.mark.parametrize("after_s", POINTS[2::6])
def test_a_killed_runner_leaves_the_old_or_the_new_schema(database: str, tmp_path: Path, after_s: float) -> None:
    up_at(database, tmp_path, after_s)


def test_a_killed_rollback_leaves_the_new_or_the_old_schema(database: str, tmp_path: Path) -> None:
    down_at(database, tmp_path, 0.2)


@pytest.mark.faults
@pytest.mark.parametrize("after_s", POINTS)
def test_a_runner_killed_at_twenty_points(each_database: str, tmp_path: Path, after_s: float) -> None:
    up_at(each_database, tmp_path, after_s)


@pytest.mark.faults
@pytest.mark.parametrize("after_s", POINTS[::2])
def test_a_rollback_killed_at_ten_points(each_database: str, tmp_path: Path, after_s: float) -> None:
    down_at(each_database, tmp_path, after_s)


def test_the_runner_of_these_tests_works_when_it_is_left_alone(database: str, tmp_path: Path) -> None:
    write(tmp_path, *FIVE)
    with runner() as process:
        ask(process, conninfo=database, folder=str(tmp_path))
        assert answer(process) == ALL
