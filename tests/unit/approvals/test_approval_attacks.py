"""Every way to a deployment that nobody approved is refused: by the gate, and by all three verifiers where the log's key goes on all the same."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from typing import Any

import pytest

from pytest_deploy.approvals.evaluate import Evaluation
from pytest_deploy.errors import IllegalEvent
from pytest_deploy.gates import approvals
from pytest_deploy.gates.approvals import Quorum
from pytest_deploy.gates.verdict import Verdict
from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.lease import take
from pytest_deploy.record.meanings import APPROVES
from pytest_deploy.release.request import digest
from pytest_deploy.verify.verify import verify
from tests.unit.approvals.approval_attacks import ATTACKS, TECH_LEAD, files_of
from tests.unit.approvals.pending_request import (
    ADAM,
    DEPLOYER,
    POLICY,
    QUINN,
    REQUEST,
    ROLES,
    RUN,
    TINA,
    PendingRequest,
)
from tests.unit.record.sample_record import RunWriter
from tests.unit.verify.altered_record import append_unchecked
from tests.unit.verify.second_verifier import second_opinion
from tests.unit.verify.third_verifier import all_three

ALWAYS = {
    "she rejected it", "a role that she does not hold", "a stranger's key", "a key of hers that was revoked", "a key twice",
    "somebody whom the log's key enrolled meanwhile", "who wrote it", "one signature twice", "over a rejection whose file was removed",
}  # fmt: skip
"""Attacks that verifiers are put to each time; `make faults` puts them to all."""


def test_there_are_more_than_forty() -> None:
    assert len(ATTACKS) > 40


class Insider(RunWriter):
    """Writes a run with the log's key, and past the code that would refuse to."""

    def add(self, event_type: str, data: dict[str, Any]) -> int:
        with suppress(IllegalEvent):
            return super().add(event_type, data)
        return append_unchecked(self.log, event_type, data, self.run)


def attacked(pending: PendingRequest, kind: str) -> PendingRequest:
    if not ATTACKS[kind].alone:
        pending.approve(QUINN)
    pending.clock.move(10)
    ATTACKS[kind].lay(pending)
    pending.clock.move(10)
    return pending


def verdict(pending: PendingRequest, evaluation: Evaluation) -> Verdict:
    """What the gate `approvals` says."""
    refused = [f"{file.file.rpartition('/')[2]}: {file.reason}" for file in evaluation.refused]
    quorum = Quorum(
        ROLES, evaluation.filled, evaluation.missing, refused, evaluation.why_impossible, evaluation.expires, RUN,
        rejected=evaluation.rejected,
    )  # fmt: skip
    return approvals.judge(quorum, pending.clock.now())


def test_who_was_asked_and_signed_passes(pending: PendingRequest) -> None:
    asked_of = pending.roster
    pending.approve(QUINN)
    pending.approve(TINA)

    assert verdict(pending, pending.evaluation(asked_of=asked_of, authors=(ADAM.email,))).passed
    go_on(pending, {TECH_LEAD: TINA.email, "QA Lead": QUINN.email})
    assert all_three(pending.store) == (True, "")


@pytest.mark.parametrize("kind", ATTACKS)
def test_the_gate_refuses_it_and_says_why(pending: PendingRequest, kind: str) -> None:
    asked_of = pending.roster
    attacked(pending, kind)

    said = verdict(pending, pending.evaluation(asked_of=asked_of, authors=(ADAM.email,)))

    assert said.blocks
    assert ATTACKS[kind].refused in said.reason


@pytest.mark.parametrize(
    "kind", [kind if kind in ALWAYS else pytest.param(kind, marks=pytest.mark.faults) for kind in ATTACKS]
)
def test_all_three_verifiers_refuse_it_for_what_it_is_where_the_logs_key_goes_on_with_it(
    pending: PendingRequest, kind: str
) -> None:
    """Each file there is counted, the gate is said to have passed, and the run deploys."""
    attack = ATTACKS[kind]
    attacked(pending, kind)
    counted = {event.data.get("file") for event in pending.log.run(RUN)}
    for file, said in files_of(pending).items():
        if file in counted or "rejection-" in file:
            continue
        claims: dict[str, Any] = {
            "signer": attack.signer, "role": TECH_LEAD, "meaning": APPROVES, "request_sha256": digest(REQUEST),
        }  # fmt: skip
        path = pending.store / file
        signature = path.with_name(f"{path.name}.sig")
        bound = {
            "file": file,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "signature_sha256": hashlib.sha256(signature.read_bytes() if signature.exists() else b"").hexdigest(),
        }
        Insider(pending.log, RUN).add(
            "approval.signed", {**bound, **{key: said.get(key, claims[key]) for key in claims}}
        )
    go_on(pending, {TECH_LEAD: attack.signer, "QA Lead": attack.signer if attack.alone else QUINN.email})

    ok, place = all_three(pending.store)
    assert not ok
    assert called(pending, place).endswith(attack.complaint.at)
    problems = [finding.problem for finding in verify(pending.store).findings if finding.place == place]
    assert re.search(attack.complaint.ours, "\n".join(problems)), problems
    assert attack.complaint.theirs in second_opinion(pending.store).text


def called(pending: PendingRequest, place: str) -> str:
    """A file of the store by its name, an event by its type."""
    if not place.startswith("log/"):
        return place
    return entries.parse((pending.store / place).read_bytes()).event.type


def go_on(pending: PendingRequest, filled: dict[str, str]) -> None:
    """Deploy as if these people had approved it."""
    run = Insider(pending.log, RUN)
    run.policy = POLICY
    run.lease = take(pending.log, RUN, name="local", actor=DEPLOYER)
    run.open_under_lease(request_sha256=digest(REQUEST), deployer=DEPLOYER)
    run.ask_gates("change", approvals={"inputs": {"filled": filled}})
    run.step("traffic", changes=True)
    run.add("run.decided", {"outcome": "deployed", "cause": None, "duration_s": 2.0, "sla_s": 1200})
