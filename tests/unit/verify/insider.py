"""Whoever holds the log's key writes a run, legal event for legal event, with signatures of people or without."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.event import canonical
from pytest_deploy.record.events import parse
from pytest_deploy.record.key import first_set, write_plain_copies, write_set
from pytest_deploy.record.meanings import APPROVES, OVERRIDES, REJECTS
from pytest_deploy.verify.verify import verify
from tests.required_programs import needs
from tests.unit.record.fido_token import Token
from tests.unit.record.sample_record import (
    ACTOR,
    IMAGE,
    MOVED,
    PERSON,
    HandClock,
    RunWriter,
    open_log,
    opened_data,
    phase_finished,
    policy_text,
    step_finished,
    step_started,
)
from tests.unit.verify.altered_record import append_unchecked
from tests.unit.verify.third_verifier import all_three

NAMESPACE = "deploy-approval@example.org"
PEOPLE = {"tina": "Tech Lead", "quinn": "QA Lead", "otto": "QA Lead"}
ROLES = ["Tech Lead", "QA Lead"]
FILLED = {"Tech Lead": "tina@example.org", "QA Lead": "quinn@example.org"}
RULES_OF_PRODUCTION: dict[str, Any] = {
    "approval": {"roles": ROLES},
    "phases": {"leave_out": []},
    "window": {"closes": "15:00", "opens": "09:00", "zone": "America/New_York"},
}
PRODUCTION = policy_text(**RULES_OF_PRODUCTION)
UNTIL = "2026-11-22T16:00:00.000Z"
"""When a request, or an override, of these records ends."""
OVERRIDDEN = {"by": ["quinn@example.org", "tina@example.org"], "refused": "closed", "until": UNTIL}
STEP = "suites/deploy/test_deploy.py::test_it"
REVISION: dict[str, Any] = {"revision": "diary-2", "image": IMAGE, "url": None, "env_names": []}
ROLLED_BACK: dict[str, Any] = {"outcome": "rolled-back", "duration_s": 1.0, "target": None}


@dataclass
class Insider:
    """Writes a run with the log's own key, under a policy that asks for two people and has a window."""

    home: Path
    run: RunWriter
    tokens: Mapping[str, Token] = field(default_factory=dict)
    """Of those who sign with one."""
    says: dict[str, str] = field(default_factory=dict)
    """What the events say of the user verification of somebody's signatures; of others they say nothing."""

    @classmethod
    def begin(
        cls,
        home: Path,
        known: Sequence[str] = tuple(PEOPLE),
        *,
        policy: bytes = PRODUCTION,
        tokens: Mapping[str, Token] | None = None,
        asked_by: str = PERSON,
        also: Mapping[str, Any] | None = None,
        **request: Any,
    ) -> Insider:
        """Three people are enrolled, or those that are named, and a request is made; `request` says more of it."""
        needs("ssh-keygen")
        made = cls(home, RunWriter(open_log(home, HandClock())), tokens or {})
        made.enroll(*known, also=also)
        made.run.policy = policy
        made.run.planned_request(says=request, requested_by=asked_by)
        return made

    @classmethod
    def asked(cls, home: Path, signed: str | None, said: str | None) -> Insider:
        """A request that two people approved; its file says when it ends, its event may say another time."""
        made = cls.begin(home)
        made.run = RunWriter(made.run.log)
        made.run.policy = PRODUCTION
        made.run.planned_request(says={} if signed is None else {"expires": signed}, expires=said)
        return made.approve("tina", "quinn")

    def enroll(self, *people: str, also: Mapping[str, Any] | None = None) -> Insider:
        """The roster is these people from now on, and what `roles.json` says `also`."""
        log, home = self.run.log, self.home
        allowed, roster = "", dict[str, Any](also or {})
        for name in people:
            role = PEOPLE[name]
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / name)]
            if not (home / name).exists():
                subprocess.run(command, check=True, capture_output=True)
            text = self.tokens[name].public if name in self.tokens else (home / f"{name}.pub").read_text()
            kind, public = text.split()[:2]
            allowed += f'{name}@example.org namespaces="{NAMESPACE}" {kind} {public}\n'
            known_as: dict[str, Any] = {"emails": [f"{name.title()}@home.example"], "github": None, "local": name}
            roster.setdefault(f"{name}@example.org", {"printed_name": name.title(), "roles": [role], **known_as})
        files = {**first_set(log.key), "allowed_signers": allowed.encode(), "roles.json": canonical(roster)}
        folder, sha256 = write_set(log.store, files)
        data = {"set": folder, "set_sha256": sha256, "person": None, "fingerprint": None, "reason": "new"}
        log.append(parse("key.enrolled", data), run="-", actor=ACTOR)
        write_plain_copies(home / "reports" / "local", files)
        return self

    @property
    def store(self) -> Path:
        return self.home / "reports" / "local"

    @property
    def request_sha256(self) -> str:
        return next(str(e.data["request_sha256"]) for e in self.run.log.run(self.run.run) if e.type == "request.made")

    def approve(self, *people: str, file: str = "{}.json", **says: Any) -> Insider:
        """People sign, and what they signed is counted; `says` differs from what they say as a rule."""
        for name in people:
            said: dict[str, Any] = {"role": PEOPLE[name], "meaning": APPROVES, "comment": "", **says}
            self._count(
                "approval.signed",
                name,
                file.format(name),
                said,
                "role signer meaning request_sha256 printed_name signed_at",
            )
        return self

    def reject(self, name: str, **says: Any) -> Insider:
        said: dict[str, Any] = {"role": PEOPLE[name], "meaning": REJECTS, "reason": "it locks the table", **says}
        self._count(
            "request.rejected",
            name,
            f"rejection-{name}.json",
            said,
            "signer role meaning request_sha256 printed_name reason signed_at",
        )
        return self

    def override(
        self, *people: str, gate: str = "window", incident: str = "INC-7", file: str = "{}.json", **says: Any
    ) -> Insider:  # fmt: skip
        for name in people:
            said: dict[str, Any] = {"gate": gate, "incident": incident, "reason": "patients cannot log in"}
            said |= {"expires": OVERRIDDEN["until"], "role": PEOPLE[name], "meaning": OVERRIDES, **says}
            self._count(
                "override.signed", name, f"override-{gate}-{incident}-{file.format(name)}", said,
                "signer reason gate incident expires request_sha256 role",
            )  # fmt: skip
        return self

    def _count(self, event_type: str, name: str, file: str, said: dict[str, Any], says: str) -> None:
        said = {
            "signer": f"{name}@example.org", "printed_name": name.title(), "request_sha256": self.request_sha256,
            "run": self.run.run, "signed_at": "2026-11-22T12:00:00.000Z", **said,
        }  # fmt: skip
        path = self.run.folder.create(f"approvals/{file}", canonical(said))
        beside = path.with_name(f"{path.name}.sig")
        if name in self.tokens:
            beside.write_bytes(self.tokens[name].sign(path.read_bytes(), NAMESPACE))
        else:
            command = ["ssh-keygen", "-q", "-Y", "sign", "-n", NAMESPACE, "-f", str(self.home / name), str(path)]
            subprocess.run(command, check=True, capture_output=True)
        signature = beside.read_bytes()
        bound = {
            "file": f"runs/{self.run.run}/approvals/{file}",
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "signature_sha256": hashlib.sha256(signature).hexdigest(),
        }
        made_with = {"user_verification": self.says[name]} if name in self.says else {}
        self.run.add(event_type, {**bound, **made_with, **{key: said[key] for key in says.split()}})

    def open(self, **changes: Any) -> Insider:
        self.run.open(request_sha256=self.request_sha256, **changes).step("build")
        return self

    def ask(self, filled: dict[str, str] | None = None, **answers: dict[str, Any]) -> Insider:
        """The gates right before the change: approved by `filled`, and what else differs."""
        approved = {"inputs": approvals(FILLED if filled is None else filled)}
        self.run.ask_gates("change", **{"approvals": approved, **answers})
        return self

    def deploy(self) -> Insider:
        self.run.step("traffic", changes=True).close("deployed")
        return self

    def later(self, seconds: float) -> Insider:
        clock = self.run.log.clock
        assert isinstance(clock, HandClock)
        clock.move(seconds)
        return self

    # --- a run by its parts, where one of them is not as the writer would have it

    def force(self, event_type: str, data: dict[str, Any]) -> int:
        """An event of the run that the log's key signs though it is not legal now; returns its seq."""
        return append_unchecked(self.run.log, event_type, data, self.run.run)

    def void(self) -> Insider:
        self.run.add("request.voided", {"cause": "withdrawn"})
        return self

    def lease(self) -> Insider:
        """The run is about to be opened."""
        data = {"name": "local", "holder": PERSON, "until": "2026-11-22T12:01:00.000Z", "recovers": False}
        self.force("lease.taken", {**data, "host": None, "pid": None, "process_started": None})
        return self

    def opening(self, **says: Any) -> dict[str, Any]:
        """The data of its `run.opened`."""
        return opened_data(**{"request_sha256": self.request_sha256, "preimages": {}, **says})

    def smoke(self) -> Insider:
        """Another run, which only checks what serves; behind its gates."""
        self.run = RunWriter(self.run.log, pipeline="smoke")
        self.run.policy = PRODUCTION
        self.run.open().ask_gates("change")
        return self

    def begin_step(self, *, changes: bool = True) -> Insider:
        """The step of a deployment has begun, behind its gates."""
        self.open().ask()
        self.run.add("phase.started", {"phase": "deploy"})
        self.run.add("step.started", step_started(STEP, "deploy", changes=changes))
        return self

    def end_step(self, outcome: str = "passed") -> Insider:
        self.run.add("step.finished", step_finished(STEP, "deploy", outcome))
        self.run.add("phase.finished", phase_finished("deploy", "passed" if outcome == "passed" else "failed"))
        return self

    def fail(self) -> Insider:
        """The step moved traffic, and failed."""
        self.begin_step().run.add("traffic.moved", MOVED)
        return self.end_step("failed")

    def undo(self) -> Insider:
        """The step passed, and was undone all the same."""
        self.begin_step().run.add("traffic.moved", MOVED)
        self.end_step().run.roll_back()
        return self

    def start_rollback(self) -> Insider:
        """What failed is being undone."""
        self.fail().run.add("rollback.started", {"cause": "-", "order": ["traffic"], "target": None})
        return self

    def seq_of(self, event_type: str, **says: Any) -> int:
        """Of the newest event of a type that says this."""
        events = self.run.log.run(self.run.run)
        return max(e.seq for e in events if e.type == event_type and says.items() <= e.data.items())

    def stands(self) -> None:
        """All three verify the record."""
        assert all_three(self.store) == (True, "")

    def refused_at(self, seq: int, problem: str) -> None:
        """All three refuse the record at this event; of this project's own, nothing else is found, and it says why."""
        findings = verify(self.store).findings
        assert {(finding.step, finding.place) for finding in findings} == {(10, entries.name(seq))}
        assert problem in findings[0].problem
        assert all_three(self.store) == (False, entries.name(seq))


def approvals(filled: dict[str, str]) -> dict[str, Any]:
    return {"needed": ROLES, "filled": filled, "missing": [], "refused": [], "run": None}
