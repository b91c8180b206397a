"""What stands before a Cloud Run service, on this machine: IAM Credentials, which mints ID tokens, and the front end, which asks for them.

The front end's pages are as people quote them from Cloud Run: HTML, `Error: Unauthorized` and so on.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests import http_stand_in
from tests.http_stand_in import JsonHandler

HEADER = "X-Serverless-Authorization"
_PAGE = (
    '<html><head>\n<meta http-equiv="content-type" content="text/html;charset=utf-8">\n<title>{status} {title}</title>\n</head>\n'
    "<body text=#000000 bgcolor=#ffffff>\n<h1>Error: {title}</h1>\n<h2>{words}</h2>\n<h2></h2>\n</body></html>\n"
)
_DENIED = {
    401: ("Unauthorized", "Your client does not have permission to the requested URL <code>/</code>."),
    403: ("Forbidden", "Your client does not have permission to get URL <code>/</code> from this server."),
    404: ("Page not found", "The requested URL was not found on this server."),
}


def claims(token: str) -> dict[str, object]:
    """What a token says, which nobody signed."""
    middle = token.split(".")[1]
    said: dict[str, object] = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    return said


@dataclass
class IamCredentials:
    """`generateIdToken` of IAM Credentials, as its REST reference has it."""

    refuse: tuple[int, str] | None = None
    """The status and message that every call is answered with, instead of a token."""
    minted: list[dict[str, object]] = field(default_factory=list)
    """What each token says."""

    @contextmanager
    def answering(self) -> Iterator[str]:
        """Its address, `http://127.0.0.1:PORT`."""
        with http_stand_in.serving(type("Handler", (_Mints,), {"api": self})) as url:
            yield url


class _Mints(JsonHandler):
    api: IamCredentials

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        account, _, verb = self.path.removeprefix("/v1/projects/-/serviceAccounts/").partition(":")
        if self.api.refuse is not None:
            status, message = self.api.refuse
            self.answer(status, {"error": {"code": status, "message": message}})
        elif verb != "generateIdToken" or not asked.get("audience"):
            self.answer(400, {"error": {"code": 400, "message": "Request contains an invalid argument."}})
        else:
            said = {"aud": asked["audience"], "email": account, "n": len(self.api.minted)}
            self.api.minted.append(said)
            parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({}, said)]
            self.answer(200, {"token": ".".join([*parts, "c2lnbmF0dXJl"])})


@dataclass
class FrontEnd:
    """Lets through to a service of its own whoever has a token for `audience`, and may call."""

    audience: str
    may: frozenset[str] | None = None
    """E-mails of those who may call; None: everybody who has a token."""
    ingress: bool = True
    """Whether calls from the internet are let in."""
    status: int = 200
    """What the service itself answers with."""
    asked: list[dict[str, str]] = field(default_factory=list)
    """Headers of each call that reached the service."""

    @contextmanager
    def answering(self) -> Iterator[str]:
        """Its address, `http://127.0.0.1:PORT`."""
        with http_stand_in.serving(type("Handler", (_Guards,), {"front": self})) as url:
            yield url

    def denied(self, token: str) -> int:
        """The status of its own page; 0 where the call goes through."""
        if not self.ingress:
            return 404
        if not token:
            return 403  # as Cloud Run answers who brings none
        said = claims(token)
        if said["aud"] != self.audience:
            return 401
        return 0 if self.may is None or said["email"] in self.may else 403


class Guarded(JsonHandler):
    """Answers in the service's place who is not let through."""

    front: FrontEnd

    def denies(self) -> bool:
        """Whether this call was answered with a page of the front end's own."""
        status = self.front.denied(self.headers.get(HEADER, "").removeprefix("Bearer "))
        if status:
            self.own_page(status)
        return bool(status)

    def own_page(self, status: int) -> None:
        title, words = _DENIED[status]
        page = _PAGE.format(status=status, title=title, words=words).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=UTF-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)


class _Guards(Guarded):
    def do_GET(self) -> None:
        if not self.denies():
            self.front.asked.append(dict(self.headers))
            self.answer(self.front.status, {"status": "ok"})
