"""One request to the application without a socket."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from starlette.types import Message

from diary.settings import Settings
from diary.web import make_app


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    json: Any


async def ask(settings: Settings, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
    """What the application answers. Header names are given with underscores."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    await make_app(settings)(scope, receive, send)
    start, *rest = sent
    return Answer(
        start["status"],
        {name.decode(): value.decode() for name, value in start["headers"]},
        json.loads(b"".join(message.get("body", b"") for message in rest) or b"null"),
    )
