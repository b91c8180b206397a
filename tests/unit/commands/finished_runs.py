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
from pytest_deploy.gates.registry import Gatekeeper
from pytest_deploy.platform.environment import Environment, record_of
from pytest_deploy.policy.load import policy_of
from pytest_deploy.record.clock import SystemClock
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import parse
from pytest_deploy.record.log import Log
from pytest_deploy.record.run_id import new_run_id
from pytest_deploy.release.candidate import ReleaseCandidate
from pytest_deploy.verify.segment import read_entry
from pytest_deploy.workspace import Workspace
from tests.unit.approvals.pending_request import BOTH, QUINN, TINA, make_keys, public
from tests.unit.record.sample_record import ACTOR, PERSON, RunWriter
from tests.unit.sample_environment import environment

ADA = Person("ada@example.org", "Ada Adeyemi", ("Tech Lead", "QA Lead"), 21, "ada", ())
"""Who deploys: the `local:` actor of the samples."""
OLGA = Person("olga@example.org", "Olga Old", ("Tech Lead", "QA Lead"), 22, None, ())
"""Whose key has run out."""
RITA = Person("rita@example.org", "Rita Revoked", ("Tech Lead", "QA Lead"), 23, None, ())
WHO = {"ada": ADA, "tina": TINA, "quinn": QUINN, "both": BOTH, "olga": OLGA, "rita": RITA}
NAMESPACE = "deploy-approval@deploy.example.org"


@dataclass
class FinishedRuns:
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

    def log_at(self, size: int) -> str:
        """The anchor line that the log had at a size."""
        return read_entry(self.store, size - 1).signed.checkpoint.anchor

    def last(self, type_: str, run: str) -> Event:
        return [event for event in self.log.events() if event.type == type_ and event.run == run][-1]

    def count(self, type_: str, data: Mapping[str, Any], run: str) -> str:
        """An event that whoever holds the log's key can write; the name of its file."""
        return f"log/{self.log.append(parse(type_, data), run=run, actor=ACTOR).seq:08d}.event"

    def freeze_gate(self) -> tuple[bool, str]:
        """Whether the gate lets a release go, and its reason."""
        held = Environment(self.workspace, policy_of(self.workspace))
        subject = ReleaseCandidate("deploy", "", "c" * 40, None, None, "", None)
        verdict = Gatekeeper(held, subject).check("freeze")
        return not verdict.blocks, verdict.reason


def build(root: Path, keys: Path) -> FinishedRuns:
    """Write the record through the real log."""
    made = environment(root, "production", clock=None)
    files = dict(make_keys(keys, (*(person.email for person in WHO.values()), "stranger")))
    finished = FinishedRuns(root, files, "", "", "", 0)
    assert made.workspace == finished.workspace
    log, now = finished.log, SystemClock().now()
    common: dict[str, Any] = {"namespace": NAMESPACE, "actor": PERSON, "reason": "the roster"}
    known = {person.email: public(files[person.email]) for person in WHO.values() if person is not OLGA}
    long_ago = {OLGA.email: public(files[OLGA.email])}
    enrollment.enroll(log, finished.store, [OLGA], long_ago, now=now - timedelta(days=9), valid_days=7, **common)
    enrollment.enroll(log, finished.store, list(WHO.values()), known, now=now - timedelta(hours=1), **common)
    enrollment.revoke(log, finished.store, RITA.email, reason="left", now=now - timedelta(minutes=1), actor=PERSON)
    first = writing(log).open().step("build").step("traffic", changes=True)
    finished.deployed = first.close("deployed")
    second = writing(log).open().step("build", outcome="failed")
    second.add(
        "step.not-run", {"nodeid": "suites/smoke/test_api.py::test_it", "phase": "smoke", "cause": "build failed"}
    )
    second.add("environment.frozen", {"reason": "the build failed twice"})
    finished.frozen = finished.head().seq
    finished.failed = second.close("failed")
    finished.open = writing(log).open().step("build").run
    return finished


def writing(log: Log) -> RunWriter:
    return RunWriter(log, new_run_id("production", log.clock, rehearsal=True))


def copy(finished: FinishedRuns, root: Path) -> FinishedRuns:
    """The same in a folder of its own."""
    shutil.copytree(finished.root, root, symlinks=True)
    return FinishedRuns(root, finished.keys, finished.deployed, finished.failed, finished.open, finished.frozen)
