"""The supervisor: the one process of a checkout that owns PostgreSQL, the Cloud Run stand-in and its revisions.

It lives in a session of its own and for as long as a client is connected to its control socket, which the kernel closes
however a client dies. A client sends one line of JSON (a Site, and whether it wants the embedded PostgreSQL) and gets one
back; then the connection says nothing more and only stays open. A second process, its guardian, sees to it that nothing
stays behind, not even after `kill -9` of the supervisor.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from pytest_deploy.errors import DeployError, PlatformUnavailable
from pytest_deploy.platform.containers.builder import find_podman
from pytest_deploy.platform.embedded.places import Places, Site
from pytest_deploy.platform.embedded.postgres import EmbeddedServer, postmaster, stop_postmaster
from pytest_deploy.workspace import program_command

if TYPE_CHECKING:
    from pytest_deploy.platform.embedded.cloudrun import CloudRunStandIn

MARKER = "PYTEST_DEPLOY_SUPERVISOR"
"""In the environment of everything a supervisor starts: `<the supervisor's short folder>:<its own id>`."""

LONELY_S = 10.0
"""How long a supervisor waits for its first client."""

_STOP_GRACE_S = 0.6
_STOP_S = 1.2
"""After this the supervisor ends, and the guardian ends what is left: all is gone within 2 s."""

logger = logging.getLogger("supervisor")


class Supervisor:
    """Starts parts when a client first asks for them, and stops all of them when the last client is gone."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._marker = {MARKER: os.environ[MARKER]}
        self._clients = 0
        self._stop = asyncio.Event()
        self._database: EmbeddedServer | None = None
        self._run: CloudRunStandIn | None = None
        self._opening = asyncio.Lock()

    async def run(self, ready: int, guardian: subprocess.Popen[bytes]) -> None:
        """Serve until the last client is gone; `ready` is the file descriptor that the starting client reads."""
        # 1. Listen for clients, and tell the one that waits for this process.
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(signum, self._stop.set)
        self._places.control.unlink(missing_ok=True)
        control = await asyncio.start_unix_server(self._client, self._places.control)
        os.write(ready, b"ready\n")
        os.close(ready)
        # 2. Serve until the last client is gone, a signal comes, or the guardian is gone.
        loop.call_later(LONELY_S, self._stop_if_alone)
        watching = loop.create_task(self._watch(guardian))
        await self._stop.wait()
        # 3. Take no more clients; stop all parts at once. What is not gone in time the guardian ends.
        logger.info("stopping")
        control.close()
        self._places.control.unlink(missing_ok=True)
        watching.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await self._close()
        logger.info("stopped")

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            hello = json.loads(await reader.readline())
            try:
                answer: dict[str, str | None] = {
                    "administrator": await self._open(Site(**hello["site"]), hello["embedded_database"])
                }
            except DeployError as error:
                answer = {"error": str(error)}
            except Exception as error:  # the client waits for an answer
                logger.exception("the answer to %s broke", hello)
                answer = {"error": f"the supervisor failed: {error!r}; see {self._places.log}"}
            if self._stop.is_set():  # it came as the last one went: what it asked for is being stopped
                return  # without an answer it waits for the next supervisor
            writer.write(json.dumps(answer).encode() + b"\n")
            await reader.read()
        except (OSError, ValueError):
            logger.info("a client went before it had said what it wants")
        finally:
            writer.close()
            self._clients -= 1
            self._stop_if_alone()

    async def _open(self, site: Site, embedded_database: bool) -> str | None:  # noqa: FBT001  # as the client says it
        """Open what this client needs; the connection string of the embedded database's administrator, if that is needed."""
        async with self._opening:
            database = asyncio.create_task(asyncio.to_thread(self._open_database)) if embedded_database else None
            try:
                if self._run is None:
                    # Google's client takes about 1 s to import, beside the start of PostgreSQL.
                    module = "pytest_deploy.platform.embedded.cloudrun"
                    cloudrun = await asyncio.to_thread(importlib.import_module, module)
                    self._run = cloudrun.CloudRunStandIn(self._places, self._marker)
                    await self._run.start()
                await self._run.host(site)
            finally:
                administrator = await database if database else None
        return administrator

    def _open_database(self) -> str:
        if self._database is None:
            database = EmbeddedServer(self._places.postgres, environment=self._marker)
            began = time.monotonic()
            database.start()
            logger.info("PostgreSQL answers after %.2f s", time.monotonic() - began)
            self._database = database
        return self._database.conninfo("postgres")

    async def _close(self) -> None:
        parts = []
        if self._database is not None:
            parts.append(asyncio.to_thread(self._database.stop))
        if self._run is not None:
            parts.append(self._run.close(_STOP_GRACE_S))
        for result in await asyncio.gather(*parts, return_exceptions=True):
            if isinstance(result, Exception):
                logger.error("a part did not stop: %r", result)

    async def _watch(self, guardian: subprocess.Popen[bytes]) -> None:
        """Without a guardian nothing may run."""
        while guardian.poll() is None:  # noqa: ASYNC110  # asyncio would kill its own child as it closes
            await asyncio.sleep(0.5)
        logger.error("the guardian ended with %s", guardian.returncode)
        self._stop.set()

    def _stop_if_alone(self) -> None:
        if not self._clients:
            self._stop.set()


def lock(path: Path, patience_s: float) -> int:
    """Take the lock, waiting for an earlier supervisor and its guardian to be gone. Raises PlatformUnavailable."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    until = time.monotonic() + patience_s
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        if time.monotonic() > until:
            os.close(file)
            raise PlatformUnavailable(
                f"{path} is still held by another supervisor of this checkout after {patience_s:g} s; "
                f"stop its clients (a foreground `{program_command('local')}`, a run), and look for one started with another root"
            )
        time.sleep(0.02)


def main(checkout: str, root: str, ready: str) -> None:
    """Run as a process of its own; `ready` is a file descriptor that gets `ready`, or a message for people."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    os.umask(0o077)
    places = Places(Path(checkout), Path(root))
    # 1. Be the only one: an earlier supervisor and its guardian hold the lock until both are gone.
    try:
        lock_file = lock(places.running, 10.0)
    except PlatformUnavailable as error:
        os.write(int(ready), str(error).encode())
        raise
    # 2. End what a supervisor left behind that was killed together with its guardian.
    sweep(f"{root}:", but=os.environ[MARKER])
    remove_containers(places)
    # 3. Start the guardian on a pipe whose other end nobody closes but the kernel, when this process is gone.
    reader, _until_the_end = os.pipe()
    module = [sys.executable, "-m", "pytest_deploy.platform.embedded"]
    guardian = subprocess.Popen(
        [*module, "guard", os.environ[MARKER], places.checkout, places.root],
        stdin=reader,
        pass_fds=(lock_file,),
        start_new_session=True,
    )
    os.close(reader)
    # 4. Serve.
    asyncio.run(Supervisor(places).run(int(ready), guardian))


# --- The guardian.
#
# It reads a pipe whose other end the supervisor holds; at end of file the supervisor is gone, however it went. What it
# started is then known by a variable in its environment (which children inherit, so that not even the instant between a
# start and its registration is a gap), and PostgreSQL by its data folder. The guardian shares the supervisor's lock: the
# next supervisor starts when both are gone.


def guard(mark: str, places: Places) -> None:
    """Wait until the supervisor is gone, then stop what it left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while os.read(sys.stdin.fileno(), 64):
        continue
    _signal(marked(mark), signal.SIGTERM)
    if (server := postmaster(places.postgres / "data")) is not None:
        stop_postmaster(server)
    until = time.monotonic() + 0.3
    while time.monotonic() < until and any(marked(mark)):
        time.sleep(0.02)
    sweep(mark)
    remove_containers(places)


def remove_containers(places: Places) -> None:
    """Take away what podman still has of containers whose processes are gone: one that was killed before it had begun stays there."""
    if places.containers.exists():
        with contextlib.suppress(DeployError):
            find_podman().remove_containers(places.label)


def sweep(mark: str, *, but: str = "") -> None:
    """Kill what bears this mark, and not the mark `but`, until nothing does."""
    calm = 0
    while calm < 2:  # noqa: PLR2004  # a process seen between fork and exec may show its mark only the second time
        left = list(marked(mark, but=but))
        _signal(left, signal.SIGKILL)
        calm = 0 if left else calm + 1
        time.sleep(0.02)


def marked(mark: str, *, but: str = "") -> Iterator[psutil.Process]:
    """Every live process other than this one whose mark begins with `mark` and is not `but`."""
    for process in psutil.process_iter():
        try:
            value = process.environ().get(MARKER, "")
            if value.startswith(mark) and value != but and process.pid != os.getpid():
                yield process
        except psutil.Error:
            continue


def _signal(processes: Iterable[psutil.Process], signum: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):  # psutil refuses where the number has passed to another process
            process.send_signal(signum)
