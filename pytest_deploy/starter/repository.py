"""What a repository tells of its service: all that deploy.yaml is written from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytest_deploy.errors import UsageError
from pytest_deploy.starter import checks, health_path, schema, service_name, start_command
from pytest_deploy.starter.checks import Checks
from pytest_deploy.starter.containers import Command
from pytest_deploy.starter.schema import Schema
from pytest_deploy.starter.told import Told
from pytest_deploy.workspace import CONFIG_FILE


@dataclass(frozen=True)
class Repository:
    """One service, and where it lies."""

    root: Path
    """The folder of deploy.yaml."""
    source: str
    """The service's folder from there."""
    name: Told[str]
    command: Told[Command]
    health: Told[str]
    checks: Checks
    schema: Schema | None
    """None where it has no database."""

    @property
    def is_of_several(self) -> bool:
        """Whether the repository may hold other services, with tags of their own."""
        above = (parent for parent in self.root.resolve().parents if (parent / ".git").exists())
        return self.source != "." or (not (self.root / ".git").exists() and any(above))


def read(root: Path, service: str | None, *, database: bool) -> Repository:
    """Read the service in the folder `service`, else the one in `root` itself; nothing is started, imported or changed.

    Raises UsageError where the folder is not there.
    """
    source = Path(service or ".")
    if source.is_absolute():
        raise UsageError(
            f"--service {service}: give the folder from here, where {CONFIG_FILE} is written, e.g. services/parcels"
        )
    folder = root / source
    if not folder.is_dir():
        raise UsageError(f"--service {service}: there is no such folder in {root}; give the one that holds the service")
    return Repository(
        root,
        source.as_posix(),
        service_name.read(folder),
        start_command.read(folder),
        health_path.read(folder),
        checks.read(folder),
        schema.read(root, folder) if database else None,
    )
