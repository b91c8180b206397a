"""A checkout whose rehearsal of production has a request that waits for signatures, and the people who may give them."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from pytest_deploy.approvals import enrollment
from pytest_deploy.approvals.record_signatures import record_signatures
from pytest_deploy.approvals.roster import Person
from pytest_deploy.approvals.sign_request import Approval, OverrideStatement
from pytest_deploy.approvals.sign_request import render as statement
from pytest_deploy.approvals.signed_file import slug
from pytest_deploy.commands.approve import approve, override
from pytest_deploy.commands.pending_request import pending_request
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.load import policy_of
from pytest_deploy.record.clock import SystemClock, stamp
from pytest_deploy.record.event import canonical
from pytest_deploy.record.events import parse
from pytest_deploy.record.log import Log
from pytest_deploy.record.meanings import APPROVES, OVERRIDES
from pytest_deploy.record.run_folder import RunFolder
from pytest_deploy.record.run_id import new_run_id
from pytest_deploy.record.ssh_signature import sign
from pytest_deploy.release.live import Baseline
from pytest_deploy.release.request import digest
from pytest_deploy.workspace import Workspace
from tests.unit.approvals.pending_request import ADAM, EVERYBODY, NAMESPACE, public
from tests.unit.commands.typed import typed
from tests.unit.record.sample_record import ACTOR, SHA, RunWriter, decided, verdict
from tests.unit.sample_environment import environment

DEPLOYER = "local:1000:dora@desk"
IMAGE = f"diary@sha256:{'a' * 64}"
PLANNED_GATES = {"build": "passed", "window": "still-needed", "freeze": "not-applicable", "approvals": "still-needed"}
"""What the gates of the plan said."""
WINDOW = {"reason": "patients cannot log in", "incident": "INC-7", "hours": 1.0}


@dataclass
class PendingRequestCheckout:
    """A checkout whose rehearsal of production has a request that waits; Adam wrote what is deployed, Dora asks for it."""

    root: Path
    keys: Mapping[str, Path]
    commit: str
    held: Environment
    run: str = ""
    printed: list[str] = field(default_factory=list)

    @property
    def log(self) -> Log:
        return self.held.log

    @property
    def folder(self) -> Path:
        return self.held.workspace.store / "runs" / self.run

    def ask(
        self, *, expires: timedelta = timedelta(hours=4), outcome: str = "still-needed", diff: str = "", named: str = ""
    ) -> PendingRequestCheckout:
        """A request, and the plan that ended so and showed this diff; `named`: another plan that the record names."""
        of = self.held.workspace
        plan, run = (new_run_id(of.environment, SystemClock(), rehearsal=of.rehearsal) for _ in range(2))
        planning = RunWriter(self.log, plan, pipeline="plan").open(environment=of.environment, rehearsal=of.rehearsal)
        for gate, result in PLANNED_GATES.items():
            planning.add(f"gate.{'refused' if result == 'still-needed' else result}", verdict(gate, result, "plan"))
        planning.step("approval", outcome="still-needed" if outcome == "still-needed" else "failed")
        planned = (diff or f"+ column mood -- {run}\n").encode()
        RunFolder(self.log.store, plan).create("schema/planned.diff", planned)
        until = stamp(SystemClock().now() + expires)
        content = canonical({
            "artefact": {"image": IMAGE}, "authors": ["ada@example.org"], "commit": self.commit, "branch": "main", "version": "1.3.0", "dirty": False,
            "earlier": Baseline("diary-1", ("0007",), SHA, SHA, None).to_json(), "environment": of.environment,
            "expires": until, "infrastructure": None, "migrations": [{"version": "0008", "name": "mood", "sha256": SHA}],
            "plan": {"run": plan, "schema_diff_sha256": hashlib.sha256(planned).hexdigest()}, "policy_sha256": SHA,
            "reason": "adds moods", "run": run, "steps_sha256": SHA, "ticket": "",
        })  # fmt: skip
        RunFolder(self.log.store, run).create("request.json", content)
        made = {"request_sha256": digest(content), "expires": until, "requested_by": DEPLOYER, "commit": self.commit}
        self.log.append(parse("request.made", {**made, "plan": named or plan}), run=run, actor=ACTOR)
        planning.add("run.decided", decided(outcome, request=run))
        return replace(self, run=run, printed=[])

    def approve(self, email: str, *, role: str = "") -> None:
        typed(self.root, approve, self.run, printed=self.printed, role=role, key=self.keys[email])

    def override(self, email: str, gate: str = "window", **changes: object) -> None:
        options = {**WINDOW, **changes}
        typed(self.root, override, gate, self.run, printed=self.printed, key=self.keys[email], **options)

    def events(self, type_: str) -> list[str]:
        """Who the events of a type in this run name."""
        return [str(e.data["signer"]) for e in self.log.run(self.run) if e.type == type_]

    def lay(self, person: Person, *, key: str = "") -> str:
        """A signature where the log's key is not at hand: files, no event; the statement's name."""
        signed = Approval(**self.words(person), meaning=APPROVES, comment="")
        return self._put(f"{slug(person.roles[0])}-{person.github}.json", statement(signed), key or person.email)

    def lay_override(self, person: Person) -> str:
        """The same of a part of an override of the window."""
        expires = stamp(SystemClock().now() + timedelta(hours=1))
        signed = OverrideStatement(
            **self.words(person), meaning=OVERRIDES, gate="window", incident="INC-7", reason="down", expires=expires
        )  # fmt: skip
        return self._put(f"override-window-{person.github}.json", statement(signed), person.email)

    def words(self, person: Person) -> dict[str, str]:
        """What every statement of a person about the request says."""
        return {
            "printed_name": person.printed_name,
            "signer": person.email,
            "role": person.roles[0],
            "signed_at": stamp(SystemClock().now()),
            "request_sha256": digest((self.folder / "request.json").read_bytes()),
            "run": self.run,
        }

    def _put(self, name: str, content: bytes, key: str) -> str:
        signature = sign(content, key=self.keys[key], namespace=NAMESPACE)
        for end, data in (("", content), (".sig", signature)):
            RunFolder(self.log.store, self.run).create(f"approvals/{name}{end}", data)
        return f"runs/{self.run}/approvals/{name}"

    def take_in(self) -> None:
        """What the next plan or run of this request does."""
        found = pending_request(self.root, self.run)
        record_signatures(found.environment.log, found.gates().facts.approval_context, actor="system:pipeline")


def set_up(root: Path, keys: Mapping[str, Path], workspace: Workspace | None = None) -> PendingRequestCheckout:
    """The record is born, the people are enrolled, the request is made; in a rehearsal of production, or where one says."""
    workspace = workspace or environment(root, "production").workspace
    held = Environment(workspace, policy_of(workspace))
    who = ["-c", f"user.name={ADAM.printed_name}", "-c", f"user.email={ADAM.emails[-1]}"]
    for words in (["init", "-q", "-b", "main"], ["add", "--all"], [*who, "commit", "-q", "-m", "Add moods"]):
        subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True, timeout=30)
    head = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], check=True, capture_output=True, timeout=30)
    known = {person.email: public(keys[person.email]) for person in EVERYBODY}
    hour_ago = SystemClock().now() - timedelta(hours=1)
    enrollment.enroll(
        held.log, held.workspace.store, EVERYBODY, known, namespace=NAMESPACE, now=hour_ago, actor=DEPLOYER, reason="the roster"
    )  # fmt: skip
    return PendingRequestCheckout(root, keys, head.stdout.decode().strip(), held).ask()
