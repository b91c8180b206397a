"""A revision: made from a service's template, and run as a process under Cloud Run's container contract (`container.py`: in a real one).

The process gets PORT, K_SERVICE, K_REVISION, K_CONFIGURATION and the template's variables, and of our own environment no
more than a program needs to run (PATH begins with the folder of our interpreter); it is ready when its start-up probe
succeeds; it is asked to stop by SIGTERM and killed 10 s later. HOST says where to listen: a container listens to all of its
own network, a process here must not. docs/service-contract.md is the same for those who write services.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from google.cloud import run_v2

from pytest_deploy.errors import Failed
from pytest_deploy.platform.embedded.places import program_environment
from pytest_deploy.platform.google.run import short
from pytest_deploy.platform.program_search import find_program, search_path

GRACE_S = 10.0
"""Between SIGTERM and SIGKILL, as on Cloud Run."""

LOOPBACK = "127.0.0.1"

_PORTS = range(20000, 32000)
"""Below the range from which systems take the ports of outgoing connections, so that nobody takes ours by accident."""

_PROBE_EVERY_S = 0.03

_STARTUP_S = 240.0
"""Cloud Run's own patience where the template has no start-up probe."""


class StartFailed(Exception):  # says what happened, as the names of errors.py do
    """The process ended or did not answer its start-up probe in time."""


class RevisionProcess:
    """One running instance, not started yet when made. Raises StartFailed for what this platform cannot give a revision."""

    def __init__(self, revision: run_v2.Revision, *, log: Path, marker: Mapping[str, str]) -> None:
        if (count := len(revision.containers)) != 1:
            raise StartFailed(f"its template has {count} containers; the embedded platform runs exactly one")
        spec = self._spec = revision.containers[0]
        for variable in spec.env:
            if "value_source" in variable:
                raise StartFailed(f"its variable {variable.name} refers to a secret; the embedded platform keeps none")
        self._startup_s = _STARTUP_S
        if "startup_probe" in spec:
            probe = spec.startup_probe
            self._startup_s = probe.initial_delay_seconds + (probe.period_seconds or 10) * (
                probe.failure_threshold or 3
            )
        service = short(revision.service)
        identity = {"K_SERVICE": service, "K_REVISION": short(revision.name), "K_CONFIGURATION": service}
        variables = {variable.name: variable.value for variable in spec.env}
        self._variables = {"HOST": LOOPBACK, **variables, **identity, **marker}
        """All that it is given, but PORT."""
        self._log = log
        self.port = 0
        self._requests = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self, folder: Path) -> None:
        """Run it in its image's folder until its start-up probe succeeds. Raises StartFailed, and then nothing runs."""
        self.port = free_port()
        runnable, environment = self._call(folder)
        self._log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *runnable,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=folder,
                    env=environment,
                    start_new_session=True,
                )
            except OSError as error:
                raise StartFailed(
                    f"{self._setting}: {runnable[0]} cannot be run: {error.strerror}; is it a program of this system, and is "
                    "what its first line names there?"
                ) from error
        try:
            await self._await_ready(self._process)
        except BaseException:
            await self.stop(grace_s=0)
            raise

    async def stop(self, grace_s: float = GRACE_S) -> None:
        """SIGTERM, `grace_s` seconds later SIGKILL, to it and to whatever it started in its session."""
        if self._process is None:
            return
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            await self.ended(grace_s)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        await self._clear()

    async def ended(self, within_s: float) -> None:
        """Wait until its end is known, if it is ending: a connection breaks before the process is seen to be gone."""
        if self._process is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), within_s)

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """Hold it for the length of one request."""
        self._requests += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._requests -= 1
            if not self._requests:
                self._idle.set()

    async def drain(self) -> None:
        """Stop it once its requests in flight are answered, at the latest after the grace."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), GRACE_S)
        await self.stop()

    _setting = "service.command"
    """What names the program that is run."""

    def _call(self, folder: Path) -> tuple[list[str], dict[str, str]]:
        """What is run and with which variables: its program is found as those of the checks are. Raises StartFailed."""
        own = program_environment(os.environ)
        own["PATH"] = search_path(own)
        environment = {**own, **self._variables, "PORT": str(self.port)}
        command = [*self._spec.command, *self._spec.args]
        if not command:
            raise StartFailed("its template has no command; give the platform the service's command")
        try:
            path = search_path(environment)
            return find_program(command, folder=folder, path=path, setting=self._setting), environment
        except Failed as error:
            raise StartFailed(str(error)) from error

    async def _clear(self) -> None:
        """Take away what is left of it once its process is gone: nothing."""

    async def _await_ready(self, process: asyncio.subprocess.Process) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._startup_s
        while loop.time() < until:
            if process.returncode is not None:
                raise StartFailed(f"its process ended with {process.returncode} before it listened on PORT={self.port}")
            if await self._probe() and process.returncode is None:
                return
            await asyncio.sleep(_PROBE_EVERY_S)
        raise StartFailed(f"it did not answer its start-up probe on PORT={self.port} within {self._startup_s:g} s")

    async def _probe(self) -> bool:
        """One try of the start-up probe: a connection, or a 2xx or 3xx answer where the probe is HTTP."""
        try:
            async with asyncio.timeout(1):
                reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
                with contextlib.closing(writer):
                    if "http_get" not in self._spec.startup_probe:
                        return True
                    path = self._spec.startup_probe.http_get.path or "/"
                    request = f"GET {path} HTTP/1.0\r\nHost: {LOOPBACK}\r\n\r\n"
                    writer.write(request.encode("ascii"))
                    status = (await reader.readline()).split()
                    return len(status) > 1 and status[1][:1] in (b"2", b"3")
        except (OSError, TimeoutError):
            return False


def free_port(tried: Sequence[int] = ()) -> int:
    """A port on which nothing listens now."""
    for port in [*tried, *random.sample(_PORTS, 200)]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((LOOPBACK, port))
                return port
    raise StartFailed(f"no free port between {_PORTS.start} and {_PORTS.stop}")


# --- From a service's template to a revision.

PLACEHOLDER = f"local/placeholder@sha256:{'0' * 64}"
"""The image of a service that nobody has deployed to yet: no archive has it, nothing runs for it."""


def new_revision(service: run_v2.Service, name: str) -> run_v2.Revision:
    """The immutable revision the template of `service` describes; not ready yet."""
    template = service.template
    created = datetime.now(UTC)
    return run_v2.Revision(
        name=f"{service.name}/revisions/{name}",
        uid=secrets.token_hex(8),
        generation=1,
        service=service.name,
        labels=dict(template.labels),
        annotations=dict(template.annotations),
        create_time=created,
        update_time=created,
        scaling=template.scaling,
        timeout=template.timeout,
        service_account=template.service_account,
        containers=list(template.containers),
        volumes=list(template.volumes),
        max_instance_request_concurrency=template.max_instance_request_concurrency,
        reconciling=True,
        conditions=[ready_condition(run_v2.Condition.State.CONDITION_RECONCILING)],
        etag=secrets.token_hex(8),
    )


def ready_condition(state: int, message: str = "") -> run_v2.Condition:
    """The condition `Ready` of a service or revision, as of now."""
    return run_v2.Condition(type_="Ready", state=state, message=message, last_transition_time=datetime.now(UTC))
