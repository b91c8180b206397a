"""A tiny real service to deploy, and an embedded platform to deploy it to."""

from __future__ import annotations

import io
import os
import tarfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from pytest_deploy.platform.embedded import LocalPlatform, connect, reset
from pytest_deploy.platform.embedded.places import ROOT_VARIABLE
from pytest_deploy.platform.protocol import Revision
from tests.memory import short_parent
from tests.postgres_server import PostgresServer

COMMAND = ("python", "app.py")

_APP = """
import http.server, json, os, signal, sys, threading, time

VERSION = {version!r}
print("version", VERSION, "starts", flush=True)
if VERSION == "crashes":
    print("no way to start", file=sys.stderr)
    sys.exit(3)
if VERSION == "slow":
    time.sleep(1.5)
if VERSION == "deaf":
    time.sleep(60)

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/sick":
            return self.answer(b"", 500)
        if self.path == "/slow":
            time.sleep(0.6)
        if self.path == "/ill":
            return self.answer(b'{{"status": "failed"}}')
        if self.path == "/long":
            return self.answer(json.dumps({{"commit": "x" * 100_000}}).encode())
        if self.path == "/flood":
            self.send_response(200)
            self.end_headers()
            for _ in range(400):
                self.wfile.write(b"x" * 1_000_000)
            return
        if self.path == "/trickle":
            self.send_response(200)
            self.end_headers()
            for _ in range(400):
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.1)
            return
        if self.path == "/dies":
            self.answer(b"{{}}")
            threading.Timer(0.05, os._exit, [9]).start()
            return
        if self.path == "/die":
            os._exit(9)
        if self.path == "/torn":
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(b"x" * 100_000)
            os._exit(9)
        self.answer(json.dumps({{
            "version": VERSION, "env": dict(os.environ), "headers": dict(self.headers), "path": self.path, "pid": os.getpid(),
        }}).encode())
    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))
    def answer(self, body, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass

server = http.server.ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Answer)
server.daemon_threads = False
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
if "STUBBORN" in os.environ:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
server.serve_forever()
server.server_close()
"""


def archive(folder: Path, version: str) -> Path:
    """The service as a tar, the same bytes for the same version."""
    path = folder / f"{version}.tar"
    text = _APP.format(version=version).encode()
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo("app.py")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))
    return path


def get(url: str, path: str = "/") -> dict[str, Any]:
    """What the service says of itself; its own status is 200."""
    answer = requests.get(url + path, timeout=10)
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


@dataclass(frozen=True)
class Deployment:
    """An environment of the platform with a few words for what tests do to it."""

    platform: LocalPlatform
    environment: str
    folder: Path
    checkout: Path

    def program(self, revision: Revision) -> Path:
        """The revision's own file on disk, for a test that breaks it."""
        return self.checkout / ".deploy" / "images" / revision.digest.partition(":")[2] / "app.py"

    def push(self, version: str) -> str:
        return self.platform.artefacts.push(archive(self.folder, version), tag=version)

    def create(self, version: str, *, env: Mapping[str, str] | None = None, deadline_s: float = 20) -> Revision:
        return self.platform.runtime.create(
            image=self.push(version),
            env=env or {},
            tag="candidate",
            annotations={"deploy.version": version},
            deadline_s=deadline_s,
        )

    def serve(self, version: str) -> Revision:
        """Create a revision and give it all of the traffic, no tag."""
        revision = self.create(version)
        self.platform.runtime.move({revision.name: 100}, tags={}, deadline_s=10)
        return revision

    @property
    def url(self) -> str:
        return self.platform.runtime.state().url

    @property
    def candidate_url(self) -> str:
        return next(share.url for share in self.platform.runtime.state().shares if share.tag == "candidate")


@pytest.fixture(scope="session", autouse=True)
def memory_root() -> Iterator[None]:
    """Sockets and PGDATA in memory, where there is such a place."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ROOT_VARIABLE, str(short_parent()))
        yield


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Iterator[Path]:
    """A checkout whose platform runs for all of the session's tests, on the run's one PostgreSQL."""
    folder = tmp_path_factory.mktemp("checkout")
    os.environ["CANARY_SECRET"] = "canary"
    holder = connect(folder, environment="held", service="held", command=COMMAND, database_url=postgres.conninfo())
    yield folder
    holder.close()
    reset(folder)
    del os.environ["CANARY_SECRET"]


@pytest.fixture
def open_environment(checkout: Path, postgres: PostgresServer, tmp_path: Path) -> Iterator[Callable[..., Deployment]]:
    """Open an environment of this name, as often as the test likes."""
    opened: list[LocalPlatform] = []

    def open_(environment: str, *, startup_s: float = 10) -> Deployment:
        platform = connect(
            checkout,
            environment=environment,
            service="tiny",
            command=COMMAND,
            revision_timeout_s=startup_s,
            database_url=postgres.conninfo(),
        )
        opened.append(platform)
        return Deployment(platform, environment, tmp_path, checkout)

    yield open_
    for platform in opened:
        platform.close()


@pytest.fixture
def fresh(open_environment: Callable[..., Deployment]) -> Deployment:
    """An environment nobody has deployed to."""
    return open_environment(f"e{uuid.uuid4().hex[:8]}")
