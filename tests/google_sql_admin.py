"""Cloud SQL Admin on this machine: backup runs and operations of one instance, as its REST reference has them."""

from __future__ import annotations

import json
from typing import Any

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


def sql_admin() -> type[SqlAdmin]:
    """One whose backups are SUCCESSFUL after a while; change it while it answers."""
    first = {"busy": 0, "refuse": 0, "operation": ["PENDING", "RUNNING", "DONE"], "backup": ["RUNNING", "SUCCESSFUL"]}
    return type("Admin", (SqlAdmin,), {**first, "asked": [], "error": {}})
