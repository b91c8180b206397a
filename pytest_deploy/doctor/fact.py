"""One fact of a set-up, and what all of them are asked of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from pytest_deploy.errors import ConfigurationError, Fault
from pytest_deploy.policy.load import embedded, environments, load
from pytest_deploy.policy.policy import Policy
from pytest_deploy.workspace import CONFIG_FILE

State = Literal["right", "note", "wrong"]
"""note: it stops nothing here, and is worth knowing."""


@dataclass(frozen=True)
class Fact:
    """What was found, and what to do where it is not right."""

    name: str
    state: State
    found: str
    fix: str = ""

    def __str__(self) -> str:
        mark = {"right": "ok   ", "note": "note ", "wrong": "WRONG"}[self.state]
        return f"{mark} {self.name:<12} {self.found}{f': {self.fix}' if self.fix else ''}"


class Setup:
    """The checkout and the environment that the facts are asked of."""

    def __init__(self, root: Path, asked: str = "") -> None:
        self.root = root
        """The folder of deploy.yaml."""
        self.asked = asked
        """The environment that was named, if any was."""

    @property
    def file(self) -> Path:
        return self.root / CONFIG_FILE

    @cached_property
    def environment(self) -> str:
        """The one that is asked about: the one that was named, else the first on this machine, else the first of the file."""
        if self.asked:
            return self.asked
        try:
            return next(iter((*embedded(self.file), *environments(self.file))), "")
        except ConfigurationError:
            return ""

    @cached_property
    def _read(self) -> tuple[Policy | None, tuple[Fault, ...]]:
        try:
            own = load(self.file, self.environment)
            # What is not on this machine can be rehearsed here: that is what this machine has to be fit for.
            return own if own.platform.kind == "embedded" else load(self.file, self.environment, rehearsal=True), ()
        except ConfigurationError as error:
            return None, error.faults

    @cached_property
    def real_policy(self) -> Policy | None:
        """The environment's policy as it is deployed to, where deploy.yaml loads."""
        try:
            return load(self.file, self.environment)
        except ConfigurationError:
            return None

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What is wrong with deploy.yaml."""
        return self._read[1]

    @property
    def policy(self) -> Policy | None:
        """The environment's policy, where deploy.yaml loads: as it is rehearsed, where it is not on this machine."""
        return self._read[0]

    @property
    def embedded_database(self) -> bool:
        """Whether a deployment starts a PostgreSQL of its own."""
        from pytest_deploy.platform.embedded.database import existing_database

        database = self.policy.database if self.policy is not None else None
        if database is None or database.url_variable is not None:
            return False
        return existing_database(database.url, "") is None


Question = Callable[[Setup], Iterator[Fact]]
"""Finds the facts of one concern; none where there is nothing to ask."""
