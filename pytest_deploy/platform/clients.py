"""Clients of one environment, as the suites use them: its database, and its service over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import requests

from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.platform.protocol import DatabaseAccess

HTTP_SECONDS = 30.0
"""How long one HTTP call may take before it counts as no answer."""


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
                f"the database does not answer: {error}; check that it runs and that the address is right"
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
        session: requests.Session | None = None,
        *,
        on_call: Callable[[str, float, int], None] = lambda label, took_s, status: None,
    ) -> None:
        """`on_call` hears of every call: `GET /health`, the seconds it took, its status, 0 where no answer came."""
        self.url = url
        self._on_call = on_call
        self._session = session or requests.Session()

    def call(
        self,
        method: str,
        path: str,
        *,
        json_body: object = None,
        token: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One call over HTTP; an error status is an answer too.

        Args:
            method: `GET`, `POST` and so on.
            path: of the service, with its slash: `/entries/1`.
            json_body: sent as JSON where it is not None.
            token: sent as `Authorization: Bearer TOKEN` where it is not empty.
            headers: sent as they are.

        Raises:
            PlatformUnavailable: there is no answer within 30 s.
        """
        sent = dict(headers or {}) | ({"Authorization": f"Bearer {token}"} if token else {})
        began = time.monotonic()
        try:
            response = self._session.request(
                method, self.url + path, json=json_body, headers=sent, timeout=HTTP_SECONDS, allow_redirects=False
            )
        except requests.RequestException as error:
            self._on_call(f"{method} {path}", time.monotonic() - began, 0)
            raise PlatformUnavailable(f"{method} {self.url}{path}: no answer ({type(error).__name__})") from None
        seconds = time.monotonic() - began
        self._on_call(f"{method} {path}", seconds, response.status_code)
        try:
            body = response.json()
        except ValueError:
            body = response.text
        return Answer(response.status_code, body, seconds)

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()
