"""A record in a bucket of Google Cloud Storage, through Google's own client, and the copy of it on this machine.

`if_generation_match=0` is create-if-absent. A reply may be lost and the client asks again, so a name that is taken after a
lost reply may be this very write: the stored bytes tell. Every wait is bounded; what cannot be had is StoreUnavailable.
"""

from __future__ import annotations

import base64
import hashlib
import os
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from pytest_deploy.errors import RecordTampered, StoreUnavailable, UsageError
from pytest_deploy.policy.storage import LOOPBACK
from pytest_deploy.record import atomic_file, iam, stored_file
from pytest_deploy.record.store import Exists, FolderStore, Missing, check_name, unavailable

EMULATOR: Final = "STORAGE_EMULATOR_HOST"
"""Google's client asks this address in place of Google's own."""
_NO_THREAD: Final = "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"
"""Without it the client asks, in a thread of its own, for names that only traces would hold."""
_LONGEST_MARK: Final = 4096
"""Bytes."""
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

_GRANT: Final = "storage.objectCreator, storage.objectViewer and storage.bucketViewer on the bucket, and no role that may delete or say who may"

_Found = TypeVar("_Found")


class Bucket:
    """Objects under a path of one bucket: a Store."""

    def __init__(
        self, bucket: str, prefix: str, *, call_s: float = _CALL_S, all_s: float = _ALL_S, stand_in: str = ""
    ) -> None:
        """`prefix`: a path without slashes at its ends; empty for the bucket's top. `stand_in`: an address asked in place of Google's. Nothing is asked yet."""
        self.url = f"gs://{bucket}/{prefix}".rstrip("/")
        self._name = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._call_s = call_s
        self._all_s = all_s
        self._stand_in = stand_in
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
        return (name for name, _ in self.listed(prefix))

    def listed(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Every name that starts with `prefix`, sorted, with the MD5 of its bytes in hex."""
        pages: Iterator[Any] = self._ask("listed", prefix, lambda: iter(self._listing(prefix).pages))
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

    def administrators(self) -> dict[str, tuple[str, ...]]:
        """Who may delete from the bucket or change who may, by its own IAM policy, each with their roles. Raises StoreUnavailable."""
        grant = "a role with storage.buckets.getIamPolicy, which reads who administers it"
        asked = {"requested_policy_version": iam.VERSION, **self._bounds()}
        policy = self._ask("asked", "", lambda: self._bucket.get_iam_policy(**asked), grant=grant)
        return iam.administrators(iam.Binding(binding["role"], binding["members"]) for binding in policy.bindings)

    def _listing(self, prefix: str) -> Any:
        fields = "items(name,md5Hash),nextPageToken"
        return self._bucket.list_blobs(prefix=self._prefix + prefix, fields=fields, **self._bounds())

    @cached_property
    def _bucket(self) -> Any:
        from google.cloud.storage import Client

        host = self._stand_in or os.environ.get(EMULATOR)
        if host and urlsplit(host if "//" in host else f"//{host}").hostname not in LOOPBACK:
            raise UsageError(
                f"{host} ({EMULATOR}) is no loopback address: a record is sent to Google or stays on this machine"
            )
        # No project: objects are found by their bucket alone.
        os.environ.setdefault(_NO_THREAD, "true")
        project = os.environ.get("GOOGLE_CLOUD_PROJECT", "-")
        if self._stand_in:
            from google.auth.credentials import AnonymousCredentials

            options = {"api_endpoint": self._stand_in}
            nobody = AnonymousCredentials()  # type: ignore[no-untyped-call]  # its gap
            client = Client(project=project, credentials=nobody, client_options=options)
        else:
            client = Client(project=project)
        weakref.finalize(self, client.close)  # its connections end with this, not with whatever is collected later
        return client.bucket(self._name)

    def _bounds(self, tries: _Tries | None = None) -> dict[str, Any]:
        """How long an attempt may take, and which errors are worth another."""
        from google.api_core.retry import Retry

        again = Retry(predicate=tries or _Tries(), initial=0.2, maximum=5.0, multiplier=2.0, timeout=self._all_s)
        return {"timeout": self._call_s, "retry": again}

    def _ask(self, what: str, name: str, call: Callable[[], _Found], *, grant: str = _GRANT) -> _Found:
        """One call about an object, or the bucket itself, its errors in the record's own words; `grant` is what it takes."""
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
                f"{place} cannot be {what}: this identity may not ({_said(error)}); grant it {grant}"
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


# --- The copy: everything that reads files reads it.
#
# An object never changes, so a copy of it is as good as the object, and the copy only ever lacks some. What is made is made
# in the bucket first. The copy is evidence of nothing by itself: what lies in it and not in the bucket is refused.

MARK: Final = ".copy-of"
"""The file that says of a folder whose copy it is; its name starts with a dot, so it is no part of the record."""
UNFINISHED: Final = ".unfinished"
_AT_ONCE: Final = 8


class MirroredStore:
    """A Store: `bucket` is the record, `path` its copy."""

    def __init__(self, bucket: Bucket, path: Path) -> None:
        """Raises UsageError where the folder is a record by itself, or the copy of another bucket."""
        self.bucket = bucket
        self.path = path
        # A stray rest of a write lies in no folder that is sealed: the bucket has no such object.
        self._copy = FolderStore(path, unfinished=path / UNFINISHED)
        copied = copy_of(path)
        if copied not in ("", bucket.url) or (not copied and (path / "log").is_dir()):
            whose = f"the copy of {copied}" if copied else "a record by itself"
            raise UsageError(
                f"{path} is {whose}, and the record lies in {bucket.url}: move the folder away, then run again"
            )

    def create(self, name: str, data: bytes) -> None:
        self.bucket.create(name, data)
        self._keep(name, data)

    def get(self, name: str) -> bytes:
        try:
            return self._copy.get(name)
        except Missing:
            return self._fetch(name)

    def names(self, prefix: str) -> Iterator[str]:
        return self.bucket.names(prefix)

    def folder(self, prefix: str = "") -> Path:
        """See Store.folder: one listing, and what is new."""
        # In this order: what another process makes meanwhile is in the bucket before it is in the copy.
        have = {name for name in self._copy.names(prefix) if not _convenience(name)}
        listed = dict(self.bucket.listed(prefix))
        if strange := sorted(have - listed.keys()):
            raise RecordTampered(
                f"{self.path / strange[0]} is not in {self.bucket.url}: the copy is not of it, or somebody added to it; "
                "move the folder away, then run again"
            )
        with ThreadPoolExecutor(_AT_ONCE) as fetching:
            list(fetching.map(self._fetch, sorted(listed.keys() - have)))
        return self.path

    def compare(self) -> list[str]:
        """The objects whose bytes in the copy are not those in the bucket; reads the whole copy."""
        return [
            name
            for name, md5 in self.bucket.listed("")
            if not _convenience(name) and md5_hex(self._copy.get(name)) != md5
        ]

    def _fetch(self, name: str) -> bytes:
        data = self.bucket.get(name)
        self._keep(name, data)
        return data

    def _keep(self, name: str, data: bytes) -> None:
        """Lay an object into the copy; another process may have been faster."""
        try:
            with suppress(FileExistsError):
                atomic_file.create(self.path / MARK, f"{self.bucket.url}\n".encode())
            with suppress(Exists):
                self._copy.create(name, data)
        except OSError as error:
            raise StoreUnavailable(f"{self.path} cannot be written: {error.strerror}; see to the disk") from error


def copy_of(path: Path) -> str:
    """The bucket that a folder is a copy of; empty where it is none."""
    with suppress(FileNotFoundError, NotADirectoryError):
        try:
            return stored_file.read(path / MARK, _LONGEST_MARK).decode("utf-8", "replace").strip()
        except stored_file.NotOfARecord as error:
            raise unavailable(path / MARK, error, "read") from error
    return ""


def _convenience(name: str) -> bool:
    """Whether a name is that of a plain copy of the trust set, or of the second verifier: on disk only, and no evidence."""
    return name == "verify.sh" or (name.startswith("trust/") and name.count("/") == 1)
