"""The database of an environment and the role of its service: made once, on any server, with no more rights than needed."""

from __future__ import annotations

import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from pytest_deploy.errors import PlatformUnavailable, UsageError
from pytest_deploy.platform.database_address import address_of, programs_of
from pytest_deploy.platform.embedded.database import (
    ExistingDatabase,
    existing_database,
    prepare_database,
    role_of,
    url_of,
)
from pytest_deploy.policy.rollout import Database
from tests.conftest import skip_or_fail_missing
from tests.postgres_server import DEBIAN_15, PostgresServer


@pytest.fixture
def name(postgres: PostgresServer) -> Iterator[str]:
    """A database name of the test's own; database and role are dropped afterwards."""
    name = f"db_{uuid.uuid4().hex[:8]}"
    yield name
    with psycopg.connect(postgres.conninfo(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(f"{name}_svc")))


def test_the_service_logs_in_as_a_role_that_bypasses_nothing(postgres: PostgresServer, name: str) -> None:
    access = prepare_database(postgres.conninfo(), name)
    assert access.role == f"{name}_svc"
    with psycopg.connect(access.service) as connection:
        row = connection.execute(
            "SELECT current_database(), rolname, rolsuper, rolbypassrls, rolcreatedb, rolcreaterole "
            "FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert row == (name, access.role, False, False, False, False)


def test_the_owner_may_make_tables_and_the_service_may_not(postgres: PostgresServer, name: str) -> None:
    access = prepare_database(postgres.conninfo(), name)
    with psycopg.connect(access.owner) as connection:
        connection.execute("CREATE TABLE entry()")
    with psycopg.connect(access.service) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("CREATE TABLE mine()")


def test_what_is_there_is_kept(postgres: PostgresServer, name: str) -> None:
    access = prepare_database(postgres.conninfo(), name)
    with psycopg.connect(access.owner) as connection:
        connection.execute("CREATE TABLE entry()")
    assert prepare_database(postgres.conninfo(), name) == access
    with psycopg.connect(access.owner) as connection:
        assert connection.execute("SELECT to_regclass('entry')::text").fetchone() == ("entry",)


def test_the_owners_string_depends_on_nobodys_variables(
    postgres: PostgresServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in (("PGHOST", postgres.host), ("PGPORT", "5432"), ("PGUSER", postgres.user)):
        monkeypatch.setenv(variable, value)
    access = prepare_database("", name)
    for variable in ("PGHOST", "PGPORT", "PGUSER"):
        monkeypatch.delenv(variable)
    with psycopg.connect(access.owner) as connection:
        assert connection.execute("SELECT current_user::text").fetchone() == ("postgres",)


def test_a_shared_servers_role_has_a_password_for_its_owners_eyes_only(
    postgres: PostgresServer, name: str, tmp_path: Path
) -> None:
    file = tmp_path / "state" / "service-password"
    first = prepare_database(postgres.conninfo(), name, password_file=file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert f":{file.read_text()}@" in first.service
    assert prepare_database(postgres.conninfo(), name, password_file=file) == first
    with psycopg.connect(postgres.conninfo()) as connection:
        stored = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [first.role]).fetchone()
    assert stored is not None
    assert stored[0].startswith("SCRAM-SHA-256$")


def test_a_name_postgresql_would_cut_is_refused(postgres: PostgresServer) -> None:
    with pytest.raises(UsageError, match="too long"):
        prepare_database(postgres.conninfo(), "x" * 60)


def test_a_server_that_does_not_answer_is_named_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(PlatformUnavailable, match="check PGHOST"):
        prepare_database(f"host={tmp_path}", "db")


def test_the_programs_are_of_the_servers_version(postgres: PostgresServer, name: str) -> None:
    assert prepare_database(postgres.conninfo(), name).programs == postgres.programs
    assert programs_of(99) is None


def test_debians_programs_are_found_for_its_server() -> None:
    if not (DEBIAN_15 / "pg_dump").exists():
        skip_or_fail_missing("PostgreSQL 15", "apt-get install postgresql-15")
    found = programs_of(15)
    assert found is not None
    assert (found / "pg_dump").exists()


# --- a server that is there already


@pytest.fixture
def no_variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No variable of libpq is set."""
    for variable in ("PGHOST", "PGDATABASE", "PGUSER", "PGPASSWORD"):
        monkeypatch.delenv(variable, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    "url, pgdatabase, name",
    [
        ("postgresql://deployer@db.example.org/parcels", "", "parcels"),
        ("postgresql://deployer@db.example.org/parcels", "other", "parcels"),
        ("postgresql://deployer@db.example.org", "", "tiny_local"),
        ("postgresql://deployer@db.example.org", "parcels", "parcels"),
        (None, "parcels", "parcels"),
        (None, "", "tiny_local"),
        (None, "postgres", "tiny_local"),  # the server's own: where to ask, never where to deploy to
    ],
)
def test_the_name_is_what_people_say_and_never_the_checkouts(
    no_variables: pytest.MonkeyPatch, url: str | None, pgdatabase: str, name: str
) -> None:
    no_variables.setenv("PGHOST", "db.example.org")
    if pgdatabase:
        no_variables.setenv("PGDATABASE", pgdatabase)
    assert existing_database(url, "tiny_local") == ExistingDatabase(url or "", name)


def test_where_nobody_names_a_server_it_is_the_embedded_one(no_variables: pytest.MonkeyPatch) -> None:
    no_variables.setenv("PGDATABASE", "parcels")
    assert existing_database(None, "tiny_local") is None


def test_a_rehearsal_never_meets_the_environments_own_database(no_variables: pytest.MonkeyPatch) -> None:
    no_variables.setenv("PGHOST", "db.example.org")
    no_variables.setenv("PGDATABASE", "parcels")
    assert existing_database(None, "tiny_local", own="own") == ExistingDatabase("", "own")


def test_each_checkouts_role_fits_into_a_name_of_postgresql() -> None:
    assert role_of("parcels", "0123abcd") == "parcels_0123abcd_svc"
    long = role_of("ü" * 31, "0123abcd")
    assert (len(long.encode()) <= 63, long.endswith("_0123abcd_svc")) == (True, True)


@pytest.fixture
def owner(postgres: PostgresServer, name: str) -> Iterator[str]:
    """The connection string of an ordinary role that owns the database `name`, which somebody else made and lets nobody into."""
    role = f"{name}_owner"
    with psycopg.connect(postgres.conninfo(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEROLE").format(sql.Identifier(role)))
        names = sql.Identifier(name), sql.Identifier(role)
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*names))
        connection.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
    yield f"host={postgres.host} port={postgres.port} user={role}"
    with psycopg.connect(postgres.conninfo(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        for made in (f"{name}_one_svc", f"{name}_two_svc", role):
            connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(made)))


def test_an_ordinary_owner_lets_the_service_of_each_checkout_in(owner: str, name: str, tmp_path: Path) -> None:
    def opened(checkout: str) -> str:
        file = tmp_path / checkout / "service-password"
        return prepare_database(owner, name, role=role_of(name, checkout), password_file=file).service

    first, second = opened("one"), opened("two")
    for service in (first, second):
        with psycopg.connect(service) as connection:
            assert connection.execute("SELECT current_database()::text").fetchone() == (name,)
    assert opened("one") == first, "another checkout's deployment leaves the first one's password alone"


def test_a_role_that_somebody_dropped_gets_the_known_password_again(
    postgres: PostgresServer, owner: str, name: str, tmp_path: Path
) -> None:
    file, role = tmp_path / "service-password", f"{name}_one_svc"
    first = prepare_database(owner, name, role=role, password_file=file)
    with psycopg.connect(postgres.conninfo(name), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
    assert prepare_database(owner, name, role=role, password_file=file) == first
    with psycopg.connect(postgres.conninfo()) as connection:
        stored = connection.execute(
            "SELECT rolpassword IS NOT NULL FROM pg_authid WHERE rolname = %s", [role]
        ).fetchone()
    assert stored == (True,)


def test_who_is_not_let_in_is_told_the_servers_own_reason(postgres: PostgresServer, owner: str, name: str) -> None:
    stranger = f"{name}_stranger"
    with psycopg.connect(postgres.conninfo(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(stranger)))
        try:
            with pytest.raises(PlatformUnavailable, match=f"permission denied for database .{name}"):
                prepare_database(f"host={postgres.host} user={stranger}", name)
        finally:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(stranger)))


# --- the address that a variable holds

VARIABLE = "PARCELS_DATABASE_URL"


def test_the_address_is_policys_own_or_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://deployer:p%40ss%2Fword@db.example.org/parcels?sslmode=require"
    monkeypatch.setenv(VARIABLE, url)

    assert address_of(None) is None
    assert address_of(Database(migrations="m")) is None
    assert address_of(Database(migrations="m", url="postgresql:///parcels")) == "postgresql:///parcels"
    assert address_of(Database(migrations="m", url_variable=VARIABLE)) == url


@pytest.mark.parametrize(
    "value, said",
    [
        ("", "is not set"),
        ("  ", "is not set"),
        ("host=db password=a-secret", "is no URL of a PostgreSQL database"),
        ("postgresql://deployer:100%a-secret@db/parcels", "libpq cannot read this URL"),
        ("postgresql://deployer:a-secret@more@db/parcels", "has an @ or a / that libpq takes for another one"),
        ("postgresql://deployer:a-secret/more@db/parcels", "has an @ or a / that libpq takes for another one"),
        ("postgresql://deployer:1234/a-secret@db/parcels", "has an @ or a / that libpq takes for another one"),
    ],
)
def test_a_variable_that_holds_no_address_is_named_and_nothing_of_it_is_said(
    monkeypatch: pytest.MonkeyPatch, value: str, said: str
) -> None:
    monkeypatch.setenv(VARIABLE, value)

    with pytest.raises(UsageError, match=f"{VARIABLE}, which database.url_variable names, {said}") as refused:
        address_of(Database(migrations="m", url_variable=VARIABLE))

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "host, given, ending",
    [
        ("/run/postgresql", {"sslmode": "require"}, "@/parcels?host=%2Frun%2Fpostgresql&port=5432"),
        ("db.example.org", {}, "@db.example.org:5432/parcels"),
        ("::1", {}, "@[::1]:5432/parcels"),
        (
            "db.example.org",
            {"sslmode": "verify-full", "sslrootcert": "/etc/our ca.pem", "sslkey": "/theirs"},
            "@db.example.org:5432/parcels?sslmode=verify-full&sslrootcert=%2Fetc%2Four%20ca.pem",
        ),
    ],
)
def test_a_service_reaches_its_server_as_its_owner_does(host: str, given: dict[str, str], ending: str) -> None:
    url = url_of("parcels_svc:secret", host, 5432, "parcels", given)

    assert url == f"postgresql://parcels_svc:secret{ending}"
    read = conninfo_to_dict(url)
    assert (read["host"], read.get("sslrootcert")) == (host, given.get("sslrootcert"))
