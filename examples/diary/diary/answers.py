"""What goes back to the caller: values as JSON, refusals as a status and a body that says what would be right."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

import psycopg
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from diary.entries import Version
from diary.journal import log
from diary.problems import NotLoggedIn, Problem


def answer(
    content: Mapping[str, Any], status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response:
    """The content as JSON: a day as YYYY-MM-DD, a moment in UTC with its Z, an id as text."""
    body = json.dumps(content, default=_plain, ensure_ascii=False)
    return Response(body, status, headers, media_type="application/json")


def entry_answer(version: Version, status: int = HTTPStatus.OK) -> Response:
    """One version of an entry, its number as the ETag; of a new entry its place too."""
    headers = {"ETag": f'"{version.version}"'}
    if status == HTTPStatus.CREATED:
        headers["Location"] = f"/entries/{version.id}"
    return answer(version_json(version), status, headers)


def version_json(version: Version) -> dict[str, Any]:
    """A version's fields under the names of the API."""
    return asdict(version)


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form here")


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, NotLoggedIn) else None
    return answer(error.body(), error.status, headers)


async def _unknown(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = error.detail.lower().replace(" ", "-")
    return answer({"error": code, "detail": error.detail}, error.status_code, error.headers)


async def _failed(_: Request, error: Exception) -> Response:
    assert isinstance(error, psycopg.Error)
    # Neither the answer nor the log repeats the database's message: it quotes the values of the statement.
    log.error("the database refused a statement", extra={"fields": {"sqlstate": error.sqlstate}})
    return answer(Problem("the service failed; its log says where").body(), HTTPStatus.INTERNAL_SERVER_ERROR)


EXCEPTION_ANSWERS = {Problem: _refused, HTTPException: _unknown, psycopg.Error: _failed}
