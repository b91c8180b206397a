"""The record of a rollback that somebody asked for: three verifiers read it alike, done, refused, or not led back."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.event import of_type
from pytest_deploy.record.events import RequestMade
from pytest_deploy.verify.verify import verify
from tests.unit.record.sample_record import (
    MOVED,
    RunWriter,
    deployed,
    open_log,
    phase_finished,
    policy_text,
    step_finished,
    step_started,
    verdict,
)
from tests.unit.verify.insider import Insider
from tests.unit.verify.third_verifier import all_three

BACK = "suites/rollback/t.py::test_it"
STARTED = {"cause": "asked for", "order": ["traffic"], "target": "1.1.0"}


def asked(home: Path) -> RunWriter:
    """A rollback whose request was made right before its lease, and that is open."""
    log = open_log(home)
    deployed(log)
    run = RunWriter(log, pipeline="rollback").request(pipeline="rollback", expires=None)
    made = [content.request_sha256 for event, content in of_type(log.history(), RequestMade) if event.run == run.run]
    return run.open(request_sha256=made[0]).ask_gates().step("preflight")


def go_back(run: RunWriter, outcome: str) -> RunWriter:
    """The phase rollback as an ordinary one, in which traffic moves to a release that the request does not name."""
    end = "passed" if outcome == "rolled-back" else "failed"
    run.add("rollback.started", STARTED)
    run.add("phase.started", {"phase": "rollback"})
    run.add("step.started", step_started(BACK, "rollback", changes=True))
    run.add("traffic.moved", MOVED)
    run.add("step.finished", step_finished(BACK, "rollback", end))
    run.add("phase.finished", phase_finished("rollback", end))
    run.add("rollback.finished", {"outcome": outcome, "duration_s": 1.0, "target": "1.1.0"})
    return run


@pytest.mark.parametrize("outcome", ["rolled-back", "rollback-failed"])
def test_a_rollback_that_was_asked_for_verifies_however_it_ended(tmp_path: Path, outcome: str) -> None:
    run = go_back(asked(tmp_path), outcome)
    run.close(outcome)

    assert all_three(run.log.store.folder()) == (True, "")


def test_one_that_was_refused_before_it_began_verifies(tmp_path: Path) -> None:
    run = asked(tmp_path)
    run.close("refused")

    assert all_three(run.log.store.folder()) == (True, "")


# --- what let it go: the gates and signatures that its policy asks of a rollback, right before it begins

SIGNED = policy_text(phases={"leave_out": []}, rollback={"roles": ["Tech Lead"]})
TINA = {"Tech Lead": "tina@example.org"}


def signed_for(home: Path, *people: str) -> Insider:
    """A rollback under a policy that asks a Tech Lead, whose request these people signed; open, its gates not asked yet."""
    insider = Insider.begin(home, policy=SIGNED)
    insider.run.pipeline = "rollback"
    return insider.approve(*people).open()


def assert_not_let_go(run: RunWriter, problem: str) -> None:
    """The beginning of the rollback is what all three name."""
    place = entries.name(next(e.seq for e in run.log.run(run.run) if e.type == "rollback.started"))
    store = run.log.store.folder()
    found = verify(store).findings
    assert {one.place for one in found} == {place}
    assert any(problem in one.problem for one in found), found
    assert all_three(store) == (False, place)


def test_one_that_was_signed_verifies(tmp_path: Path) -> None:
    insider = signed_for(tmp_path, "tina").ask(TINA)
    go_back(insider.run, "rolled-back").close("rolled-back")

    assert all_three(insider.store) == (True, "")


@pytest.mark.parametrize(
    "filled, problem",
    [
        ({"QA Lead": "quinn@example.org"}, "nobody approved as Tech Lead"),
        (None, "the gate approvals answered not-applicable and policy has a rule"),
    ],
    ids=["in another role", "not applicable"],
)
def test_one_that_the_role_of_its_policy_did_not_sign_is_refused(
    tmp_path: Path, filled: dict[str, str] | None, problem: str
) -> None:
    insider = signed_for(tmp_path, "tina", "quinn")
    if filled is None:
        insider.run.ask_gates(approvals=verdict("approvals", "not-applicable", "change"))
    else:
        insider.ask(filled)
    go_back(insider.run, "rolled-back").close("rolled-back")

    assert_not_let_go(insider.run, problem)


def test_who_signs_a_deployment_is_not_asked_of_a_rollback(tmp_path: Path) -> None:
    policy = policy_text(phases={"leave_out": []}, approval={"roles": ["QA Lead"]}, rollback={"roles": []})
    insider = Insider.begin(tmp_path, policy=policy)
    insider.run.pipeline = "rollback"
    insider.open().run.ask_gates()
    go_back(insider.run, "rolled-back").close("rolled-back")

    assert all_three(insider.store) == (True, "")


def test_one_whose_request_is_rejected_after_its_gates_passed_is_refused(tmp_path: Path) -> None:
    insider = signed_for(tmp_path, "tina").ask(TINA).reject("quinn")
    go_back(insider.run, "rolled-back").close("rolled-back")

    assert_not_let_go(insider.run, "rejected the request")


@pytest.mark.parametrize("gate", ["deployer", "lease", "freeze", "clock"])
def test_one_that_a_gate_refused_is_refused(tmp_path: Path, gate: str) -> None:
    run = asked(tmp_path)
    run.add("gate.refused", verdict(gate, "refused", "change"))
    go_back(run, "rolled-back").close("rolled-back")

    assert_not_let_go(run, f"the gate {gate} answered last: refused")


def test_one_whose_gates_were_asked_at_the_lease_alone_is_refused(tmp_path: Path) -> None:
    run = asked(tmp_path)
    run.ask_gates("lease")
    go_back(run, "rolled-back").close("rolled-back")

    assert_not_let_go(run, "was not asked right before")


def test_one_that_nobody_asked_for_is_refused(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    deployed(log)
    run = RunWriter(log, pipeline="rollback").open().ask_gates()
    go_back(run, "rolled-back").close("rolled-back")

    assert_not_let_go(run, "nobody asked for it")
