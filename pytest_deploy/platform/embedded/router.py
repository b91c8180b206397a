"""What stands before a service's revisions: the rules of a traffic split, and the ports that requests come to.

One port for the service, one for each of its tags, on loopback only; behind them a streaming reverse proxy. Which revision
answers is asked anew for each request.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

import aiohttp
from aiohttp import web
from google.cloud import run_v2
from multidict import CIMultiDict
from yarl import URL

from pytest_deploy.platform.embedded.revision import LOOPBACK, RevisionProcess, free_port
from pytest_deploy.platform.google.run import TO_LATEST, TO_REVISION


def split_fault(targets: Sequence[run_v2.TrafficTarget], known: Collection[str]) -> str | None:
    """Why Cloud Run would refuse this split (INVALID_ARGUMENT), or None."""
    if any(not 0 <= target.percent <= 100 for target in targets):  # noqa: PLR2004  # per cent
        return "a traffic percent lies between 0 and 100"
    if (total := sum(target.percent for target in targets)) != 100:  # noqa: PLR2004  # per cent
        return f"the traffic percents add up to {total}, not to 100"
    tags = [target.tag for target in targets if target.tag]
    if len(set(tags)) != len(tags):
        return "a traffic tag stands on more than one target"
    for target in targets:
        if target.type_ not in (TO_LATEST, TO_REVISION):
            return "a traffic target has no type"
        if target.type_ == TO_REVISION and target.revision not in known:
            return f"traffic names revision {target.revision!r}, which does not exist"
    return None


def split_in_force(targets: Iterable[run_v2.TrafficTarget], *, latest_ready: str) -> list[run_v2.TrafficTargetStatus]:
    """What serves once the split is in force; the tags' addresses are not known yet."""
    return [
        run_v2.TrafficTargetStatus(
            type_=target.type_,
            revision=target.revision if target.type_ == TO_REVISION else latest_ready,
            percent=target.percent,
            tag=target.tag,
        )
        for target in targets
    ]


def choose_revision(serving: Sequence[run_v2.TrafficTargetStatus], tag: str) -> str | None:
    """The revision that answers one request: the tag's, or for no tag one drawn by percent. None: there is none."""
    if tag:
        return next((line.revision for line in serving if line.tag == tag), None)
    weights = [line.percent for line in serving]
    if not any(weights):
        return None
    return random.choices(serving, weights)[0].revision  # noqa: S311  # load, not secrecy


# --- The open ports and the proxy behind them.

_HOP_BY_HOP = (
    *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization"),
    *("te", "trailer", "transfer-encoding", "upgrade"),
)
"""Headers that speak of one connection, not of the message (RFC 9110, 7.6.1)."""

_FALLEN_S = 0.5
"""Seconds in which a process that broke a connection by ending is seen to have ended."""
_REQUEST_S = 300.0
_CHUNK = 64 * 1024


class NoBackend(Exception):  # says what happened, as the names of errors.py do
    """Nothing can answer this request; the text becomes the body of the 503."""


class Router:
    """The open ports of one service. `backend` gives the running process for a tag ("" for the split), or NoBackend."""

    def __init__(self, backend: Callable[[str], Awaitable[RevisionProcess]], ports: dict[str, int]) -> None:
        self.ports = ports
        """Port by tag, of all tags there ever were: a tag that comes again gets its port again."""
        self._backend = backend
        self._listeners: dict[str, tuple[asyncio.Server, web.Server]] = {}
        # One connection a request: a kept one may be closed by the service just as a POST is sent on it.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True, limit=0),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            timeout=aiohttp.ClientTimeout(total=_REQUEST_S),
        )

    async def listen(self, tag: str) -> str:
        """Open the tag's port if it is not open, the one it had before where that is free; its URL."""
        if tag not in self._listeners:
            server = web.Server(partial(self._answer, tag), access_log=None)
            self.ports[tag] = free_port([self.ports[tag]] if tag in self.ports else [])
            listener = await asyncio.get_running_loop().create_server(server, LOOPBACK, self.ports[tag])
            self._listeners[tag] = (listener, server)
        return f"http://{LOOPBACK}:{self.ports[tag]}"

    async def close(self) -> None:
        for listener, server in self._listeners.values():
            listener.close()
            await server.shutdown(0.1)
        await self._session.close()

    async def _answer(self, tag: str, request: web.BaseRequest) -> web.StreamResponse:
        try:
            process = await self._backend(tag)
        except NoBackend as reason:
            return web.Response(status=503, text=f"{reason}\n")
        with process.request():
            answer = await self._forward(request, process.port)
            if answer is None:
                # Who asks again after a 503 is served by a new process, not sent to the one that just fell over.
                await process.ended(_FALLEN_S)
                return web.Response(status=503, text="the revision did not answer\n")
            return answer

    async def _forward(self, request: web.BaseRequest, port: int) -> web.StreamResponse | None:
        """The service's answer, as far as it came; None where none began."""
        headers = _end_to_end(request.headers)
        headers["X-Forwarded-For"] = request.remote or LOOPBACK
        headers["X-Forwarded-Proto"] = request.scheme
        response: web.StreamResponse | None = None
        try:
            async with self._session.request(
                request.method,
                URL(f"http://{LOOPBACK}:{port}{request.raw_path}", encoded=True),
                headers=headers,
                data=request.content if request.body_exists else None,
                allow_redirects=False,
            ) as answer:
                response = web.StreamResponse(status=answer.status, reason=answer.reason)
                response.headers.extend(_end_to_end(answer.headers))
                await response.prepare(request)
                async for chunk in answer.content.iter_chunked(_CHUNK):
                    await response.write(chunk)
                await response.write_eof()
                return response
        except (aiohttp.ClientError, TimeoutError):
            if response is not None and response.prepared:
                # The service broke off in the middle, or the caller went away: no whole answer must seem to have come.
                if request.transport is not None:
                    request.transport.abort()
                return response
            return None


def _end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    kept: CIMultiDict[str] = CIMultiDict(headers)
    for name in {*_HOP_BY_HOP, *(word.strip().lower() for word in kept.get("Connection", "").split(","))}:
        kept.popall(name, None)
    return kept
