"""The HTTP edge: paths to functions, values to JSON, refusals to statuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from diary.accounts import Caller, log_in, log_out, logged_in, read_account
from diary.answers import EXCEPTION_ANSWERS, answer, entry_answer, version_json
from diary.database import Database, schema_version
from diary.entries import read_trail
from diary.faults import entries_under, password_under
from diary.fields import MAX_TEXT, MAX_VERSION, Fields, read_draft, read_if_match
from diary.middleware import AccessLog, Delay
from diary.problems import Invalid, NotLoggedIn, TooLarge, Unavailable
from diary.settings import Fault, Settings

MAX_BODY = 64 * 1024
"""Bytes; an entry's longest text fits, however it is escaped."""
NEEDED_SCHEMA = 6
"""The first migration whose schema this version of the service can work with. Later ones are expected to fit."""


class Diary:
    """The endpoints over one database."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database = Database(settings.database_url)
        self._entries = entries_under(settings.fault)

    async def close(self) -> None:
        """Let go of the database."""
        await self._database.close()

    async def health(self, _: Request) -> Response:
        """200 where the service can work, 503 with the cause where it cannot; never a word about anybody's data."""
        settings = self._settings
        facts: dict[str, Any] = {
            "status": "ok",
            "version": settings.version,
            "commit": settings.commit,
            "revision": settings.revision,
            "schema": None,
        }
        if settings.fault is Fault.HEALTH:
            return answer(facts | {"status": "failed", "cause": "told to be unwell: FAULT=health"}, 500)
        try:
            async with self._database.transaction() as connection:
                facts["schema"] = await schema_version(connection)
        except Unavailable as problem:
            return answer(facts | {"status": "unavailable", "cause": problem.detail}, 503)
        except psycopg.Error as error:
            cause = f"the database has no schema for this service, or not the right for it ({error.sqlstate})"
            return answer(facts | {"status": "unavailable", "cause": cause}, 503)
        if facts["schema"] < NEEDED_SCHEMA:
            cause = f"the schema is at {facts['schema']}, this version of the service needs {NEEDED_SCHEMA}"
            return answer(facts | {"status": "unavailable", "cause": cause}, 503)
        return answer(facts)

    async def login(self, request: Request) -> Response:
        """Credentials for a session."""
        fields = Fields(await _body(request))
        username, password = fields.text("username", 128), fields.text("password", 1024)
        fields.finish()
        password = password_under(self._settings.fault, password)
        session = await log_in(self._database, username, password, seconds=self._settings.session_seconds)
        return answer({"token": session.token, "expires": session.expires, "account": session.account})

    async def logout(self, request: Request) -> Response:
        """The end of a session."""
        async with self._caller(request) as caller:
            await log_out(caller, _token(request))
        return Response(status_code=204)

    async def me(self, request: Request) -> Response:
        """The caller's account."""
        async with self._caller(request) as caller:
            account = await read_account(caller)
        return answer({"id": account.id, "username": account.username, "synthetic": account.synthetic})

    async def create(self, request: Request) -> Response:
        """A new entry."""
        fields = Fields(await _body(request))
        draft = read_draft(fields)
        fields.finish()
        async with self._caller(request) as caller:
            version = await self._entries.add(caller, draft)
        return entry_answer(version, 201)

    async def read_all(self, request: Request) -> Response:
        """All own entries as they stand."""
        async with self._caller(request) as caller:
            versions = await self._entries.all(caller)
        return answer({"entries": [version_json(version) for version in versions]})

    async def read(self, request: Request) -> Response:
        """One entry as it stands."""
        async with self._caller(request) as caller:
            version = await self._entries.one(caller, request.path_params["entry"])
        return entry_answer(version)

    async def update(self, request: Request) -> Response:
        """A new version, from the one that the caller saw."""
        fields = Fields(await _body(request))
        seen = fields.optional_integer("version", 1, MAX_VERSION)
        draft = read_draft(fields)
        fields.finish()
        seen = seen or read_if_match(request.headers.get("if-match"))
        async with self._caller(request) as caller:
            version = await self._entries.change(caller, request.path_params["entry"], draft, seen)
        return entry_answer(version)

    async def delete(self, request: Request) -> Response:
        """A new version that says deleted; a body with a reason may come along."""
        fields = Fields(await _body(request) or b"{}")
        seen = fields.optional_integer("version", 1, MAX_VERSION)
        reason = fields.optional_text("reason", MAX_TEXT)
        fields.finish()
        seen = seen or read_if_match(request.headers.get("if-match"))
        async with self._caller(request) as caller:
            version = await self._entries.delete(caller, request.path_params["entry"], seen, reason)
        return entry_answer(version)

    async def history(self, request: Request) -> Response:
        """Every version of an entry."""
        async with self._caller(request) as caller:
            versions = await self._entries.history(caller, request.path_params["entry"])
        return answer({"id": versions[0].id, "versions": [version_json(version) for version in versions]})

    async def audit(self, request: Request) -> Response:
        """The audit trail of one own entry."""
        try:
            entry = UUID(request.query_params.get("entry", ""))
        except ValueError:
            raise Invalid({"entry": "must be an entry's id, in the query"}) from None
        async with self._caller(request) as caller:
            trail = await read_trail(caller, entry)
        return answer({"audit": trail})

    def routes(self) -> list[Route]:
        """Every path the service knows."""
        one = "/entries/{entry:uuid}"
        return [
            Route("/health", self.health, methods=["GET"]),
            Route("/login", self.login, methods=["POST"]),
            Route("/logout", self.logout, methods=["POST"]),
            Route("/me", self.me, methods=["GET"]),
            Route("/entries", self.create, methods=["POST"]),
            Route("/entries", self.read_all, methods=["GET"]),
            Route(one, self.read, methods=["GET"]),
            Route(one, self.update, methods=["PUT"]),
            Route(one, self.delete, methods=["DELETE"]),
            Route(one + "/history", self.history, methods=["GET"]),
            Route("/audit", self.audit, methods=["GET"]),
        ]

    @asynccontextmanager
    async def _caller(self, request: Request) -> AsyncIterator[Caller]:
        async with logged_in(self._database, _token(request)) as caller:
            yield caller


def make_app(settings: Settings) -> Starlette:
    """The service as an ASGI application. It opens no connection until it is asked something."""
    diary = Diary(settings)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await diary.close()

    return Starlette(
        routes=diary.routes(),
        lifespan=lifespan,
        middleware=[Middleware(AccessLog), *([Middleware(Delay)] if settings.fault is Fault.SLOW else [])],
        exception_handlers=EXCEPTION_ANSWERS,
    )


def _token(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotLoggedIn("log in first, then send Authorization: Bearer <token>")
    return token


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise TooLarge(f"the body is longer than {MAX_BODY} bytes")
    return body
