"""A backup by Cloud SQL itself, through its Admin API as published (REST, v1): asked for, and waited for until it is SUCCESSFUL.

An instance does one operation at a time and answers 409 meanwhile; nothing tells before whether one runs, so the call itself is repeated.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import requests
from google.auth import exceptions as sign_in_errors
from google.auth.credentials import Credentials
from google.auth.transport.requests import AuthorizedSession

from pytest_deploy.bounded_output import WORDS_BYTES, kept_text
from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.platform.protocol import PlatformBackup

GOOGLES: Final = "https://sqladmin.googleapis.com"
KIND: Final = "cloud-sql"
_CALL_S: Final = 20.0
_POLL_S: Final = 2.0
_BUSY: Final = frozenset({409, 429, 503})
_ENDED_BADLY: Final = frozenset({"FAILED", "SKIPPED", "DELETION_PENDING", "DELETION_FAILED", "DELETED"})
_REMEDIES: Final = {
    401: "the sign-in of this run has ended: sign in again",
    403: "give the identity of this run roles/cloudsql.editor on the instance, and see that sqladmin.googleapis.com is enabled",
    404: "there is no such instance: mend platform.google.sql.instance",
    409: "another operation runs on the instance for longer than was waited: see which one (`gcloud sql operations list`), then run again",
}


class CloudSqlBackups:
    """On-demand backups of one instance."""

    def __init__(
        self,
        credentials: Credentials,
        project: str,
        instance: str,
        *,
        at: str = GOOGLES,
        poll_s: float = _POLL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Asks nothing yet; `at` is who answers for the Admin API."""
        self._session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]  # its gap
        self._project = f"{at}/v1/projects/{project}"
        self._instance = f"{self._project}/instances/{instance}"
        self._name = f"projects/{project}/instances/{instance}"
        self._poll_s = poll_s
        self._clock = clock

    def back_up(self, description: str, *, deadline_s: float) -> PlatformBackup:
        """A backup that can be restored from. Raises PlatformUnavailable where it is not SUCCESSFUL within `deadline_s` seconds."""
        until = self._clock() + deadline_s
        doing = f"backing up {self._name}"
        asked = {"description": description, "type": "ON_DEMAND"}
        operation = self._call(doing, "POST", f"{self._instance}/backupRuns", until, json=asked)
        while operation.get("status") != "DONE":
            self._wait(doing, until, f"its operation is {operation.get('status')}")
            operation = self._call(doing, "GET", f"{self._project}/operations/{operation['name']}", until)
        if errors := (operation.get("error") or {}).get("errors"):
            raise PlatformUnavailable(f"{doing}: {_words(errors)}; nothing was migrated; see the instance's log")
        number = (operation.get("backupContext") or {}).get("backupId")
        if not number:
            raise PlatformUnavailable(f"{doing}: its operation is done and names no backup; see the instance's backups")
        while True:
            run = self._call(doing, "GET", f"{self._instance}/backupRuns/{number}", until)
            if run.get("status") == "SUCCESSFUL":
                return PlatformBackup(
                    KIND, f"{self._name}/backupRuns/{number}", int(run.get("maxChargeableBytes") or 0)
                )
            if run.get("status") in _ENDED_BADLY:
                raise PlatformUnavailable(
                    f"{doing}: backup {number} is {run['status']} ({_words(run.get('error'))}); nothing was migrated; run again"
                )
            self._wait(doing, until, f"backup {number} is {run.get('status')}")

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()  # type: ignore[no-untyped-call]  # its gap

    def _call(self, doing: str, method: str, url: str, until: float, **asked: Any) -> dict[str, Any]:
        while True:
            try:
                answer = self._session.request(method, url, timeout=_CALL_S, max_allowed_time=_CALL_S, **asked)  # type: ignore[no-untyped-call]  # its gap
            except (requests.RequestException, sign_in_errors.TransportError) as error:
                raise PlatformUnavailable(
                    f"{doing}: Cloud SQL does not answer ({type(error).__name__}); run again when it does"
                ) from None
            except sign_in_errors.GoogleAuthError:
                raise PlatformUnavailable(f"{doing}: {_REMEDIES[401]}") from None
            if answer.status_code not in _BUSY or self._clock() + self._poll_s > until:
                break
            time.sleep(self._poll_s)
        try:
            said = answer.json()
        except ValueError:
            said = {}
        if answer.ok and isinstance(said, dict):
            return said
        told = said.get("error", {}) if isinstance(said, dict) else {}
        remedy = _REMEDIES.get(answer.status_code, "see the instance's log")
        raise PlatformUnavailable(f"{doing}: {answer.status_code} {_words(told)}; {remedy}")

    def _wait(self, doing: str, until: float, state: str) -> None:
        if self._clock() + self._poll_s > until:
            raise PlatformUnavailable(f"{doing}: {state} still; nothing was migrated; run again when it is done")
        time.sleep(self._poll_s)


def _words(said: object) -> str:
    text = said.get("message") if isinstance(said, dict) else said
    return kept_text(" ".join(str(text or "no words").split()), WORDS_BYTES)
