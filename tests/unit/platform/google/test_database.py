"""A database that infrastructure made is reached as it is: no role and no password is made, and none is given to the service."""

from __future__ import annotations

import psycopg
import pytest

from pytest_deploy.errors import PlatformUnavailable, UsageError
from pytest_deploy.platform.google.database import database_access
from pytest_deploy.policy.google import CloudSql
from tests.postgres_server import PostgresServer

ROLES = "SELECT rolname FROM pg_roles ORDER BY 1"


def test_who_deploys_logs_in_and_the_service_keeps_its_own_log_in(postgres: PostgresServer) -> None:
    with psycopg.connect(postgres.conninfo()) as connection:
        before = connection.execute(ROLES).fetchall()
        sql = CloudSql(instance="parcels", service_role=connection.info.user)
        access = database_access(postgres.conninfo(), sql)
        after = connection.execute(ROLES).fetchall()

    assert (access.service, access.role) == ("", sql.service_role)
    assert before == after
    with psycopg.connect(access.owner) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_role_that_infrastructure_did_not_make_is_told(postgres: PostgresServer) -> None:
    sql = CloudSql(instance="parcels", service_role="nobody@example.iam")

    with pytest.raises(PlatformUnavailable, match=r"has no role nobody@example\.iam"):
        database_access(postgres.conninfo(), sql)


def test_a_server_that_does_not_answer_is_told_with_what_lets_in() -> None:
    sql = CloudSql(instance="parcels", service_role="x")

    with pytest.raises(PlatformUnavailable, match=r"check that the Auth Proxy runs, .*roles/cloudsql\.client"):
        database_access("postgresql://x@127.0.0.1:1/parcels", sql)


def test_a_database_whose_place_policy_does_not_say_is_refused() -> None:
    with pytest.raises(UsageError, match=r"platform\.google\.sql is not said"):
        database_access("postgresql://x@127.0.0.1:1/parcels", None)
