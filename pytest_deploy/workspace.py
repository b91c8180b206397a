"""Where everything of one environment lies in a checkout: a root, an environment and whether it is rehearsed give every path.

ROOT/deploy.yaml, suites/, migrations/           what people write
ROOT/reports/[rehearsal/]ENVIRONMENT/            the record: log, runs, trust, anchors
ROOT/.deploy/                                    private state, never evidence: keys, secrets, sessions, backups
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_deploy.program import NAME

NOT_SAID: Final = "…"
"""Stands in a printed command for what only a person can say; pasted as it is, it is refused."""


CONFIG_FILE: Final = "deploy.yaml"


def checkout_of(folder: Path) -> Path | None:
    """The nearest folder, `folder` or one above it, that holds a deploy.yaml; None where none does."""
    return next((one for one in (folder, *folder.parents) if (one / CONFIG_FILE).is_file()), None)


def typed_path(path: Path) -> str:
    """A path as the reader would type it: from the folder where the program was started, where it lies in it."""
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except (ValueError, OSError):
        return str(path)


def verify_command(store: Path, *options: str) -> str:
    """The command that verifies a store, by its path in the checkout where it lies in one."""
    workspace = Workspace.of_store(store)
    shown = workspace.shown(workspace.store) if workspace.store == store.absolute() else str(store)
    return program_command("verify", shown, *options)


def program_command(*words: str) -> str:
    """A command of this program, quoted where the shell would take a word apart; `program.as_called` has it pasted anywhere."""
    return shlex.join((NAME, *words))


OWN_FOLDERS: Final = frozenset({".deploy", "reports"})
"""What the product itself writes into a checkout: private state, with the log's key in it, and the record. Never released."""


@dataclass(frozen=True)
class Workspace:
    """One environment of one checkout. Pure: nothing is read or made."""

    root: Path
    """The checkout: deploy.yaml, suites/ and migrations/ lie in it."""
    environment: str
    rehearsal: bool = False
    """The environment's own policy on the embedded platform, with stores, keys and run ids of its own."""

    @classmethod
    def of_store(cls, store: Path) -> Workspace:
        """Whose record lies in `store`: the inverse of `store`."""
        store = store.absolute()
        rehearsal = store.parent.name == "rehearsal"
        return cls(store.parents[2 if rehearsal else 1], store.name, rehearsal=rehearsal)

    def command_line(self, name: str, *options: str) -> str:
        """`pytest-deploy NAME` for this environment, or its rehearsals, as `program_command` gives it; NAME may be two words."""
        return program_command(*name.split(), self.environment, *(["--rehearse"] if self.rehearsal else []), *options)

    @property
    def config_file(self) -> Path:
        """What people ask for."""
        return self.root / CONFIG_FILE

    @property
    def steps_lock(self) -> Path:
        """The steps that must exist."""
        return self.root / "suites" / "steps.lock"

    @property
    def reports(self) -> Path:
        """The folder of every record of the checkout."""
        return self.root / "reports"

    @property
    def store(self) -> Path:
        """The environment's record on this machine, or its copy where the record lies in a bucket.

        A real record never holds a rehearsed event: a rehearsal's store is another.
        """
        return self.reports / "rehearsal" / self.environment if self.rehearsal else self.reports / self.environment

    def run_folder(self, run: str) -> Path:
        """Where a run's files lie in the store."""
        return self.store / "runs" / run

    @property
    def state(self) -> Path:
        """Private state: keys, secrets, the embedded platform's files. Never evidence."""
        return self.root / ".deploy"

    @property
    def key_file(self) -> Path:
        """The log's signing key, mode 0600; never in a store."""
        return self.state / "keys" / f"{self._prefix}{self.environment}.pem"

    @property
    def secrets_file(self) -> Path:
        """The secrets that the embedded platform made up, mode 0600."""
        return self.state / "secrets" / f"{self._prefix}{self.environment}.json"

    @property
    def rehearsal_keys(self) -> Path:
        """The throw-away signing keys of a rehearsal's people."""
        return self.state / "keys" / "rehearsal" / self.environment

    def backups(self, run: str) -> Path:
        """Where a run's backups and saved rows lie: private, never in the record."""
        return self.state / "backups" / run

    def session(self, run: str) -> Path:
        """What pytest's report writers and the workers leave for the controller while a run lasts."""
        return self.state / "sessions" / run

    def shown(self, path: Path) -> str:
        """A path of the checkout as people read it: relative to the root."""
        return path.relative_to(self.root).as_posix()

    @property
    def _prefix(self) -> str:
        return "rehearsal-" if self.rehearsal else ""
