"""Fixtures for every test: real PostgreSQL servers and a fresh database in them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg import sql

from tests.memory import ROOM, in_memory
from tests.postgres_server import DEBIAN_15, PostgresServer, shared_server

LONG = ("faults", "scale")
"""Marks of what `make faults` and `make scale` run; everything else is `make test`."""

# How fast examples come says something of the machine and of what measures it, nothing of this project.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    """Tests write where nothing waits for a disk, where there is room: a deployment syncs some 800 files."""
    memory = in_memory(room=ROOM)
    if memory is not None and not config.option.basetemp:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long suites to those who ask for them with -m; deal the rest out, what takes long first."""
    if not config.option.markexpr:
        long = [item for item in items if any(item.get_closest_marker(mark) for mark in LONG)]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        items[:] = dealt(items, worker["workercount"])


def dealt(items: Sequence[pytest.Item], workers: int) -> list[pytest.Item]:
    """The items so that each of the workers, who get equal parts, begins with whole deployments and ends with what is short.

    What reads the one production record lies in the first hand: others would wait for it to be made.
    """
    by_file: dict[Path, list[pytest.Item]] = {}
    for item in items:
        by_file.setdefault(item.path, []).append(item)
    stories = [kept for path, kept in by_file.items() if path.parent.name == "stories"]
    short = [item for path, kept in by_file.items() if path.parent.name != "stories" for item in kept]
    waiting = [kept for kept in stories if any("production" in getattr(item, "fixturenames", ()) for item in kept)]
    hands: list[list[list[pytest.Item]]] = [waiting, *([] for _ in range(1, workers))]
    for kept in (kept for kept in stories if kept not in waiting):
        min(hands, key=len).append(kept)
    order: list[pytest.Item] = []
    for number, files in enumerate(hands):
        hand = [item for kept in files for item in kept]
        part = (len(items) - len(order)) // (workers - number)
        rest = max(0, part - len(hand))
        order += [*hand, *short[:rest]]
        short = short[rest:]
    return [*order, *short]


def skip_or_fail_missing(what: str, install: str) -> NoReturn:
    """End the test: a skip that says what to install, but a failure under CI=true."""
    message = f"{what} is not on this machine: {install}"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for the whole run: the same in every xdist worker."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(scope="session")
def postgres(shared_folder: Path) -> Iterator[PostgresServer]:
    """The run's one embedded PostgreSQL 18: `.host .port .user .programs .conninfo(db) .url(db)`."""
    with shared_server(shared_folder) as server:
        yield server


@pytest.fixture(scope="session")
def postgres15(shared_folder: Path) -> Iterator[PostgresServer]:
    """The same of Debian's PostgreSQL 15."""
    if not (DEBIAN_15 / "postgres").exists():
        skip_or_fail_missing("PostgreSQL 15", "apt-get install postgresql-15")
    with shared_server(shared_folder, DEBIAN_15) as server:
        yield server


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """The superuser's connection string to a fresh, empty database of PostgreSQL 18, dropped afterwards."""
    with fresh_database(postgres) as conninfo:
        yield conninfo


@pytest.fixture
def database15(postgres15: PostgresServer) -> Iterator[str]:
    """The same of PostgreSQL 15."""
    with fresh_database(postgres15) as conninfo:
        yield conninfo


@pytest.fixture(params=["postgres", "postgres15"])
def each_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The test runs twice: a fresh database of PostgreSQL 18, then one of 15."""
    with fresh_database(request.getfixturevalue(request.param)) as conninfo:
        yield conninfo


@contextmanager
def fresh_database(server: PostgresServer) -> Iterator[str]:
    """Roles belong to the server, not the database: a test that creates one gives it a name of its own."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} STRATEGY file_copy").format(sql.Identifier(name)))
        try:
            yield server.conninfo(name)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
