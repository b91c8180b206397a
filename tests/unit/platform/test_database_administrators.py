"""Who administers a database, as a real PostgreSQL says: by what a role holds, or by what it may become."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pytest_deploy.platform.database_administrators import database_administrators
from pytest_deploy.platform.embedded.database import prepare_database
from pytest_deploy.platform.protocol import DatabaseAccess
from tests.postgres_server import PostgresServer


@dataclass(frozen=True)
class Roles:
    """A database and two roles of the test's own, on a server that others use too."""

    access: DatabaseAccess
    database: str
    eve: str
    group: str

    def do(self, statement: str) -> None:
        """`eve`, `grp` and `db` stand for the names."""
        names = {
            "eve": sql.Identifier(self.eve),
            "grp": sql.Identifier(self.group),
            "db": sql.Identifier(self.database),
        }
        with psycopg.connect(self.access.owner, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(**names))

    def rights(self) -> tuple[str, ...] | None:
        """Eve's."""
        return database_administrators(self.access).get(self.eve)


@pytest.fixture
def roles(postgres: PostgresServer) -> Iterator[Roles]:
    name = f"db_{uuid.uuid4().hex[:8]}"
    made = Roles(prepare_database(postgres.conninfo(), name), name, f"{name}_eve", f"{name}_group")
    made.do("CREATE ROLE {eve} LOGIN")
    made.do("CREATE ROLE {grp} NOLOGIN")
    yield made
    with psycopg.connect(postgres.conninfo(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        for role in (made.eve, made.group, made.access.role):
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_the_service_s_role_administers_nothing_and_the_owner_does(roles: Roles, postgres: PostgresServer) -> None:
    found = database_administrators(roles.access)

    assert roles.access.role not in found
    assert found[postgres.user] == ("bypassrls", "createrole", "owner", "superuser")


@pytest.mark.parametrize(
    "statement, rights",
    [
        ("ALTER ROLE {eve} SUPERUSER", ("superuser",)),
        ("ALTER ROLE {eve} CREATEROLE", ("createrole",)),
        ("ALTER ROLE {eve} BYPASSRLS", ("bypassrls",)),
        ("ALTER DATABASE {db} OWNER TO {eve}", ("owner",)),
        ("GRANT pg_write_all_data TO {eve}", ("pg_write_all_data",)),
        ("GRANT pg_write_server_files TO {eve}", ("pg_write_server_files",)),
        ("GRANT pg_execute_server_program TO {eve}", ("pg_execute_server_program",)),
        ("GRANT pg_read_all_data TO {eve}", None),
        ("ALTER ROLE {eve} CREATEDB", None),
        ("ALTER ROLE {eve} SUPERUSER NOLOGIN", None),
    ],
)
def test_a_role_that_logs_in_with_such_a_right_administers_it(
    roles: Roles, statement: str, rights: tuple[str, ...] | None
) -> None:
    assert roles.rights() is None

    roles.do(statement)

    assert roles.rights() == rights


def test_so_does_one_that_can_become_such_a_role(roles: Roles) -> None:
    roles.do("ALTER DATABASE {db} OWNER TO {grp}")
    assert roles.rights() is None

    roles.do("GRANT {grp} TO {eve}")

    assert roles.rights() == ("owner",)


def test_an_ordinary_owner_reads_the_same_as_a_superuser(roles: Roles) -> None:
    """A deployment's own role need be no superuser: the catalog tells everybody who is."""
    roles.do("ALTER DATABASE {db} OWNER TO {eve}")
    ordinary = replace(roles.access, owner=make_conninfo(roles.access.owner, user=roles.eve))

    assert database_administrators(ordinary) == database_administrators(roles.access)
    assert database_administrators(ordinary)[roles.eve] == ("owner",)
