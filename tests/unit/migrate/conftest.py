"""Migrations run as an ordinary owner, as on a managed server: no superuser, only CREATEDB for the trial's databases.

A test that needs more asks for it by `as_superuser`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.conftest import fresh_database
from tests.postgres_server import PostgresServer
from tests.unit.migrate.sample_migrations import as_superuser


@contextmanager
def owned_database(server: PostgresServer) -> Iterator[str]:
    """A fresh database, by the connection string of its owner, who is a member of a group named after it (`…_group`)."""
    with fresh_database(server) as conninfo:
        name = str(conninfo_to_dict(conninfo)["dbname"])
        owner, group = sql.Identifier(f"{name}_owner"), sql.Identifier(f"{name}_owner_group")
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute(sql.SQL("create role {} login createdb").format(owner))
            connection.execute(sql.SQL("create role {} role {}").format(group, owner))
            connection.execute(sql.SQL("alter database {} owner to {}").format(sql.Identifier(name), owner))
        try:
            yield make_conninfo(conninfo, user=f"{name}_owner")
        finally:
            with psycopg.connect(as_superuser(conninfo), autocommit=True) as connection:
                for role in (group, owner):
                    connection.execute(sql.SQL("reassign owned by {} to current_user").format(role))
                    connection.execute(sql.SQL("drop owned by {}").format(role))
                    connection.execute(sql.SQL("drop role {}").format(role))


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """The owner's connection string to a fresh, empty database of PostgreSQL 18, dropped afterwards."""
    with owned_database(postgres) as conninfo:
        yield conninfo


@pytest.fixture
def database15(postgres15: PostgresServer) -> Iterator[str]:
    """The same of PostgreSQL 15."""
    with owned_database(postgres15) as conninfo:
        yield conninfo


@pytest.fixture(params=["postgres", "postgres15"])
def each_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The test runs twice: a fresh database of PostgreSQL 18, then one of 15."""
    with owned_database(request.getfixturevalue(request.param)) as conninfo:
        yield conninfo
