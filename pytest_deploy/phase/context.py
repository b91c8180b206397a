"""What every process of one run knows: the few values that travel to xdist's workers. The rest is read from the log."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pytest_deploy.config.load import load
from pytest_deploy.config.policy import Policy


@dataclass(frozen=True)
class RunContext:
    """One run, as any of its processes must know it."""

    root: str
    """The checkout: deploy.yaml, suites/ and migrations/ lie in it."""
    environment: str
    pipeline: str
    sets: tuple[str, ...] = ()
    """The --deploy-set values as given."""
    reason: str = ""
    run: str = ""
    """The run id: made by the controller at its start, so that it travels to workers; the lease is taken under it."""

    @property
    def path(self) -> Path:
        """`root` as a path."""
        return Path(self.root)

    @property
    def state(self) -> Path:
        """Private state: keys, secrets, the embedded platform's files. Never evidence."""
        return self.path / ".deploy"

    @property
    def store(self) -> Path:
        """The environment's record store."""
        return self.path / "reports" / self.environment

    @property
    def run_folder(self) -> Path:
        """Where the run's files lie in the store."""
        return self.store / "runs" / self.run

    @property
    def backups(self) -> Path:
        """Where this run's backups and saved rows lie: private, never in the record."""
        return self.state / "backups" / self.run

    @property
    def session(self) -> Path:
        """What pytest's report writers and the workers leave for the controller while the run lasts."""
        return self.state / "sessions" / self.run

    @property
    def key_file(self) -> Path:
        """The log's signing key, mode 0600; never in a store."""
        return self.state / "keys" / f"{self.environment}.pem"

    @property
    def lock(self) -> Path:
        """The steps that must exist."""
        return self.path / "suites" / "steps.lock"

    def policy(self) -> Policy:
        """Load deploy.yaml. Raises ConfigurationError listing every fault."""
        return load(self.path / "deploy.yaml", self.environment, self.sets)

    def to_json(self) -> dict[str, Any]:
        """For xdist's `workerinput`."""
        return {**asdict(self), "sets": list(self.sets)}

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> RunContext:
        """From `to_json`."""
        return cls(**{**value, "sets": tuple(value["sets"])})


def local_actor() -> str:
    """`local:<uid>:<user>@<host>`: who runs a deployment outside CI."""
    return f"local:{os.getuid()}:{getpass.getuser()}@{socket.gethostname()}"
