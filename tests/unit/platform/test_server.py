"""The tests' own servers, and the embedded server's life."""

from __future__ import annotations

import psycopg

from tests.postgres import PostgresServer


def test_each_test_has_an_empty_database(each_database: str) -> None:
    """Nothing of any other test is in it."""
    with psycopg.connect(each_database) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert tables == (0,)


def test_the_server_takes_no_network_connections(postgres: PostgresServer) -> None:
    with psycopg.connect(postgres.conninfo()) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
