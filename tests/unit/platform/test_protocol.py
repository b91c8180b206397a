"""How a database is reached: as libpq takes it, and as a URL for whatever takes no other address."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pytest_deploy import Database, DatabaseAccess
from tests.postgres_server import PostgresServer

ADDRESSES = [
    {"host": "/run/pg", "port": "5433", "user": "deployer", "dbname": "parcels"},
    {"host": "/run/größe 7", "user": "deployer", "dbname": "parcels"},
    {"host": "db.example.org", "port": "5432", "user": "deployer", "dbname": "parcels", "sslmode": "verify-full", "sslrootcert": "/etc/a b.pem"},
    {"host": "db.example.org", "user": "de@ployer", "password": "p:/@?#%&+ ü", "dbname": "par/cels"},
    {"host": "::1", "port": "5432", "user": "deployer", "dbname": "parcels"},
    {"host": "a.example.org,b.example.org", "port": "5432,5433", "user": "deployer", "dbname": "parcels"},
    {"host": "db.example.org", "user": "deployer", "dbname": "parcels", "options": "-c search_path=parcels,public"},
    {"dbname": "parcels"},
]  # fmt: skip


@pytest.mark.parametrize("given", ADDRESSES, ids=range(len(ADDRESSES)))
def test_a_url_of_the_owner_means_what_the_owners_string_means(given: dict[str, str]) -> None:
    access = DatabaseAccess(make_conninfo("", **given), "", "")

    assert conninfo_to_dict(access.url) == given


def test_a_url_can_be_taken_apart_as_urls_are() -> None:
    access = DatabaseAccess(
        make_conninfo(host="db.example.org", port=5432, user="eve", password="a@b", dbname="p"), "", ""
    )

    found = urlsplit(access.url)

    assert (found.scheme, found.hostname, found.port, found.path) == ("postgresql", "db.example.org", 5432, "/p")
    assert (found.username, unquote(found.password or "")) == ("eve", "a@b")


def test_the_folder_of_a_socket_stands_there_as_it_is() -> None:
    """`%2F` would be read twice where somebody puts the URL into the settings of Alembic."""
    assert "%" not in DatabaseAccess("host=/run/pg port=5432 user=deployer dbname=parcels", "", "").url


def test_a_url_of_the_owner_lets_its_holder_in(postgres: PostgresServer) -> None:
    access = DatabaseAccess(postgres.conninfo(), "", "")

    with psycopg.connect(access.url) as connection, Database(access).connect() as as_ever:
        assert connection.info.dbname == as_ever.info.dbname
