"""What gates are judged by: the way back has a policy of its own, and what people signed counts once the log says so."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_deploy.approvals import enrollment
from pytest_deploy.gates.facts import GateFacts
from pytest_deploy.gates.registry import Gatekeeper
from pytest_deploy.gates.verdict import Verdict
from pytest_deploy.platform.environment import Environment
from pytest_deploy.record.event import canonical, of_type
from pytest_deploy.record.events import ApprovalSigned
from pytest_deploy.release.candidate import ReleaseCandidate, of_request
from pytest_deploy.release.request import digest
from tests.required_programs import needs
from tests.unit.approvals.pending_request import (
    DEPLOYER,
    NAMESPACE,
    QUINN,
    RUN,
    PendingRequest,
    make_keys,
    public,
)
from tests.unit.record.sample_record import ACTOR, SHA, HandClock, deployed
from tests.unit.sample_environment import environment
from tests.unit.verify.signed_rosters import ADMINISTRATOR, SignedRosters
from tests.unit.verify.signed_rosters import make_keys as make_people


@pytest.fixture
def production(tmp_path: Path) -> Environment:
    made = environment(tmp_path)
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    for words in (["init", "-q"], [*who, "commit", "-q", "--allow-empty", "-m", "One"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True, timeout=30)
    return made


def asked(made: Environment, pipeline: str, *, reason: str = "", ticket: str = "") -> tuple[Gatekeeper, Verdict]:
    words = ["git", "-C", str(made.workspace.root), "rev-parse", "HEAD"]
    commit = subprocess.run(words, check=True, capture_output=True, text=True, timeout=30).stdout.strip()
    gates = Gatekeeper(made, ReleaseCandidate(pipeline, "", commit, None, None, "", None, reason=reason, ticket=ticket))
    return gates, gates.check("approvals", made.clock.now())


def test_a_rollback_by_hand_asks_for_the_roles_a_reason_and_a_ticket_of_its_own(production: Environment) -> None:
    gates, verdict = asked(production, "rollback")

    assert {"window", "blackout", "rate-limit", "staging-smoke", "incidents"}.isdisjoint(gates.names)
    assert verdict.inputs["needed"] == ["Tech Lead"]
    assert verdict.reason == "policy asks for a reason and a ticket"

    _, verdict = asked(production, "rollback", reason="logins fail", ticket="OPS-7")
    assert verdict.inputs["unsaid"] == []


def test_a_deployment_asks_for_its_own_roles_and_no_ticket(production: Environment) -> None:
    gates, verdict = asked(production, "deploy")

    assert {"window", "blackout", "rate-limit"} <= set(gates.names)
    assert (verdict.inputs["needed"], verdict.inputs["unsaid"]) == (["Tech Lead", "QA Lead"], [])


@pytest.mark.parametrize(
    "asks, unasked", [(("Tech Lead", "QA Lead"), ()), (("QA Lead",), ("Tech Lead",)), ((), ("Tech Lead", "QA Lead"))]
)
def test_who_approves_by_the_roster_that_administrators_signed_is_asked_whatever_policy_says(
    production: Environment, tmp_path: Path, asks: tuple[str, ...], unasked: tuple[str, ...]
) -> None:
    clock = HandClock(production.system_clock.now())
    people = (
        SignedRosters(production.log, make_people(tmp_path), clock)
        .enrol("ada", ADMINISTRATOR)
        .enrol("ben", ADMINISTRATOR)
    )
    people.root(approvers=["Tech Lead", "QA Lead"])
    left_out = () if asks else ("approval",)
    policy = production.policy
    production.policy = policy.model_copy(
        update={
            "approval": policy.approval.model_copy(update={"roles": asks}),
            "phases": policy.phases.model_copy(update={"leave_out": left_out}),
        }
    )

    gates, verdict = asked(production, "deploy")

    assert verdict.inputs, verdict.reason
    assert ("approvals" in gates.names, verdict.inputs["unasked"]) == (True, list(unasked))
    assert verdict.blocks
    assert ("administrators signed that" in verdict.reason) == bool(unasked)


def test_a_log_is_read_once_and_as_it_was_then(production: Environment) -> None:
    facts = GateFacts(production, ReleaseCandidate("deploy", "", "c" * 40, None, None, "", None))
    before = len(facts.history)

    deployed(production.log)

    assert len(production.log.history()) > before
    assert (len(facts.history), facts.state.deployed_commit) == (before, None)


@dataclass(frozen=True)
class Waiting:
    """A request of one release that waits for the QA Lead."""

    made: Environment
    pending: PendingRequest
    request: bytes

    @classmethod
    def of(cls, folder: Path, *, enrolled: bool = True) -> Waiting:
        """`enrolled`: whether Quinn is in the roster when the request is made."""
        needs("ssh-keygen")
        clock = HandClock()
        made = environment(folder / "made", clock=clock)
        for words in (
            ["init", "-q"],
            [
                *("-c", "user.name=A"),
                *("-c", "user.email=a@example.org"),
                *["commit", "-q", "--allow-empty", "-m", "One"],
            ],
        ):
            subprocess.run(["git", "-C", str(made.workspace.root), *words], check=True, timeout=30)
        pending = PendingRequest(made.log, made.workspace.store, clock, make_keys(folder, [QUINN.email]))
        waiting = cls(made, pending, b"")
        if enrolled:
            waiting.enroll()
        head = ["git", "-C", str(made.workspace.root), "rev-parse", "HEAD"]
        commit = subprocess.run(head, check=True, capture_output=True, text=True, timeout=30).stdout.strip()
        request = canonical({"artefact": {"image": f"diary@sha256:{SHA}"}, "commit": commit, "migrations": []})
        pending.ask(RUN, request)
        return cls(made, pending, request)

    def enroll(self) -> None:
        enrollment.enroll(
            self.made.log, self.pending.store, [QUINN], {QUINN.email: public(self.pending.keys[QUINN.email])},
            namespace=NAMESPACE, now=self.pending.clock.now(), actor=DEPLOYER, reason="the roster",
        )  # fmt: skip

    def sign(self) -> str:
        """The name of the file with Quinn's signature, which no event says yet."""
        return self.pending.put_statement(self.pending.approval(QUINN, request_sha256=digest(self.request)))

    def gates(self, **approval: object) -> Gatekeeper:
        policy = self.made.policy
        self.made.policy = policy.model_copy(update={"approval": policy.approval.model_copy(update=approval)})
        return Gatekeeper(self.made, of_request(self.made.workspace.store, RUN))


def test_what_was_signed_meanwhile_is_counted_before_a_verdict_rests_on_it(tmp_path: Path) -> None:
    """A signature that another machine laid down, which has no key of the log: the file is there, and no event says it."""
    waiting = Waiting.of(tmp_path)
    file = waiting.sign()

    gates = waiting.gates()
    gates.count_signatures(actor=ACTOR)
    (signed,) = (content for _, content in of_type(waiting.made.log.run(RUN), ApprovalSigned))

    assert (signed.file, signed.signer) == (file, QUINN.email)
    assert gates.check("approvals").inputs["filled"] == {"QA Lead": QUINN.email}


def test_a_key_that_was_enrolled_for_a_request_that_waits_fills_no_role(tmp_path: Path) -> None:
    waiting = Waiting.of(tmp_path, enrolled=False)
    waiting.enroll()
    waiting.sign()

    verdict = waiting.gates().check("approvals")
    assert verdict.inputs["filled"] == {}
    assert "was enrolled after the request was made" in str(verdict.inputs["refused"])


def test_no_role_is_filled_under_another_trust_root_than_policy_pins(tmp_path: Path) -> None:
    waiting = Waiting.of(tmp_path)
    waiting.sign()

    verdict = waiting.gates(trust_root="0" * 64).check("approvals")
    assert verdict.inputs["filled"] == {}
    assert "policy pins the trust root" in verdict.reason
