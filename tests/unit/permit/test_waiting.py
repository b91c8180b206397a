"""A request that waits: who may sign it, what they are shown first, and how signatures come to count."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from pytest_deploy.approval import enrol
from pytest_deploy.approval.laid import slug
from pytest_deploy.approval.roster import Person
from pytest_deploy.approval.sign import sign
from pytest_deploy.approval.statement import MEANING, Approval
from pytest_deploy.approval.statement import render as statement
from pytest_deploy.environment import Environment
from pytest_deploy.errors import NotAsked, Refused
from pytest_deploy.permit.signatures import take_in
from pytest_deploy.permit.signing import approve, override, waiting
from pytest_deploy.record.clock import SystemClock, stamp
from pytest_deploy.record.folder import RunFolder
from pytest_deploy.record.log import Log
from pytest_deploy.record.run_id import new_run_id
from pytest_deploy.release.request import Earlier, Plan, digest, render
from pytest_deploy.release.source import Source
from tests.tools import needs
from tests.unit.approval.desk import ADAM, BOTH, DORA, EVERYBODY, NAMESPACE, QUINN, TINA, make_keys, public
from tests.unit.permit.bench import environment
from tests.unit.record.samples import ACTOR, SHA

DEPLOYER = "local:1000:dora@desk"
IMAGE = f"diary@sha256:{'a' * 64}"
WINDOW = {"reason": "patients cannot log in", "incident": "INC-7", "hours": 1.0}


@dataclass
class Asked:
    """A checkout whose rehearsal of production has a request that waits; Adam wrote what is deployed, Dora asks for it."""

    root: Path
    keys: Mapping[str, Path]
    commit: str
    held: Environment
    run: str = ""
    said: list[str] = field(default_factory=list)

    @property
    def log(self) -> Log:
        return self.held.log

    @property
    def folder(self) -> Path:
        return self.held.context.store / "runs" / self.run

    def ask(self, *, expires: timedelta = timedelta(hours=4)) -> Asked:
        """A planned request, and the diff its plan showed."""
        plan, run = (new_run_id("production", SystemClock(), rehearsal=True) for _ in range(2))
        diff = f"+ column mood -- {run}\n".encode()
        RunFolder(self.log.store, plan).create("schema/planned.diff", diff)
        until = stamp(SystemClock().now() + expires)
        content = render(
            environment="production", run=run, source=Source(self.commit, "main", "1.3.0", dirty=False), image=IMAGE,
            migrations=[{"version": "0008", "name": "mood", "sha256": SHA}], earlier=Earlier("diary-1", ("0007",), SHA, SHA, None),
            policy_sha256=SHA, steps_sha256=SHA, expires=until, plan=Plan(plan, hashlib.sha256(diff).hexdigest()),
            reason="adds moods",
        )  # fmt: skip
        RunFolder(self.log.store, run).create("request.json", content)
        made = {"request_sha256": digest(content), "expires": until, "requested_by": DEPLOYER, "commit": self.commit}
        self.log.append("request.made", made, run=run, actor=ACTOR)
        return replace(self, run=run, said=[])

    def approve(self, email: str, *, role: str = "") -> None:
        approve(self.root, self.run, role=role, key=self.keys[email], comment="", say=self.said.append)

    def override(self, email: str, gate: str = "window", **changes: object) -> None:
        said = {**WINDOW, **changes}
        override(self.root, gate, self.run, role="", key=self.keys[email], say=self.said.append, **said)  # type: ignore[arg-type]  # the keys of WINDOW

    def events(self, type_: str) -> list[str]:
        """Who the events of a type in this run name."""
        return [str(e.data["signer"]) for e in self.log.run(self.run) if e.type == type_]

    def lay(self, person: Person, *, key: str = "") -> str:
        """A signature where the log's key is not at hand: files, no event; the statement's name."""
        said = Approval(
            meaning=MEANING, printed_name=person.printed_name, signer=person.email, role=person.roles[0], comment="",
            signed_at=stamp(SystemClock().now()), request_sha256=digest((self.folder / "request.json").read_bytes()), run=self.run,
        )  # fmt: skip
        name, content = f"{slug(person.roles[0])}-{person.github}.json", statement(said)
        signature = sign(content, key=self.keys[key or person.email], namespace=NAMESPACE)
        for end, data in (("", content), (".sig", signature)):
            RunFolder(self.log.store, self.run).create(f"approvals/{name}{end}", data)
        return f"runs/{self.run}/approvals/{name}"

    def take_in(self) -> None:
        """What the next plan or run of this request does."""
        found = waiting(self.root, self.run)
        take_in(found.environment, self.run, found.gates())


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    needs("ssh-keygen")
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def asked(tmp_path: Path, keys: Mapping[str, Path]) -> Asked:
    held = environment(tmp_path / "checkout", "production")
    root = tmp_path / "checkout"
    who = ["-c", f"user.name={ADAM.printed_name}", "-c", f"user.email={ADAM.emails[-1]}"]
    for words in (["init", "-q", "-b", "main"], ["add", "--all"], [*who, "commit", "-q", "-m", "Add moods"]):
        subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True, timeout=30)
    head = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], check=True, capture_output=True, timeout=30)
    held = Environment(held.context, held.policy)
    known = {person.email: public(keys[person.email]) for person in EVERYBODY}
    hour_ago = SystemClock().now() - timedelta(hours=1)
    enrol.enroll_all(
        held.log, held.context.store, EVERYBODY, known, namespace=NAMESPACE, now=hour_ago, actor=DEPLOYER, reason="the roster"
    )  # fmt: skip
    return Asked(root, keys, head.stdout.decode().strip(), held).ask()


def test_who_signs_is_shown_what_changes_before_and_told_who_is_missing(asked: Asked) -> None:
    asked.approve(TINA.email)

    signed = next(place for place, line in enumerate(asked.said) if line.startswith("signed    by Tina Tanaka"))
    shown = "\n".join(asked.said[:signed])
    for told in (
        "replaces  nothing: the first release",
        "migrates  0008 mood",
        "reason    adds moods",
        "+ column mood",
    ):
        assert told in shown
    assert asked.said[-1] == "missing   QA Lead"

    asked.approve(QUINN.email)
    assert asked.said[-1] == "missing   nobody: it may be run"
    assert asked.events("approval.signed") == [TINA.email, QUINN.email]


@pytest.mark.parametrize(
    "email, role, says",
    [
        (DORA.email, "Tech Lead", "Dora Deployer deploys this or wrote part of it"),
        (ADAM.email, "", "Adam Author deploys this or wrote part of it"),
        (DORA.email, "Deployment Manager", "Deployment Manager is not among them"),
        (QUINN.email, "Tech Lead", "Quinn Quist does not hold the role Tech Lead"),
        ("stranger", "", "the roster knows nobody with the key"),
    ],
)
def test_a_signature_that_would_not_count_is_not_made(asked: Asked, email: str, role: str, says: str) -> None:
    with pytest.raises(Refused, match=says):
        asked.approve(email, role=role)

    assert asked.events("approval.signed") == []
    assert not (asked.folder / "approvals").exists()


def test_only_a_request_that_lives_is_signed(asked: Asked) -> None:
    with pytest.raises(Refused, match="no request rehearsal-production-20261122T201500Z-4f1c lies in"):
        approve(
            asked.root, "rehearsal-production-20261122T201500Z-4f1c", role="", key=None, comment="", say=asked.said.append
        )  # fmt: skip

    gone = asked.ask(expires=timedelta(seconds=-1))
    with pytest.raises(Refused, match="waits for nobody: it was run, voided or has expired"):
        gone.approve(TINA.email)

    asked.log.append("request.voided", {"cause": "drift"}, run=asked.run, actor=ACTOR)
    with pytest.raises(Refused, match="waits for nobody"):
        asked.approve(TINA.email)


def test_a_request_that_the_record_does_not_know_is_not_signed(asked: Asked) -> None:
    """Somebody laid a file under a run of their own."""
    run = new_run_id("production", SystemClock(), rehearsal=True)
    RunFolder(asked.log.store, run).create("request.json", (asked.folder / "request.json").read_bytes())

    with pytest.raises(Refused, match=r"the record holds no request\.made for it"):
        replace(asked, run=run).approve(TINA.email)


@pytest.mark.parametrize(
    "what, says", [("request.json", "is not the request that was made"), ("planned.diff", "is not the diff")]
)
def test_what_was_changed_since_it_was_planned_is_not_signed(asked: Asked, what: str, says: str) -> None:
    (changed,) = asked.folder.parent.rglob(what)
    changed.write_bytes(changed.read_bytes().replace(b"mood", b"food"))

    with pytest.raises(Refused, match=says):
        asked.approve(TINA.email)

    assert asked.events("approval.signed") == []


def test_an_override_counts_when_two_people_have_signed_the_same(asked: Asked) -> None:
    asked.override(TINA.email)
    assert asked.said[-1] == "counts    not yet: a second person must sign the same, with the same incident"

    asked.override(BOTH.email, incident="INC-8")
    assert asked.said[-1].startswith("counts    not yet")

    asked.override(QUINN.email)
    assert asked.said[-1] == "counts    yes"
    assert asked.events("override.signed") == [TINA.email, BOTH.email, QUINN.email]


@pytest.mark.parametrize(
    "gate, changes, says",
    [
        ("approvals", {}, "approvals cannot be overridden by anybody"),
        ("window", {"reason": " "}, "an override has a --reason and an --incident"),
        ("window", {"incident": ""}, "an override has a --reason and an --incident"),
    ],
)
def test_what_nobody_may_pass_over_is_not_signed(asked: Asked, gate: str, changes: dict[str, str], says: str) -> None:
    with pytest.raises(NotAsked, match=says):
        asked.override(TINA.email, gate, **changes)

    assert asked.events("override.signed") == []


def test_a_signature_that_was_laid_without_an_event_is_counted_by_the_next_run_once(asked: Asked) -> None:
    asked.lay(TINA)
    assert asked.events("approval.signed") == []

    asked.take_in()
    asked.take_in()

    assert asked.events("approval.signed") == [TINA.email]
    asked.approve(QUINN.email)
    assert asked.said[-1] == "missing   nobody: it may be run"


def test_a_signature_that_does_not_count_is_told_once_with_the_reason(asked: Asked) -> None:
    forged, barred = asked.lay(TINA, key="stranger"), asked.lay(ADAM)

    asked.take_in()
    asked.take_in()

    told = {e.data["file"]: e.data["reason"] for e in asked.log.run(asked.run) if e.type == "approval.refused"}
    assert len(asked.events("approval.refused")) == 2
    assert "does not verify for tina@example.org" in told[forged]
    assert told.keys() == {forged, barred}
    assert asked.events("approval.signed") == []
