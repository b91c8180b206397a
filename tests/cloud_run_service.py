"""A whole Cloud Run service on this machine: its API, its instances as containers, and the front end before them.

Each revision with traffic or a tag has an instance. The front end has an address for the service and one for each tag, asks for an ID token
whose audience is the service's own address, and draws by percent which revision answers.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import requests
from google.cloud import run_v2
from google.longrunning import operations_pb2

from tests import http_stand_in
from tests.cloud_run_instances import Instances, NotStartedError
from tests.google_cloud_run import READY, CloudRunApi
from tests.google_front_end import HEADER, FrontEnd, Guarded

HELLO: Final = "us-docker.pkg.dev/cloudrun/container/hello"
"""The image that infrastructure makes a service with, before anything is released."""
_HOP: Final = frozenset(("connection", "transfer-encoding", "keep-alive", "host", "content-length", "server", "date"))
_NOT_READY: Final = run_v2.Condition(type_="Ready", state=run_v2.Condition.State.CONDITION_RECONCILING)


@dataclass
class CloudRunService(CloudRunApi):
    """Change is carried out behind the call, as an operation that is asked after."""

    instances: Instances | None = None
    front: FrontEnd = field(default_factory=lambda: FrontEnd(""))
    answered: list[str] = field(default_factory=list)
    """The revision that each call came to."""
    _open: ExitStack = field(default_factory=ExitStack)
    _tags: dict[str, str] = field(default_factory=dict)
    """Address by tag: it stays the tag's."""
    _carrying: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def serving_calls(self, instances: Instances) -> Iterator[str]:
        """Open the front end before these instances; the API's address. Nothing runs afterwards."""
        self.instances = instances
        with self._open:
            self._open.callback(instances.close)
            self.service.uri = self.front.audience = self._address("")
            with self.answering() as address:
                yield address

    def add(self, name: str) -> run_v2.Revision:
        made = super().add(name)
        if not made.containers[0].image.startswith(HELLO):
            made.conditions = [_NOT_READY]
        return made

    def carry_out(self, operation: operations_pb2.Operation) -> None:
        self.service.reconciling = True
        thread = threading.Thread(target=self._carry_out, args=[operation], daemon=True)
        thread.start()

    def _carry_out(self, operation: operations_pb2.Operation) -> None:
        """Start what the wish needs; the split changes when all of it is ready, and what is not needed is stopped after."""
        assert self.instances is not None
        with self._carrying:
            wished = {line.revision for line in self.service.traffic if line.percent or line.tag}
            fault = ""
            for name in sorted(wished):
                fault = fault or self._start(self.revisions[name])
            if not fault:
                self.serve_as_wished()
            self.instances.keep(frozenset(line.revision for line in self.service.traffic_statuses))
            self.service.reconciling = False
            self.finish(operation, fault)

    def _start(self, revision: run_v2.Revision) -> str:
        """Why it is not ready; empty where it is."""
        assert self.instances is not None
        if revision.containers[0].image.startswith(HELLO):
            return ""
        try:
            self.instances.start(revision)
        except NotStartedError as error:
            name = revision.name.rpartition("/")[2]
            fault = f"Revision '{name}' is not ready and cannot serve traffic. {error}"
            state = run_v2.Condition.State.CONDITION_FAILED
            revision.conditions = [run_v2.Condition(type_="Ready", state=state, message=fault)]
            return fault
        revision.conditions = [READY]
        return ""

    def tag_address(self, tag: str) -> str:
        if tag not in self._tags:
            self._tags[tag] = self._address(tag)
        return self._tags[tag]

    def _address(self, tag: str) -> str:
        handler = type("Handler", (_PassesOn,), {"front": self.front, "service": self, "tag": tag})
        return self._open.enter_context(http_stand_in.serving(handler))

    def choose(self, tag: str) -> str:
        """The revision that answers a call; empty where the tag names none."""
        lines = list(self.service.traffic_statuses)
        if tag:
            return next((line.revision for line in lines if line.tag == tag), "")
        (drawn,) = random.choices([line.revision for line in lines], [line.percent for line in lines])  # noqa: S311  # no secret
        return drawn


class _PassesOn(Guarded):
    service: CloudRunService
    tag: str

    def do_GET(self) -> None:
        if self.denies():
            return
        revision = self.service.choose(self.tag)
        if not revision:
            self.own_page(404)
            return
        self.service.answered.append(revision)
        instance = self.service.instances.running.get(revision) if self.service.instances else None
        if instance is None:
            self.answer(200, {"message": "It's running!"})
            return
        kept = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        if HEADER in kept:  # as Cloud Run does it
            kept[HEADER] = kept[HEADER].rpartition(".")[0] + ".SIGNATURE_REMOVED_BY_GOOGLE"
        kept["Accept-Encoding"] = "identity"
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = f"{instance.url}{self.path}"
        try:
            answer = requests.request(self.command, url, data=body, headers=kept, timeout=60, allow_redirects=False)
        except requests.ConnectionError:
            self.answer(503, {"message": "Service Unavailable"})
            return
        self._answer_as(answer)

    def _answer_as(self, answer: requests.Response) -> None:
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_POST: Any = do_GET
    do_PUT: Any = do_GET
    do_PATCH: Any = do_GET
    do_DELETE: Any = do_GET
