"""What every process of one run knows: the few values that travel to xdist's workers. The rest is read from the log."""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pytest_deploy.policy.load import load
from pytest_deploy.policy.policy import Policy


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
    """The run id: made by the controller at its start, or the approved request's; the lease is taken under it."""
    request: str = ""
    """The approved request to execute, where one was named (`--deploy-run`)."""
    rehearsal: bool = False
    """The environment's own policy on the embedded platform, with stores, keys and run ids of its own."""
    shift_s: float = 0.0
    """Seconds a rehearsal's clock is ahead of the real one (`--deploy-at`)."""
    ticket: str = ""

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
        """The environment's record on this machine, or its copy where the record lies in a bucket; a rehearsal's is another."""
        return store_of(self.path, self.environment, rehearsal=self.rehearsal)

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
        return self.state / "keys" / f"{'rehearsal-' if self.rehearsal else ''}{self.environment}.pem"

    @property
    def lock(self) -> Path:
        """The steps that must exist."""
        return self.path / "suites" / "steps.lock"

    def policy(self) -> Policy:
        """Load deploy.yaml. Raises ConfigurationError listing every fault."""
        return load(self.path / "deploy.yaml", self.environment, self.sets, rehearsal=self.rehearsal)

    def to_json(self) -> dict[str, Any]:
        """For xdist's `workerinput`."""
        return {**asdict(self), "sets": list(self.sets)}

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> RunContext:
        """From `to_json`."""
        return cls(**{**value, "sets": tuple(value["sets"])})


def store_of(root: Path, environment: str, *, rehearsal: bool) -> Path:
    """Where the record of an environment lies in a checkout: a real one never holds a rehearsed event."""
    return root / "reports" / "rehearsal" / environment if rehearsal else root / "reports" / environment


def local_user() -> str:
    """The user name of this process, as the system knows it; `LOGNAME` and `USER` say what anybody wants them to."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a number without a name, as in some containers
        return str(os.getuid())


def local_actor() -> str:
    """`local:<uid>:<user>@<host>`: who runs a deployment outside CI."""
    return f"local:{os.getuid()}:{local_user()}@{socket.gethostname()}"
