"""A bucket that refuses as a locked one does, before the real fake-gcs-server, which keeps no retention policy.

`LockedBucket` stands in for that alone: a proxy that speaks the JSON API, answers DELETE and overwrite as Google documents
for a bucket with a retention policy (403 `retentionPolicyNotMet`), tells the policy and the storage class, answers
testIamPermissions, and tells the IAM policy to whom may see it. Everything else, objects and preconditions, is the server's own answer; on their way requests and
replies may be delayed, refused and lost.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from tests import http_stand_in
from tests.fake_gcs import fake_gcs

SEVEN_YEARS_S = 2557 * 86_400


class Fate(Enum):
    """What becomes of one request about objects."""

    ANSWERED = "answered"
    BUSY = "503, nothing done"
    TOO_MANY = "429, nothing done"
    CUT = "the connection is cut, nothing done"
    LATE = "done a little later"
    LOST = "done, and the connection is cut"
    DONE_YET_BUSY = "done, and answered 503"


_TRY_AGAIN = {"error": {"message": "try again"}}
_LATE_S = 0.03


@dataclass
class LockedBucket:
    """What the stand-in tells and refuses; change it while it serves."""

    upstream: str
    period_s: int | None = SEVEN_YEARS_S
    locked: bool = True
    storage_class: str = "ARCHIVE"
    effective: str = "2026-01-01T00:00:00Z"
    may: frozenset[str] = frozenset()
    """Permissions this identity holds besides creating and reading."""
    bindings: list[dict[str, Any]] = field(default_factory=list)
    """Of its IAM policy: role, members and, for some, a condition."""
    may_see_bindings: bool = True
    failing: list[int] = field(default_factory=list)
    """Statuses to answer the next requests with, before anything is done."""
    losing: int = 0
    """Replies to uploads to lose after the server has stored them."""
    refused: list[str] = field(default_factory=list)
    """Each replace and delete that was asked for."""
    asked: list[str] = field(default_factory=list)
    """Every request: method and path."""
    down: bool = False
    """No answer at all."""
    fate: Callable[[], Fate] = lambda: Fate.ANSWERED
    """Asked for each request about objects."""
    fates: Counter[Fate] = field(default_factory=Counter)
    """How often each was met."""

    def serving(self) -> AbstractContextManager[str]:
        """The address that STORAGE_EMULATOR_HOST is set to."""
        return http_stand_in.serving(type("Handler", (_Handler,), {"bucket": self}))


class _Handler(BaseHTTPRequestHandler):
    bucket: LockedBucket
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        path, query = self._path()
        if path.endswith("/iam/testPermissions"):
            wanted = query.get("permissions", [])
            return self._answer(200, {"permissions": [one for one in wanted if one in self._holds()]})
        if path.startswith("/storage/v1/b/") and path.endswith("/iam") and path.count("/") == 5:
            return self._iam_policy(query.get("optionsRequestedPolicyVersion", ["1"])[-1])
        if path.startswith("/storage/v1/b/") and path.count("/") == 4:
            return self._metadata()
        return self._pass_on()

    def do_POST(self) -> None:
        path, query = self._path()
        if path.startswith("/upload/") and query.get("ifGenerationMatch") != ["0"]:
            return self._refuse("overwritten")  # the stand-in takes no upload that could replace anything
        if "/rewriteTo/" in path or "/compose" in path or "/copyTo/" in path or path.endswith("/lockRetentionPolicy"):
            return self._refuse("overwritten")
        return self._pass_on(losing=path.startswith("/upload/"))

    def do_PUT(self) -> None:
        self._refuse("overwritten")

    def do_PATCH(self) -> None:
        self._refuse("overwritten")

    def do_DELETE(self) -> None:
        self._refuse("deleted")

    def _path(self) -> tuple[str, dict[str, list[str]]]:
        split = urlsplit(self.path)
        self.bucket.asked.append(f"{self.command} {split.path}")
        return split.path, parse_qs(split.query)

    def _holds(self) -> frozenset[str]:
        return self.bucket.may | {"storage.objects.create", "storage.objects.get", "storage.objects.list"}

    def _iam_policy(self, version: str) -> None:
        """As Google documents buckets.getIamPolicy: conditions are told to whom asks for version 3, else nothing is."""
        if self._disturbed():
            return
        conditional = any("condition" in binding for binding in self.bucket.bindings)
        if not self.bucket.may_see_bindings:
            message = "the caller does not have storage.buckets.getIamPolicy access to the Google Cloud Storage bucket."
            self._answer(403, {"error": {"code": 403, "message": message}})
        elif conditional and version != "3":
            self._answer(400, {"error": {"code": 400, "message": "requested policy version must be 3"}})
        else:
            told = {"kind": "storage#policy", "etag": "CAE=", "version": 3 if conditional else 1}
            self._answer(200, told | {"bindings": self.bucket.bindings})

    def _metadata(self) -> None:
        if self._disturbed():
            return
        answer = requests.get(f"{self.bucket.upstream}{self.path}", timeout=30)
        if answer.status_code != 200:
            self._answer(answer.status_code, {"error": {"code": answer.status_code, "message": "Not Found"}})
            return
        told: dict[str, Any] = answer.json() | {"storageClass": self.bucket.storage_class}
        if self.bucket.period_s is not None:
            told["retentionPolicy"] = {
                "retentionPeriod": str(self.bucket.period_s),
                "effectiveTime": self.bucket.effective,
                "isLocked": self.bucket.locked,
            }
        self._answer(200, told)

    def _refuse(self, what: str) -> None:
        """403, as Google documents it: who may not is told so; who may is stopped by the retention policy."""
        self._read()
        self._path()
        self.bucket.refused.append(f"{self.command} {self.path}")
        name = urlsplit(self.path).path
        if "storage.objects.delete" in self.bucket.may:
            reason = "retentionPolicyNotMet"
            message = f"Object '{name}' is subject to bucket's retention policy and cannot be {what} until 2033-11-26"
        else:
            reason, message = "forbidden", f"the caller does not have storage.objects.delete access to {name}"
        self._answer(
            403, {"error": {"code": 403, "message": message, "errors": [{"reason": reason, "message": message}]}}
        )

    def _disturbed(self) -> bool:
        if self.bucket.down:
            self._read()
            self.close_connection = True
            return True
        if self.bucket.failing:
            self._read()
            status = self.bucket.failing.pop(0)
            self._answer(status, _TRY_AGAIN)
            return True
        return False

    def _pass_on(self, *, losing: bool = False) -> None:
        if self._disturbed():
            return
        fate = self.bucket.fate()
        self.bucket.fates[fate] += 1
        body = self._read()
        if fate in (Fate.BUSY, Fate.TOO_MANY):
            self._answer(503 if fate is Fate.BUSY else 429, _TRY_AGAIN)
            return
        if fate is Fate.CUT:
            self.close_connection = True
            return
        if fate is Fate.LATE:
            time.sleep(_LATE_S)
        kept = {name: value for name, value in self.headers.items() if name.lower() in {"content-type", "range"}}
        answer = requests.request(
            self.command, f"{self.bucket.upstream}{self.path}", data=body, headers=kept, timeout=30
        )
        if losing and self.bucket.losing:
            self.bucket.losing -= 1
            fate = Fate.LOST
        if fate is Fate.LOST:
            self.close_connection = True
        elif fate is Fate.DONE_YET_BUSY:
            self._answer(503, _TRY_AGAIN)
        else:
            self._answer_as(answer)

    def _answer_as(self, answer: requests.Response) -> None:
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if name.lower() == "content-type" or name.lower().startswith("x-goog-"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def _read(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@contextmanager
def locked_bucket(bucket: str, *more: str) -> Iterator[tuple[LockedBucket, str]]:
    """The stand-in before a real server with empty buckets, and its address."""
    with fake_gcs(bucket, *more) as upstream:
        standing = LockedBucket(upstream)
        with standing.serving() as url:
            yield standing, url
