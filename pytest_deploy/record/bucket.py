"""A record's objects in a bucket of Google Cloud Storage, through Google's own client.

`if_generation_match=0` is create-if-absent. A reply may be lost and the client asks again, so a name that is taken after a
lost reply may be this very write: the stored bytes tell. Every wait is bounded; what cannot be had is StoreUnavailable.
"""

from __future__ import annotations

import base64
import hashlib
import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from pytest_deploy.errors import StoreUnavailable, UsageError
from pytest_deploy.policy.storage import LOOPBACK
from pytest_deploy.record.store import Exists, Missing, check_name

EMULATOR: Final = "STORAGE_EMULATOR_HOST"
"""Google's client asks this address in place of Google's own."""
_NO_THREAD: Final = "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"
"""Without it the client asks, in a thread of its own, for names that only traces would hold."""
_CALL_S: Final = 10.0
"""Seconds one attempt may take."""
_ALL_S: Final = 20.0
"""Seconds all attempts may take together: the log asks twice, and a lease lasts 60."""
_TRANSIENT: Final = frozenset({408, 429, 500, 502, 503, 504})
_PERMISSIONS: Final = (
    "storage.objects.delete",
    "storage.buckets.delete",
    "storage.buckets.update",
    "storage.buckets.setIamPolicy",
)
"""What whoever writes the record must not hold: each of them, by itself or one step on, ends what was kept."""

_Found = TypeVar("_Found")


class Bucket:
    """Objects under a path of one bucket: a Store."""

    def __init__(self, bucket: str, prefix: str, *, call_s: float = _CALL_S, all_s: float = _ALL_S) -> None:
        """`prefix`: a path without slashes at its ends; empty for the bucket's top. Nothing is asked yet."""
        self.url = f"gs://{bucket}/{prefix}".rstrip("/")
        self._name = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._call_s = call_s
        self._all_s = all_s
        self._seen = False  # whether the bucket answered, so that a missing object is the object's matter

    def create(self, name: str, data: bytes) -> None:
        check_name(name)
        tries = _Tries()

        def upload() -> None:
            self._bucket.blob(self._prefix + name).upload_from_string(
                data, content_type="application/octet-stream", if_generation_match=0, **self._bounds(tries)
            )

        try:
            self._ask("written", name, upload)
        except Exists:
            if not (tries.lost and self.get(name) == data):
                raise

    def get(self, name: str) -> bytes:
        check_name(name)

        def download() -> bytes:
            content: bytes = self._bucket.blob(self._prefix + name).download_as_bytes(**self._bounds())
            return content

        try:
            return self._ask("read", name, download)
        except Missing:
            # A missing object in a missing bucket is no missing object: an empty log is begun anew, a lost one never.
            if not self._seen:
                next(self.names("log/"), None)
                self._seen = True
            raise

    def names(self, prefix: str) -> Iterator[str]:
        for name, _ in self.listed(prefix):
            yield name

    def listed(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Every name that starts with `prefix`, sorted, with the MD5 of its bytes in hex."""
        pages = self._ask("listed", prefix, lambda: self._listing(prefix))
        while True:
            page = self._ask("listed", prefix, lambda: next(pages, None))
            if page is None:
                self._seen = True
                return
            for blob in page:
                name = blob.name.removeprefix(self._prefix)
                if not any(part.startswith(".") for part in name.split("/")):
                    yield name, base64.b64decode(blob.md5_hash or "").hex()

    def holding(self) -> BucketRetention:
        """How the bucket keeps what it is given, read back from the API. Raises StoreUnavailable."""

        def read() -> BucketRetention:
            bucket = self._bucket
            bucket.reload(**self._bounds())
            may = bucket.test_iam_permissions(list(_PERMISSIONS), **self._bounds())
            return BucketRetention(
                locked=bool(bucket.retention_policy_locked),
                period_s=bucket.retention_period,
                effective=bucket.retention_policy_effective_time,
                storage_class=bucket.storage_class or "",
                may=tuple(sorted(may)),
            )

        return self._ask("read", "", read)

    def _listing(self, prefix: str) -> Iterator[Any]:
        listing = self._bucket.list_blobs(
            prefix=self._prefix + prefix, fields="items(name,md5Hash),nextPageToken", **self._bounds()
        )
        pages: Iterator[Any] = iter(listing.pages)
        return pages

    @cached_property
    def _bucket(self) -> Any:
        from google.cloud.storage import Client

        host = os.environ.get(EMULATOR)
        if host and urlsplit(host if "//" in host else f"//{host}").hostname not in LOOPBACK:
            raise UsageError(
                f"{EMULATOR}={host} is no loopback address: a record is sent to Google or stays on this machine"
            )
        # No project: objects are found by their bucket alone.
        os.environ.setdefault(_NO_THREAD, "true")
        client = Client(project=os.environ.get("GOOGLE_CLOUD_PROJECT", "-"))
        weakref.finalize(self, client.close)  # its connections end with this, not with whatever is collected later
        return client.bucket(self._name)

    def _bounds(self, tries: _Tries | None = None) -> dict[str, Any]:
        """How long an attempt may take, and which errors are worth another."""
        from google.api_core.retry import Retry

        again = Retry(predicate=tries or _Tries(), initial=0.2, maximum=5.0, multiplier=2.0, timeout=self._all_s)
        return {"timeout": self._call_s, "retry": again}

    def _ask(self, what: str, name: str, call: Callable[[], _Found]) -> _Found:
        """One call about an object, or the bucket itself, its errors in the record's own words."""
        import requests
        from google.api_core import exceptions as api
        from google.auth.exceptions import GoogleAuthError
        from google.cloud.storage.exceptions import DataCorruption

        place = f"{self.url}/{name}".rstrip("/")
        taken = f"{place} exists; nothing in a record is replaced"
        try:
            return _released(call)
        except api.PreconditionFailed:
            raise Exists(taken) from None
        except api.NotFound:
            if what == "read" and name:
                raise Missing(f"{place} does not exist") from None
            raise StoreUnavailable(
                f"there is no bucket gs://{self._name}, or this identity may not see it: make it, or mend record.bucket"
            ) from None
        except api.Forbidden as error:
            body = getattr(getattr(error, "response", None), "text", "") or str(error)
            if what == "written" and "retentionPolicyNotMet" in body:
                raise Exists(taken) from None
            raise StoreUnavailable(
                f"{place} cannot be {what}: this identity may not ({_said(error)}); grant it storage.objectCreator, "
                "storage.objectViewer and storage.bucketViewer on the bucket, no more"
            ) from error
        except (api.Unauthorized, GoogleAuthError) as error:
            raise StoreUnavailable(
                f"{place} cannot be {what}: no valid credentials ({_said(error)}); log in, or let CI's identity do it"
            ) from error
        except DataCorruption as error:
            raise StoreUnavailable(f"{place} was damaged on its way ({_said(error)}); run again") from error
        except (api.GoogleAPIError, requests.RequestException, ConnectionError, TimeoutError) as error:
            raise StoreUnavailable(
                f"{place} cannot be {what}: no answer within {self._all_s:g} s ({_said(error)}); see to the network and to "
                "the state of Google Cloud Storage, then run again"
            ) from error


def emulated() -> bool:
    """Whether Google's client would ask a stand-in."""
    return bool(os.environ.get(EMULATOR))


def md5_hex(data: bytes) -> str:
    """The sum that Cloud Storage lists beside each object; it finds damage and nothing more."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


class _Tries:
    """Which errors are worth another try, and whether there was one whose reply may have been lost."""

    def __init__(self) -> None:
        self.lost = False

    def __call__(self, error: Exception) -> bool:
        import requests
        from google.auth.exceptions import TransportError

        again = isinstance(error, requests.RequestException | ConnectionError | TransportError)
        status = getattr(error, "code", None) or getattr(getattr(error, "response", None), "status_code", None)
        again = again or status in _TRANSIENT
        self.lost |= again
        _release(error)
        return again


def _released(call: Callable[[], _Found]) -> _Found:
    try:
        return call()
    except Exception as error:
        _release(error)
        raise


def _release(error: Exception) -> None:
    """Give the connection of a refused answer back: the client leaves it open, and takes a new one for each next request."""
    import requests

    response = getattr(error, "response", None)
    if isinstance(response, requests.Response):
        with suppress(requests.RequestException, RuntimeError):
            response.content  # noqa: B018 -- what is read is given back
        response.close()


def _said(error: Exception) -> str:
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {str(cause).strip().splitlines()[0][:200] if str(cause).strip() else 'no words'}"


@dataclass(frozen=True)
class BucketRetention:
    """How a bucket keeps what it is given: read back from its API, never what somebody configured."""

    locked: bool
    period_s: int | None
    """Seconds from an object's creation; None where the bucket has no retention policy."""
    effective: datetime | None
    """UTC; since when the policy holds."""
    storage_class: str
    """Of new objects."""
    may: tuple[str, ...]
    """Of the permissions that end what was kept, those that this identity holds."""
