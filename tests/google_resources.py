"""Google's resources as the stand-in provider meets them: a loopback API that makes, reads, changes and deletes, and keeps.

It stands in for the APIs behind pulumi-gcp. The test owns it and sees what is there; what a hand changes here, a refresh sees.
One resource a path, `/<type token>/<id>`: POST makes (409 where it is), GET, PATCH and DELETE (404 where it is not). Answers
hold what was asked for (`inputs`) and what Google would compute (`computed`), among it an etag and a generation that grow.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from tests import http_stand_in

_WAIT_S = 60


@dataclass
class Gate:
    """Where calls that make or change a resource of one type stop until the test lets them go on."""

    done_first: bool
    """Whether the resource is already made when the call stops: the answer is then what is missing."""
    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)


@dataclass
class GoogleResources:
    """What there is. Change it while it serves."""

    resources: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """By type token and id: `inputs` and `computed`."""
    calls: list[str] = field(default_factory=list)
    """Each change that was asked for: method, type, id."""
    gates: dict[str, Gate] = field(default_factory=dict)
    """By type token."""
    failing: dict[str, tuple[int, str]] = field(default_factory=dict)
    """By type token: the status and message of every call that makes or changes one."""
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By type token: what is kept in place of what was asked for, as where Google has another spelling or a default."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    made: int = 0

    def one(self, kind: str) -> dict[str, Any]:
        """The inputs of the only resource of this type: change them, as a hand would."""
        (found,) = [resource for (type_, _), resource in self.resources.items() if type_ == kind]
        inputs: dict[str, Any] = found["inputs"]
        return inputs

    def ids(self, kind: str) -> list[str]:
        """Ids of all resources of this type."""
        return [id_ for type_, id_ in self.resources if type_ == kind]

    def stop_at(self, kind: str, *, done_first: bool) -> Gate:
        """From here on calls that make or change one of this type stop."""
        self.gates[kind] = Gate(done_first)
        return self.gates[kind]

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Its address."""
        with http_stand_in.serving(type("Handler", (_Handler,), {"google": self})) as url:
            try:
                yield url
            finally:
                for gate in self.gates.values():
                    gate.opened.set()


class _Handler(http_stand_in.JsonHandler):
    google: GoogleResources
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        found = self.google.resources.get(self._key())
        self.answer(404, _error("not found")) if found is None else self.answer(200, found)

    def do_POST(self) -> None:
        self._change(self._make)

    def do_PATCH(self) -> None:
        self._change(self._update)

    def do_DELETE(self) -> None:
        self.google.calls.append(f"DELETE {' '.join(self._key())}")
        gone = self.google.resources.pop(self._key(), None)
        self.answer(404, _error("not found")) if gone is None else self.answer(200, {})

    def _change(self, act: Any) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        kind, id_ = self._key()
        self.google.calls.append(f"{self.command} {kind} {id_}")
        if kind in self.google.failing:
            status, message = self.google.failing[kind]
            self.answer(status, _error(message))
            return
        gate = self.google.gates.get(kind)
        if gate is None:
            self.answer(*act(body))
            return
        answer = act(body) if gate.done_first else None
        gate.reached.set()
        gate.opened.wait(_WAIT_S)
        self.answer(*(answer or act(body)))

    def _make(self, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        with self.google.lock:
            if self._key() in self.google.resources:
                return 409, _error(f"{self._key()[1]} already exists")
            self.google.made += 1
            computed = {**body["computed"], "etag": f"e{self.google.made}-1", "generation": "1"}
            self.google.resources[self._key()] = {"inputs": self._kept(body), "computed": computed}
            return 200, self.google.resources[self._key()]

    def _update(self, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        with self.google.lock:
            found = self.google.resources.get(self._key())
            if found is None:
                return 404, _error("not found")
            found["inputs"] = self._kept(body)
            generation = int(found["computed"]["generation"]) + 1
            found["computed"] |= {
                "generation": str(generation),
                "etag": f"{found['computed']['etag'].rpartition('-')[0]}-{generation}",
            }
            return 200, found

    def _kept(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return {**body["inputs"], **self.google.answers.get(self._key()[0], {})}

    def _key(self) -> tuple[str, str]:
        _, kind, id_ = self.path.split("/", 2)
        return unquote(kind), unquote(id_)


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message}}
