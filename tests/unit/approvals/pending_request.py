"""A request that waits for signatures: a real log, a roster of five, keys that ssh-keygen made, a clock set by hand."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from pytest_deploy.approvals import enrollment
from pytest_deploy.approvals.evaluate import ApprovalContext, Evaluation, evaluate
from pytest_deploy.approvals.roster import Person, Roster, in_force
from pytest_deploy.approvals.sign_request import (
    Approval,
    OverrideStatement,
    Rejection,
    UnderRequest,
    render,
    sign_approval,
    sign_override,
)
from pytest_deploy.approvals.signed_file import slug
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event, canonical
from pytest_deploy.record.events import parse
from pytest_deploy.record.log import Log
from pytest_deploy.record.meanings import APPROVES, OVERRIDES
from pytest_deploy.record.run_folder import RunFolder
from pytest_deploy.record.ssh_signature import sign
from pytest_deploy.release.request import digest
from tests.unit.record.sample_record import IMAGE, HandClock, RunWriter, decided, open_log, policy_text

NAMESPACE = "deploy-approval@deploy.example.org"
RUN = "local-20261122T120000Z-0001"
LATER_RUN = "local-20261122T120000Z-0002"
ROLES = ("Tech Lead", "QA Lead")
POLICY = policy_text(approval={"roles": list(ROLES)}, phases={"leave_out": []})
REQUEST = canonical(
    {
        "artefact": {"image": IMAGE}, "authors": ["adam@code.example"], "commit": "0" * 40, "environment": "local",
        "version": "1.2.0", "policy_sha256": hashlib.sha256(POLICY).hexdigest(),
    }
)  # fmt: skip
HOURS = 24.0
EXPIRES_IN = timedelta(hours=HOURS)

TINA = Person("tina@example.org", "Tina Tanaka", ("Tech Lead",), 11, "tina", ("tina@home.example",))
QUINN = Person("quinn@example.org", "Quinn Quist", ("QA Lead",), 12, None, ())
BOTH = Person("both@example.org", "Bo Both", ("Tech Lead", "QA Lead"), 13, None, ())
DORA = Person("dora@example.org", "Dora Deployer", ("Deployment Manager", "Tech Lead"), 14, "dora", ())
ADAM = Person("adam@example.org", "Adam Author", ("Tech Lead",), 15, None, ("adam@code.example",))
EVERYBODY = (TINA, QUINN, BOTH, DORA, ADAM)
DEPLOYER = "local:1000:dora@desk"


NAMES = (*(person.email for person in EVERYBODY), "stranger", "second")


def make_keys(folder: Path, names: Sequence[str] = NAMES) -> Mapping[str, Path]:
    """A key for each name, made by ssh-keygen: the people's, and those that nobody is enrolled with."""
    for name in names:
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
        subprocess.run(words, check=True, capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
    return {name: folder / name for name in names}


def public(key: Path) -> str:
    return key.with_name(f"{key.name}.pub").read_text().strip()


@dataclass
class PendingRequest:
    """Where a request lies and people sign it."""

    log: Log
    store: Path
    clock: HandClock
    keys: Mapping[str, Path]

    @classmethod
    def set_up(cls, home: Path, keys: Mapping[str, Path]) -> PendingRequest:
        clock = HandClock()
        pending = cls(open_log(home, clock), home / "reports" / "local", clock, keys)
        known = {person.email: public(keys[person.email]) for person in EVERYBODY}
        enrollment.enroll(
            pending.log, pending.store, EVERYBODY, known,
            namespace=NAMESPACE, now=clock.now(), actor=DEPLOYER, reason="the roster",
        )  # fmt: skip
        clock.move(60)
        pending.ask(RUN)
        clock.move(60)
        return pending

    # --- requests

    def ask(self, run: str, content: bytes = REQUEST, *, by: str = DEPLOYER) -> Event:
        """Make a request, by a plan that passed."""
        plan = RunWriter(self.log, pipeline="plan").open().step("build")
        RunFolder(self.log.store, run).create("request.json", content)
        data = {
            "request_sha256": digest(content), "expires": stamp(self.clock.now() + EXPIRES_IN), "requested_by": by,
            "plan": plan.run,
        }  # fmt: skip
        made = self.log.append(parse("request.made", data), run=run, actor="system:pipeline")
        plan.add("run.decided", decided("passed", request=run))
        return made

    # --- signing

    def approve(self, person: Person, role: str = "", *, key: str = "", run: str = RUN) -> Event:
        """Sign as `deploy.py approve` does."""
        return sign_approval(
            self.log, self.store, run,
            person=person, role=role or person.roles[0], key=self.keys[key or person.email], comment="", now=self.clock.now(),
        )  # fmt: skip

    def revoke(self, person: Person) -> None:
        """End a person's keys, as `deploy.py keys revoke` does."""
        enrollment.revoke(self.log, self.store, person.email, reason="stolen", now=self.clock.now(), actor=DEPLOYER)

    def override(self, person: Person, gate: str = "window", *, hours: float = 4.0, incident: str = "INC-7") -> Event:
        """Sign one person's part of an override, as `deploy.py override` does."""
        role = next(role for role in person.roles if role in ROLES)
        return sign_override(
            self.log, self.store, RUN,
            gate=gate, person=person, role=role, key=self.keys[person.email], reason="patients cannot log in",
            incident=incident, expires=self.clock.now() + timedelta(hours=hours), now=self.clock.now(),
        )  # fmt: skip

    def approval(self, person: Person, **changes: Any) -> Approval:
        """What a person would sign now, with changes."""
        said = Approval(
            APPROVES,
            person.printed_name,
            person.email,
            person.roles[0],
            stamp(self.clock.now()),
            digest(REQUEST),
            RUN,
            "",
        )
        return replace(said, **changes)

    def override_statement(self, person: Person, **changes: Any) -> OverrideStatement:
        """What a person would sign of an override now, with changes."""
        said = OverrideStatement(
            meaning=OVERRIDES, printed_name=person.printed_name, signer=person.email, role=person.roles[0],
            signed_at=stamp(self.clock.now()), request_sha256=digest(REQUEST), run=RUN, gate="window", incident="INC-7",
            reason="patients cannot log in", expires=stamp(self.clock.now() + timedelta(hours=4)),
        )  # fmt: skip
        return replace(said, **changes)

    def put_statement(self, said: UnderRequest, *, key: str = "", namespace: str = NAMESPACE, under: str = RUN) -> str:
        """Sign a statement by hand and put it under a request without asking anybody: what an attacker can do."""
        content = render(said)
        slot = slug(said.role)
        if isinstance(said, OverrideStatement):
            slot = f"override-{said.gate}-{slot}"
        elif isinstance(said, Rejection):
            slot = f"rejection-{slot}"
        signature = sign(content, key=self.keys[key or said.signer], namespace=namespace)
        return self.put(f"{slot}-00000000.json", content, signature, under=under)

    def copy(self, event: Event, *, under: str) -> str:
        """A signature that counts, put under another request as it is."""
        place = self.store / event.data["file"]
        return self.put(place.name, place.read_bytes(), place.with_name(f"{place.name}.sig").read_bytes(), under=under)

    def put(self, name: str, content: bytes, signature: bytes | None, *, under: str = RUN) -> str:
        """Files in a request's folder; their name in the store."""
        folder = self.store / "runs" / under / "approvals"
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
        if signature is not None:
            (folder / f"{name}.sig").write_bytes(signature)
        return f"runs/{under}/approvals/{name}"

    # --- judging

    @property
    def roster(self) -> Roster:
        return in_force(self.log.store, self.log.events())[0]

    def context(self, **changes: Any) -> ApprovalContext:
        """What the signatures are judged against now."""
        run = changes.get("run", RUN)
        asked = ApprovalContext(
            store=self.store,
            run=run,
            request=(self.store / "runs" / run / "request.json").read_bytes(),
            events=tuple(self.log.run(run)),
            roster=self.roster,
            now=self.clock.now(),
            at=self.clock.now(),
            roles=ROLES,
            expires_h=HOURS,
            who=DEPLOYER,
        )
        return replace(asked, **changes)

    def evaluation(self, **changes: Any) -> Evaluation:
        return evaluate(self.context(**changes))

    def why_not(self, **changes: Any) -> str:
        """The reason for which the one signature there does not count. Fails where it counts, or where there are more."""
        evaluation = self.evaluation(**changes)
        assert evaluation.counted == ()
        (refused,) = evaluation.refused
        return refused.reason
