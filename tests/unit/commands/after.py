"""The rehearsed record of production with people, a run that deployed, one that failed, one that is open, and a freeze."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from pytest_deploy.approvals import enrollment
from pytest_deploy.approvals.roster import Person
from pytest_deploy.gates.registry import Gates
from pytest_deploy.platform.environment import Environment, record_of
from pytest_deploy.policy.load import policy_of
from pytest_deploy.record.clock import SystemClock
from pytest_deploy.record.event import Event
from pytest_deploy.record.log import Log
from pytest_deploy.record.run_id import new_run_id
from pytest_deploy.release.candidate import ReleaseCandidate
from pytest_deploy.workspace import Workspace
from tests.unit.approvals.desk import BOTH, QUINN, TINA, make_keys, public
from tests.unit.commands.bench import environment
from tests.unit.record.samples import ACTOR, PERSON, Writing

ADA = Person("ada@example.org", "Ada Adeyemi", ("Tech Lead", "QA Lead"), 21, "ada", ())
"""Who deploys: the `local:` actor of the samples."""
OLGA = Person("olga@example.org", "Olga Old", ("Tech Lead", "QA Lead"), 22, None, ())
"""Whose key has run out."""
RITA = Person("rita@example.org", "Rita Revoked", ("Tech Lead", "QA Lead"), 23, None, ())
WHO = {"ada": ADA, "tina": TINA, "quinn": QUINN, "both": BOTH, "olga": OLGA, "rita": RITA}
NAMESPACE = "deploy-approval@deploy.example.org"


@dataclass
class Hall:
    """A checkout with that record."""

    root: Path
    keys: Mapping[str, Path]
    deployed: str
    failed: str
    open: str
    frozen: int
    printed: list[str] = field(default_factory=list)

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.root, "production", rehearsal=True)

    @property
    def store(self) -> Path:
        return self.workspace.store

    @property
    def log(self) -> Log:
        return record_of(self.workspace, policy_of(self.workspace), SystemClock())

    def key(self, name: str) -> Path:
        return self.keys[WHO[name].email if name in WHO else name]

    def head(self) -> Event:
        head = self.log.head()
        assert head is not None
        return head

    def last(self, type_: str, run: str) -> Event:
        return [event for event in self.log.events() if event.type == type_ and event.run == run][-1]

    def count(self, type_: str, data: Mapping[str, Any], run: str) -> str:
        """An event that whoever holds the log's key can write; the name of its file."""
        return f"log/{self.log.append(type_, data, run=run, actor=ACTOR).seq:08d}.event"

    def freeze_gate(self) -> tuple[bool, str]:
        """Whether the gate passes, and its reason."""
        held = Environment(self.workspace, policy_of(self.workspace))
        subject = ReleaseCandidate("deploy", "", "c" * 40, None, None, "", None)
        verdict = Gates(held, subject).check("freeze")
        return verdict.passed, verdict.reason


def build(root: Path, keys: Path) -> Hall:
    """Write the record through the real log."""
    made = environment(root, "production", clock=None)
    files = dict(make_keys(keys, (*(person.email for person in WHO.values()), "stranger")))
    hall = Hall(root, files, "", "", "", 0)
    assert made.workspace == hall.workspace
    log, now = hall.log, SystemClock().now()
    common: dict[str, Any] = {"namespace": NAMESPACE, "actor": PERSON, "reason": "the roster"}
    known = {person.email: public(files[person.email]) for person in WHO.values() if person is not OLGA}
    long_ago = {OLGA.email: public(files[OLGA.email])}
    enrollment.enroll_all(log, hall.store, [OLGA], long_ago, now=now - timedelta(days=9), valid_days=7, **common)
    enrollment.enroll_all(log, hall.store, list(WHO.values()), known, now=now - timedelta(hours=1), **common)
    enrollment.revoke(log, hall.store, RITA.email, reason="left", now=now - timedelta(minutes=1), actor=PERSON)
    first = writing(log).open().step("build").step("traffic", changes=True)
    hall.deployed = first.close("deployed")
    second = writing(log).open().step("build", outcome="failed")
    second.add(
        "step.not-run", {"nodeid": "suites/smoke/test_api.py::test_it", "phase": "smoke", "cause": "build failed"}
    )
    second.add("environment.frozen", {"reason": "the build failed twice"})
    hall.frozen = hall.head().seq
    hall.failed = second.close("failed")
    hall.open = writing(log).open().step("build").run
    return hall


def writing(log: Log) -> Writing:
    return Writing(log, new_run_id("production", log.clock, rehearsal=True))


def copy(hall: Hall, root: Path) -> Hall:
    """The same in a folder of its own."""
    shutil.copytree(hall.root, root, symlinks=True)
    return Hall(root, hall.keys, hall.deployed, hall.failed, hall.open, hall.frozen)
