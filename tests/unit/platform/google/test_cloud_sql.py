"""A backup by Cloud SQL is there when the first migration may begin, or nothing begins; one operation at a time is waited for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials

from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.platform.google.cloud_sql import CloudSqlBackups
from tests import http_stand_in
from tests.http_stand_in import JsonHandler

INSTANCE = "/v1/projects/example/instances/parcels"
BUSY = "Operation failed because another operation was already in progress. Try your request after the current operation is complete."


class SqlAdmin(JsonHandler):
    """BackupRuns and operations of Cloud SQL Admin, as its REST reference has them."""

    busy: int
    refuse: int
    operation: list[str]
    backup: list[str]
    asked: list[str]
    error: dict[str, Any]

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["description"])
        kind = type(self)
        if kind.busy:
            kind.busy -= 1
            reason = [{"reason": "operationInProgress", "message": BUSY}]
            return self.answer(409, {"error": {"code": 409, "message": BUSY, "errors": reason}})
        if kind.refuse:
            return self.answer(kind.refuse, {"error": {"code": kind.refuse, "message": "no"}})
        assert self.path == f"{INSTANCE}/backupRuns"
        return self.answer(200, self._operation())

    def do_GET(self) -> None:
        if self.path == "/v1/projects/example/operations/op-1":
            return self.answer(200, self._operation())
        assert self.path == f"{INSTANCE}/backupRuns/1700000000000"
        status = self.backup.pop(0) if len(self.backup) > 1 else self.backup[0]
        failed = {"error": {"code": "ERROR", "message": "disk full"}} if status == "FAILED" else {}
        size = {"maxChargeableBytes": "8192"} if status == "SUCCESSFUL" else {}
        return self.answer(200, {"id": "1700000000000", "status": status, **failed, **size})

    def _operation(self) -> dict[str, Any]:
        status = self.operation.pop(0) if len(self.operation) > 1 else self.operation[0]
        context = {"backupContext": {"backupId": "1700000000000"}} if status == "DONE" and not self.error else {}
        return {"name": "op-1", "operationType": "BACKUP_VOLUME", "status": status, **context, **self.error}


@pytest.fixture
def admin() -> type[SqlAdmin]:
    first = {"busy": 0, "refuse": 0, "operation": ["PENDING", "RUNNING", "DONE"], "backup": ["RUNNING", "SUCCESSFUL"]}
    return type("Admin", (SqlAdmin,), {**first, "asked": [], "error": {}})


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
