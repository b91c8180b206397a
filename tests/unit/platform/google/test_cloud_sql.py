"""A backup by Cloud SQL is there when the first migration may begin, or nothing begins; one operation at a time is waited for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from google.auth.credentials import AnonymousCredentials

from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.platform.google.cloud_sql import CloudSqlBackups
from tests import http_stand_in
from tests.google_sql_admin import SqlAdmin, sql_admin


@pytest.fixture
def admin() -> type[SqlAdmin]:
    return sql_admin()


@pytest.fixture
def backups(admin: type[SqlAdmin]) -> Iterator[CloudSqlBackups]:
    nobody = AnonymousCredentials()  # type: ignore[no-untyped-call]  # its gap
    with (
        http_stand_in.serving(admin) as at,
        closing(CloudSqlBackups(nobody, "example", "parcels", at=at, poll_s=0.01)) as found,
    ):
        yield found


def test_a_backup_is_successful_when_it_is_told(backups: CloudSqlBackups, admin: type[SqlAdmin]) -> None:
    made = backups.back_up("before production-1", deadline_s=5)

    assert (made.kind, made.bytes) == ("cloud-sql", 8192)
    assert made.place == "projects/example/instances/parcels/backupRuns/1700000000000"
    assert admin.asked == ["before production-1"]


def test_an_operation_that_is_in_progress_is_waited_for(backups: CloudSqlBackups, admin: type[SqlAdmin]) -> None:
    admin.busy = 3

    backups.back_up("x", deadline_s=5)

    assert len(admin.asked) == 4


def test_one_that_does_not_end_in_time_is_told(backups: CloudSqlBackups, admin: type[SqlAdmin]) -> None:
    admin.busy = 1_000_000

    with pytest.raises(
        PlatformUnavailable, match=r"409 .*already in progress.*; another operation runs on the instance"
    ):
        backups.back_up("x", deadline_s=0.1)


@pytest.mark.parametrize(
    "status, said",
    [(403, "roles/cloudsql.editor on the instance"), (404, "platform.google.sql.instance"), (500, "see the instance's log")],
)  # fmt: skip
def test_a_call_that_is_refused_says_what_mends_it(
    backups: CloudSqlBackups, admin: type[SqlAdmin], status: int, said: str
) -> None:
    admin.refuse = status

    with pytest.raises(PlatformUnavailable) as caught:
        backups.back_up("x", deadline_s=5)

    assert f"backing up projects/example/instances/parcels: {status} no; " in str(caught.value)
    assert said in str(caught.value)


def test_a_backup_that_fails_is_no_backup(backups: CloudSqlBackups, admin: type[SqlAdmin]) -> None:
    admin.backup = ["RUNNING", "FAILED"]

    with pytest.raises(PlatformUnavailable, match=r"is FAILED \(disk full\); nothing was migrated"):
        backups.back_up("x", deadline_s=5)


def test_an_operation_that_fails_is_no_backup(backups: CloudSqlBackups, admin: type[SqlAdmin]) -> None:
    admin.error = {"error": {"errors": [{"code": "ERROR", "message": "no room"}]}}

    with pytest.raises(PlatformUnavailable, match=r"no room.*nothing was migrated"):
        backups.back_up("x", deadline_s=5)


def test_a_backup_that_takes_too_long_is_told_with_its_state(backups: CloudSqlBackups, admin: type[SqlAdmin]) -> None:
    admin.backup = ["RUNNING"]

    with pytest.raises(PlatformUnavailable, match="backup 1700000000000 is RUNNING still"):
        backups.back_up("x", deadline_s=0.2)
