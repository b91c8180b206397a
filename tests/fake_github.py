"""Deployments at GitHub on this machine: a server that answers as GitHub's description of its REST API says.

It stands in for api.github.com, which is out of reach here: repositories' deployments and their statuses, listed newest first
in pages with a Link header; required contexts and merging as they are unless a client turns them off; earlier deployments of
an environment made inactive unless it says not to; collaborators by permission, to whom may write. Bodies are whole: githubkit's models take them.
Source: docs.github.com/rest/deployments, collaborators, rate-limits and pagination, API version 2026-03-10.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tests import http_stand_in

REPOSITORY = "example/diary"
TOKEN = "ghs-canary-0f5b1d7e94c24a6b"
NOW = "2026-11-22T20:25:07Z"
JSON = "application/json; charset=utf-8"
_PERMISSIONS = ("pull", "triage", "push", "maintain", "admin")
"""Each holds those before it."""


@dataclass
class Answer:
    """What is answered in place of what was asked for."""

    status: int
    body: Any
    """JSON; text as it is."""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class GitHub:
    """What it holds and does; change it while it serves."""

    url: str = ""
    token: str = TOKEN
    may_write: bool = True
    refs: tuple[str, ...] = ("main",)
    deployments: list[dict[str, Any]] = field(default_factory=list)
    statuses: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    """By deployment, oldest first."""
    collaborators: dict[str, tuple[int, str]] = field(default_factory=dict)
    """By login: id and permission, `pull`, `push` or `admin`."""
    largest_page: int = 100
    newest_first: bool = True
    answers: list[Answer] = field(default_factory=list)
    """The next answers, before anything is done."""
    losing: int = 0
    """Replies to writes to lose after they were done."""
    slow_s: float = 0
    """Seconds before each answer."""
    asked: list[str] = field(default_factory=list)
    """Every request: method, path, page."""

    def writes(self) -> list[str]:
        return [one for one in self.asked if one.startswith("POST")]

    def deployment(self, environment: str, *, task: str = "deploy", production: bool = False) -> int:
        """One that somebody made; its number."""
        body = {"ref": "main", "environment": environment, "task": task, "production_environment": production}
        return int(self._deployed(body)["id"])

    def said(self, deployment: int, *descriptions: str) -> None:
        """Statuses that somebody left, the oldest first."""
        for description in descriptions:
            self._stated(deployment, {"state": "success", "description": description, "auto_inactive": False})

    def lines(self) -> list[str]:
        """All descriptions, the oldest first."""
        return [one["description"] for statuses in self.statuses.values() for one in statuses]

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Its address."""
        with http_stand_in.serving(type("Handler", (_Handler,), {"github": self})) as self.url:
            yield self.url

    def answer(self, method: str, path: str, query: Mapping[str, str], body: dict[str, Any]) -> Answer:
        """As GitHub documents it."""
        top = f"/repos/{REPOSITORY}/deployments"
        if path == f"/repos/{REPOSITORY}/collaborators":
            if not self.may_write:
                return Answer(403, _problem("Must have push access to view repository collaborators."))
            return self._listed(path, query, self._collaborating(query.get("permission", "pull")))
        number = path.removeprefix(f"{top}/").removesuffix("/statuses")
        if path == top:
            return self._deploy(body) if method == "POST" else self._listed(path, query, self._filtered(query))
        if path == f"{top}/{number}/statuses" and number.isdigit() and int(number) in self.statuses:
            if method == "POST":
                return self._state(int(number), body)
            return self._listed(path, query, self.statuses[int(number)])
        return Answer(404, _problem("Not Found"))

    def _collaborating(self, permission: str) -> list[dict[str, Any]]:
        """Who has this permission or more."""
        least = _PERMISSIONS.index(permission)
        return [
            _user(login, number, "User")
            | {
                "permissions": {one: at <= _PERMISSIONS.index(has) for at, one in enumerate(_PERMISSIONS)},
                "role_name": {"pull": "read", "push": "write"}.get(has, has),
            }
            for login, (number, has) in self.collaborators.items()
            if _PERMISSIONS.index(has) >= least
        ]

    def _filtered(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        wanted = {name: query[name] for name in ("environment", "task", "ref") if name in query}
        return [one for one in self.deployments if wanted.items() <= one.items()]

    def _listed(self, path: str, query: Mapping[str, str], found: list[dict[str, Any]]) -> Answer:
        size = min(int(query.get("per_page", "30")), self.largest_page)
        page = int(query.get("page", "1"))
        ordered = found[::-1] if self.newest_first else found
        last = max(1, -(-len(ordered) // size))
        rels = {"prev": page - 1, "first": 1} if page > 1 else {}
        rels |= {"next": page + 1, "last": last} if page < last else {}
        links = [f'<{self.url}{path}?{urlencode({**query, "page": to})}>; rel="{rel}"' for rel, to in rels.items()]
        return Answer(200, ordered[(page - 1) * size : page * size], {"Link": ", ".join(links)} if links else {})

    def _deploy(self, body: dict[str, Any]) -> Answer:
        if body.get("ref") not in self.refs:
            return Answer(422, _problem(f"No ref found for: {body.get('ref')}"))
        if body.get("auto_merge", True) or body.get("required_contexts") != []:
            return Answer(409, _problem(f"Conflict: Commit status checks failed for {body['ref']}."))
        return Answer(201, self._deployed(body))

    def _state(self, deployment: int, body: dict[str, Any]) -> Answer:
        if len(body.get("description", "")) > 140:
            wrong = {"resource": "DeploymentStatus", "code": "custom", "field": "description"}
            wrong["message"] = "description is too long (maximum is 140 characters)"
            return Answer(422, {**_problem("Validation Failed"), "errors": [wrong]})
        if body.get("auto_inactive", True) and body["state"] == "success":
            mine = next(one for one in self.deployments if one["id"] == deployment)
            for other in self.deployments:
                plain = not (other["transient_environment"] or other["production_environment"])
                if other["environment"] == mine["environment"] and other is not mine and plain:
                    self._stated(other["id"], {"state": "inactive"})
        return Answer(201, self._stated(deployment, body))

    def _deployed(self, body: dict[str, Any]) -> dict[str, Any]:
        number = 4001 + len(self.deployments)
        url = f"{self.url}/repos/{REPOSITORY}/deployments/{number}"
        made = {
            "url": url,
            "id": number,
            "node_id": f"DE_{number}",
            "sha": "a84d88e7554fc1fa21bcbc4efae3c782a70d2b9d",
            "ref": body["ref"],
            "task": body.get("task", "deploy"),
            "payload": body.get("payload", {}),
            "original_environment": body.get("environment", "production"),
            "environment": body.get("environment", "production"),
            "description": body.get("description"),
            "creator": _user(),
            "created_at": NOW,
            "updated_at": NOW,
            "statuses_url": f"{url}/statuses",
            "repository_url": f"{self.url}/repos/{REPOSITORY}",
            "transient_environment": body.get("transient_environment", False),
            "production_environment": body.get("production_environment", body.get("environment") == "production"),
            "performed_via_github_app": None,
        }
        self.deployments.append(made)
        self.statuses[number] = []
        return made

    def _stated(self, deployment: int, body: dict[str, Any]) -> dict[str, Any]:
        number = 90_001 + sum(map(len, self.statuses.values()))
        top = f"{self.url}/repos/{REPOSITORY}"
        made = {
            "url": f"{top}/deployments/{deployment}/statuses/{number}",
            "id": number,
            "node_id": f"DES_{number}",
            "state": body["state"],
            "creator": _user(),
            "description": body.get("description", ""),
            "environment": next(one["environment"] for one in self.deployments if one["id"] == deployment),
            "target_url": "",
            "created_at": NOW,
            "updated_at": NOW,
            "deployment_url": f"{top}/deployments/{deployment}",
            "repository_url": top,
            "environment_url": "",
            "log_url": "",
            "performed_via_github_app": None,
        }
        self.statuses[deployment].append(made)
        return made


class _Handler(BaseHTTPRequestHandler):
    github: GitHub
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: the second would wait for a late acknowledgement

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._serve({})

    def do_POST(self) -> None:
        self._serve(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _serve(self, body: dict[str, Any]) -> None:
        github, split = self.github, urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(split.query).items()}
        github.asked.append(" ".join(filter(None, (self.command, split.path, query.get("page", "")))))
        time.sleep(github.slow_s)
        if github.answers:
            answer = github.answers.pop(0)
        elif self.headers.get("X-GitHub-Api-Version") != "2026-03-10":
            answer = Answer(400, _problem("X-GitHub-Api-Version is missing, or none that is known here"))
        elif self.headers.get("Authorization") not in {f"token {github.token}", f"Bearer {github.token}"}:
            answer = Answer(401, _problem(f"Bad credentials: {self.headers.get('Authorization')}"))
        elif self.command == "POST" and not github.may_write:
            answer = Answer(403, _problem("Resource not accessible by integration"))
        else:
            answer = github.answer(self.command, split.path, query, body)
            if self.command == "POST" and github.losing:
                github.losing -= 1
                self.close_connection = True
                return
        text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        self.send_response(answer.status)
        for name, value in {"Content-Type": JSON, "Content-Length": str(len(text.encode())), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())


def _problem(message: str) -> dict[str, Any]:
    return {"message": message, "documentation_url": "https://docs.github.com/rest", "status": ""}


def _user(login: str = "deploy-bot", number: int = 7, kind: str = "Bot") -> dict[str, Any]:
    """A whole `SimpleUser`."""
    top = f"https://api.github.com/users/{login}"
    links = (
        "followers",
        "following",
        "gists",
        "starred",
        "subscriptions",
        "organizations",
        "repos",
        "events",
        "received_events",
    )
    return {
        "login": login,
        "id": number,
        "node_id": f"U_{number}",
        "avatar_url": f"https://github.com/images/{login}.gif",
        "gravatar_id": "",
        "url": top,
        "html_url": f"https://github.com/{login}",
        **{f"{link}_url": f"{top}/{link}" for link in links},
        "type": kind,
        "site_admin": False,
    }
