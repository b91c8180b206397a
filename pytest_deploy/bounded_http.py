"""HTTP with one deadline for the whole of a call (connection, header, body), and a cap for what is taken of its body.

The timeouts of `requests` count from one received byte to the next: a service that sends a byte now and then holds a caller
for ever. Here each wait for bytes is as long as is left. Not bounded is the look-up of a host's name, which the
system does in its own time.
"""

from __future__ import annotations

import hashlib
import io
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from pytest_deploy.errors import PlatformUnavailable

_CHUNK: Final = 64 * 1024

_UNTIL: Final[ContextVar[float | None]] = ContextVar("until", default=None)
"""The monotonic clock at which the running call ends."""


class AnswerTooLate(PlatformUnavailable):
    """The answer was not whole when its time was over."""


class AnswerTooLarge(PlatformUnavailable):
    """The answer's body is longer than was agreed; the rest of it was not read."""


def whole_answer(
    session: requests.Session, method: str, url: str, *, deadline_s: float, limit_bytes: int, **asked: Any
) -> tuple[requests.Response, bytes]:
    """An answer, and all of its body as it came.

    Args:
        session: one of `bounded_session`.
        method: `GET`, `POST` and so on.
        url: in full.
        deadline_s: seconds until the last byte is here, the connection included.
        limit_bytes: of the body, at most; no more than that is ever held.
        asked: `headers`, `json`, `data`, as requests takes them. Redirects are not followed.

    Raises:
        AnswerTooLate: it is not whole in time.
        AnswerTooLarge: the body is longer.
        PlatformUnavailable: there is no answer, or half of one.
    """
    until = time.monotonic() + deadline_s
    body = bytearray()
    try:
        with (
            _ends_at(until),
            session.request(method, url, timeout=deadline_s, allow_redirects=False, stream=True, **asked) as response,
        ):
            while chunk := response.raw.read1(min(_CHUNK, limit_bytes + 1 - len(body)), decode_content=False):
                body += chunk
                if len(body) > limit_bytes:
                    raise AnswerTooLarge(
                        f"{method} {url}: the answer is longer than {limit_bytes:,} bytes ({_claimed(response)}; SHA-256 of"
                        f" the first {limit_bytes:,}: {hashlib.sha256(body[:limit_bytes]).hexdigest()}); the rest was not read"
                    )
                if time.monotonic() > until:
                    raise TimeoutError
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        if time.monotonic() > until or isinstance(error, requests.Timeout | TimeoutError):
            raise AnswerTooLate(f"{method} {url}: no whole answer within {deadline_s:g} s") from None
        raise PlatformUnavailable(f"{method} {url}: no answer ({type(error).__name__})") from None
    return response, bytes(body)


def _claimed(response: requests.Response) -> str:
    length = response.headers.get("Content-Length", "")
    return f"{int(length):,} by its header" if length.isdecimal() and len(length) < 20 else "its header names no length"  # noqa: PLR2004  # digits


@contextmanager
def _ends_at(until: float) -> Iterator[None]:
    """Within the block every call of a session of `bounded_session` ends when the monotonic clock says so."""
    token = _UNTIL.set(until)
    try:
        yield
    finally:
        _UNTIL.reset(token)


def bounded_session() -> requests.Session:
    """A session whose calls keep to the deadline of `whole_answer`."""
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter())
    return session


class _Received(io.RawIOBase):
    """What a socket receives, waited for as long as is left."""

    def __init__(self, source: socket.socket) -> None:
        self._source = source
        # The socket counts the files made of it: it stays open for the body when the connection is given up.
        self._file: Any = source.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        until = _UNTIL.get()
        if until is not None:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError("the call took too long")
            self._source.settimeout(left)
        received: int | None = self._file.readinto(buffer)
        return received

    def close(self) -> None:
        self._file.close()
        super().close()


class _Socket:
    """A socket in all but this: what is made of it to be read keeps to the deadline."""

    def __init__(self, source: socket.socket) -> None:
        self._source = source

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def makefile(self, *_: object, **__: object) -> io.BufferedReader:
        return io.BufferedReader(_Received(self._source))


class _Connection(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        self.sock: Any = _Socket(self.sock)


class _SecureConnection(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        self.sock: Any = _Socket(self.sock)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
