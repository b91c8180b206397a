"""A revision as a real container, run by podman under the same contract as a process.

It is in this machine's network, told by HOST to listen on loopback alone, as `revision.py` has it: what stands before it and the
database are there. Of the database's socket it is given that one file. Its variables come to podman by its own environment, so that
no secret is an argument; its limits are no more than those of whoever starts it.
"""

from __future__ import annotations

import asyncio
import json
import resource
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from google.cloud import run_v2

from pytest_deploy.errors import DeployError
from pytest_deploy.platform.containers.builder import LABEL, OF_PODMAN, find_podman, program_variables
from pytest_deploy.platform.embedded.revision import RevisionProcess, StartFailed
from pytest_deploy.platform.google.run import short

_SAID: Final = frozenset(
    ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
)
"""Variables that podman lives by itself and that hold no secret: the container's are arguments."""
_FILES, _PROCESSES = 20_000, 32_768
"""At most: the second is what podman gives a build."""


def is_container(image: str) -> bool:
    """Whether an image is a container's, and no archive of this platform's own."""
    return not image.startswith("local/")


class RevisionContainer(RevisionProcess):
    """One running container, not started yet when made. Raises StartFailed."""

    _setting = "platform.runtime: container"

    def __init__(self, revision: run_v2.Revision, *, log: Path, marker: Mapping[str, str], label: str) -> None:
        super().__init__(revision, log=log, marker=marker)
        try:
            self._podman = find_podman()
        except DeployError as error:
            raise StartFailed(str(error)) from error
        self._label = label
        self._name = f"{short(revision.name)}-{uuid.uuid4().hex[:12]}"

    def have_image(self) -> None:
        """Have the image in podman's store, fetched by its digest where it is not there. Raises StartFailed."""
        image = self._spec.image
        try:
            if not self._podman.has(image):
                if image.startswith("localhost/"):
                    raise StartFailed(f"image {image} is not in podman's store any more: release it again")
                self._podman.pull(image, None)
        except DeployError as error:
            raise StartFailed(str(error)) from error

    def _call(self, folder: Path) -> tuple[list[str], dict[str, str]]:  # noqa: ARG002  # it has a file system of its own
        own = program_variables()
        given = {**self._variables, "PORT": str(self.port)}
        if taken := sorted(given.keys() & OF_PODMAN - _SAID):
            raise StartFailed(f"its variable {taken[0]} is podman's own too: give the service's another name")
        variables = [f"--env={name}={value}" if name in _SAID else f"--env={name}" for name, value in given.items()]
        words = [
            *(self._podman.program, "run", "--rm", f"--name={self._name}", f"--label={LABEL}={self._label}"),
            *("--pull=never", "--log-driver=none", "--network=host", "--http-proxy=false"),
            *("--security-opt=no-new-privileges", "--security-opt=label=disable"),
            *(f"--ulimit={limit}" for limit in _limits()),
            *(f"--volume={socket}:{socket}" for socket in _sockets(given.get("DATABASE_URL", ""))),
            *variables,
        ]
        if self._spec.command:
            words.append(f"--entrypoint={json.dumps(list(self._spec.command))}")
        inherited = {name: value for name, value in given.items() if name not in _SAID}
        return [*words, self._spec.image, *self._spec.args], {**inherited, **own}

    async def _clear(self) -> None:
        """The container goes with its podman; one whose podman was killed does not."""
        process = await asyncio.create_subprocess_exec(
            *(self._podman.program, "rm", "--force", "--time=0", "--ignore", self._name),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=program_variables(),
        )
        await process.wait()


def _limits() -> Iterator[str]:
    for name, kind, most in (("nofile", resource.RLIMIT_NOFILE, _FILES), ("nproc", resource.RLIMIT_NPROC, _PROCESSES)):
        hard = resource.getrlimit(kind)[1]
        limit = most if hard == resource.RLIM_INFINITY else min(hard, most)
        yield f"{name}={limit}:{limit}"


def _sockets(database_url: str) -> Iterator[str]:
    """The socket that a database's address leads to, where it leads to one."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        address = conninfo_to_dict(database_url)
    except ProgrammingError:
        return
    host = str(address.get("host") or "")
    if host.startswith("/"):
        yield f"{host}/.s.PGSQL.{address.get('port') or 5432}"
