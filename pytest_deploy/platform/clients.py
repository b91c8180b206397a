"""Clients of one environment, as the suites use them: its database, and its service over HTTP."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
import requests

from pytest_deploy.bounded_http import bounded_session, whole_answer
from pytest_deploy.bounded_output import WORDS_BYTES, kept_text
from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.platform.protocol import Admission, DatabaseAccess

HTTP_SECONDS: Final = 30.0
"""How long one HTTP call may take, from its connection to the end of the body, before it counts as no answer."""
ANSWER_BYTES: Final = 16_000_000
"""Of one answer's body at most: a longer one is no answer."""


class Database:
    """The environment's database, as its owner. Every question opens a connection of its own.

    Example:
        >>> database.one("select count(*) from parcels.parcel where sender = %s", "smoke")
        3
    """

    def __init__(self, access: DatabaseAccess) -> None:
        self._access = access

    @property
    def access(self) -> DatabaseAccess:
        """How it is reached, for programs that reach it by themselves: `.url` for those that take a URL (Django's, Alembic's), `.owner` for libpq's."""
        return self._access

    @contextmanager
    def connect(self) -> Iterator[psycopg.Connection]:
        """A connection in autocommit mode. Raises PlatformUnavailable where the server does not answer."""
        try:
            connection = psycopg.connect(self.access.owner, autocommit=True, connect_timeout=10)
        except psycopg.OperationalError as error:
            raise PlatformUnavailable(
                f"the database does not answer: {kept_text(str(error), WORDS_BYTES)}; check that it runs and that the address is right"
            ) from None
        with connection:
            yield connection

    def one(self, query: str, *values: object) -> Any:
        """The first column of the first row; None where there is no row.

        Args:
            query: constant SQL with `%s` in place of each value.
            values: what is bound to them.

        Returns:
            The value as psycopg gives it.

        Raises:
            PlatformUnavailable: the server does not answer.
        """
        with self.connect() as connection:
            row = connection.execute(query.encode(), values).fetchone()
        return None if row is None else row[0]

    def column(self, query: str, *values: object) -> list[Any]:
        """The first column of every row, in the query's order; arguments and errors as for `one`."""
        with self.connect() as connection:
            return [row[0] for row in connection.execute(query.encode(), values).fetchall()]


@dataclass(frozen=True)
class Answer:
    """What the service answered, and how long it took."""

    status: int
    body: Any = field(repr=False)
    """Parsed JSON; text where it is none. It may hold a subject's words: no assertion shows it by itself."""
    seconds: float
    """From the call to the last byte."""
    length: int = field(default=0, repr=False)
    """Bytes of the body."""
    sha256: str = field(default="", repr=False)
    """Of the body as it came, 64 hex."""

    @property
    def ok(self) -> bool:
        """Whether the status is any 2xx."""
        return self.status // 100 == 2  # noqa: PLR2004  # as RFC 9110 names the class


class Service:
    """The deployed service over HTTP at one address: a tag's, or the serving one. Redirects are answers, not followed.

    Example:
        >>> service.call("GET", "/health").status
        200
    """

    def __init__(
        self,
        url: str,
        *,
        on_call: Callable[[str, float, int], None] = lambda label, took_s, status: None,
        admission: Admission | None = None,
    ) -> None:
        """A client of one address.

        Args:
            url: of the service, or of a tag.
            on_call: hears of every call: `GET /health`, the seconds it took, its status, 0 where no whole answer came.
            admission: what lets a call through; None where every one is.
        """
        self.url = url
        self._on_call = on_call
        self._admission = admission
        self._session = bounded_session()

    def call(
        self,
        method: str,
        path: str,
        *,
        json_body: object = None,
        token: str = "",
        headers: Mapping[str, str] | None = None,
        deadline_s: float = HTTP_SECONDS,
        limit_bytes: int = ANSWER_BYTES,
    ) -> Answer:
        """One call over HTTP; an error status is an answer too.

        Args:
            method: `GET`, `POST` and so on.
            path: of the service, with its slash: `/entries/1`.
            json_body: sent as JSON where it is not None.
            token: sent as `Authorization: Bearer TOKEN` where it is not empty.
            headers: sent as they are; nothing is asked to be compressed.
            deadline_s: seconds until the whole answer is here, the connection included.
            limit_bytes: of the body, at most; no more of it is ever held.

        Raises:
            PlatformUnavailable: there is no answer, or the platform's in place of the service's; AnswerTooLate: none that is whole in time; AnswerTooLarge: it is longer.
        """
        admitted = self._admission.headers() if self._admission is not None else {}
        asked = {"Accept-Encoding": "identity", **admitted, **(headers or {})}
        asked |= {"Authorization": f"Bearer {token}"} if token else {}
        began, status = time.monotonic(), 0
        try:
            response, body = whole_answer(
                self._session,
                method,
                self.url + path,
                json=json_body,
                headers=asked,
                deadline_s=deadline_s,
                limit_bytes=limit_bytes,
            )
            status = response.status_code
        finally:
            seconds = time.monotonic() - began
            self._on_call(f"{method} {path}", seconds, status)
        kind = response.headers.get("Content-Type", "")
        if self._admission is not None and (refused := self._admission.refusal(status, kind, body)):
            raise PlatformUnavailable(f"{method} {self.url}{path}: {refused}")
        return Answer(status, _parsed(response, body), seconds, len(body), hashlib.sha256(body).hexdigest())

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()


def _parsed(response: requests.Response, body: bytes) -> Any:
    """JSON, else text."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):  # what is nested without end is no JSON for anybody
        try:
            return body.decode(response.encoding or "utf-8", "replace")
        except LookupError:  # a charset that nobody knows
            return body.decode("utf-8", "replace")
