"""Cloud Run's instances on this machine: each revision a real container by podman, from the image that its digest names in the registry.

The container contract is Cloud Run's: PORT, K_SERVICE, K_REVISION, K_CONFIGURATION, secrets by version as variables, sockets of Cloud SQL
below /cloudsql, a start-up probe, SIGTERM. One thing is this machine's: the container is in the machine's network, and HOST says loopback.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import requests
from google.cloud import run_v2

GRACE_S: Final = 10.0
_PERIOD_S: Final = 0.05
_PULL_S: Final = 120.0
_SOCKET: Final = ".s.PGSQL.5432"


class NotStartedError(Exception):
    """Why a revision has no instance."""


@dataclass
class Instances:
    """What is asked for runs, nothing else does."""

    folder: Path
    """Where each revision's output lies, as in Cloud Logging."""
    label: str
    """What podman knows these containers by."""
    secrets: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Secret Manager's: the text by name and version."""
    sockets: Mapping[str, Path] = field(default_factory=dict)
    """Folder of each instance of Cloud SQL, by connection name."""
    running: dict[str, Instance] = field(default_factory=dict)
    """By revision."""
    pulled: list[str] = field(default_factory=list)
    """Images that were fetched, by digest."""

    def start(self, revision: run_v2.Revision) -> None:
        """Have an instance of it that its start-up probe has found ready. Raises NotStartedError."""
        name = revision.name.rpartition("/")[2]
        if name not in self.running:
            container = revision.containers[0]
            self._pull(container.image)
            instance = Instance(f"{name}-{uuid.uuid4().hex[:8]}", _free_port())
            with (self.folder / f"{name}.log").open("ab") as log:
                instance.run(self._words(revision, instance), self._variables(revision, instance), log.fileno())
            try:
                instance.await_ready(container.startup_probe)
            except NotStartedError:
                instance.stop()
                raise
            self.running[name] = instance

    def keep(self, names: frozenset[str]) -> None:
        """Stop every instance of another revision: one without traffic and tag has none."""
        for name in [one for one in self.running if one not in names]:
            self.running.pop(name).stop()

    def output(self, revision: str) -> str:
        """What a revision printed."""
        return (self.folder / f"{revision}.log").read_text(encoding="utf-8")

    def _pull(self, image: str) -> None:
        if "@sha256:" not in image:
            raise NotStartedError(f"Image '{image}' is not named by its digest")
        ran = _podman("pull", "--quiet", "--tls-verify=false", image)
        if ran.returncode:
            raise NotStartedError(f"Image '{image}' not found: {ran.stderr.strip()[-300:]}")
        self.pulled.append(image)

    def _variables(self, revision: run_v2.Revision, instance: Instance) -> dict[str, str]:
        service = revision.service.rpartition("/")[2]
        names = {"K_SERVICE": service, "K_CONFIGURATION": service, "K_REVISION": revision.name.rpartition("/")[2]}
        given = {"HOST": "127.0.0.1", **names, "PORT": str(instance.port)}
        for variable in revision.containers[0].env:
            if "value_source" not in variable:
                given[variable.name] = variable.value
                continue
            asked = variable.value_source.secret_key_ref
            if (asked.secret, asked.version) not in self.secrets:
                raise NotStartedError(f"Secret {asked.secret}/versions/{asked.version} was not found")
            given[variable.name] = self.secrets[asked.secret, asked.version]
        return given

    def _words(self, revision: run_v2.Revision, instance: Instance) -> list[str]:
        container = revision.containers[0]
        named = [one for volume in revision.volumes for one in volume.cloud_sql_instance.instances]
        return [
            *("run", "--rm", f"--name={instance.name}", f"--label={self.label}", "--pull=never", "--log-driver=none"),
            *("--network=host", "--http-proxy=false", "--security-opt=no-new-privileges"),
            *("--security-opt=label=disable", "--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"),
            *(
                f"--mount=type=bind,source={self.sockets[one]}/{_SOCKET},target=/cloudsql/{one}/{_SOCKET}"
                for one in named
            ),
            *(f"--env={name}" for name in self._variables(revision, instance)),
            container.image,
        ]

    def close(self) -> None:
        """Stop all, and take their images away."""
        self.keep(frozenset())
        if self.pulled:
            _podman("rmi", "--force", "--ignore", *dict.fromkeys(self.pulled))


@dataclass
class Instance:
    """One container."""

    name: str
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, words: list[str], variables: Mapping[str, str], output: int) -> None:
        """Start it."""
        self.process = subprocess.Popen(
            ["podman", *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **variables},
            start_new_session=True,
        )

    def await_ready(self, probe: run_v2.Probe) -> None:
        """Ask the start-up probe until it succeeds. Raises NotStartedError."""
        patience_s = probe.initial_delay_seconds + (probe.period_seconds or 10) * (probe.failure_threshold or 3)
        until = time.monotonic() + patience_s
        assert self.process is not None
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise NotStartedError(
                    "The user-provided container failed to start and listen on the port defined provided by the PORT="
                    f"{self.port} environment variable within the allocated timeout."
                )
            if self._answers(probe):
                return
            time.sleep(_PERIOD_S)
        raise NotStartedError("The user-provided container failed the configured startup probe checks.")

    def _answers(self, probe: run_v2.Probe) -> bool:
        try:
            if "http_get" in probe:
                return requests.get(f"{self.url}{probe.http_get.path or '/'}", timeout=1).ok
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except (OSError, requests.RequestException):
            return False

    def stop(self) -> None:
        """SIGTERM, and after the grace SIGKILL."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            _podman("rm", "--force", "--time=0", "--ignore", self.name)
            self.process.kill()
            self.process.wait()


def _podman(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["podman", *words], check=False, capture_output=True, text=True, timeout=_PULL_S)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port
