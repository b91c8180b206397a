"""What people sign was planned, and the plan passed: whoever holds the log's key writes a request past its plan, and it verifies not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.planned import plan_fault
from tests.unit.record.sample_record import RunWriter, decided, verdict
from tests.unit.verify.insider import PRODUCTION, Insider
from tests.unit.verify.third_verifier import Peer

Forged = Callable[[RunWriter], Any]


def _plan(run: RunWriter, pipeline: str = "plan") -> RunWriter:
    return RunWriter(run.log, pipeline=pipeline).open().step("build")


def _planned(run: RunWriter, outcome: str = "passed", **says: Any) -> RunWriter:
    """A request and its plan, which ends so and says this."""
    plan = _plan(run)
    run.request(plan=plan.run)
    plan.add("run.decided", decided(outcome, **{"request": run.run, **says}))
    return plan


def _gate(run: RunWriter, *results: str) -> None:
    """A plan whose gate answered so, one after the other."""
    plan = _plan(run)
    for result in results:
        plan.add(f"gate.{'passed' if result == 'passed' else 'refused'}", verdict("retention", result, "plan"))
    run.request(plan=plan.run)
    plan.add("run.decided", decided("passed", request=run.run))


def _waits(run: RunWriter) -> None:
    plan = _plan(run).step("approval", outcome="still-needed")
    run.request(plan=plan.run)
    plan.add("run.decided", decided("still-needed", request=run.run))


def _smoke(run: RunWriter) -> None:
    plan = _plan(run, "smoke")
    run.request(plan=plan.run)
    plan.add("run.decided", decided("passed", request=run.run))


PASSED: dict[str, Forged] = {
    "passed": _planned,
    "still needed": _waits,
    "a gate that refused at first": lambda run: _gate(run, "refused", "passed"),
    "a gate that still needs something": lambda run: _gate(run, "still-needed"),
}
FORGED: dict[str, tuple[Forged, str]] = {
    "did not pass": (lambda run: _planned(run, "not-passed"), "did not pass: not-passed"),
    "asked for nothing": (lambda run: _planned(run, request=None), "asked for nothing"),
    "asked for another": (lambda run: _planned(run, request="local-20261122T120000Z-ffff"), "asked for local-"),
    "did not end": (lambda run: run.request(plan=_plan(run).run), "did not end"),
    "is not named": (lambda run: run.request(), "no plan made it"),
    "is not there": (lambda run: run.request(plan="local-20261122T120000Z-ffff"), "is no plan"),
    "is another run": (_smoke, "is no plan"),
    "is the run itself": (lambda run: run.request(plan=run.run), "is no plan"),
    "of another request": (lambda run: run.request(plan=_planned(RunWriter(run.log)).run), "asked for local-"),
    "a gate refused": (lambda run: _gate(run, "passed", "refused"), "did not pass: retention refused"),
}


def begin(home: Path, ask: Forged) -> Insider:
    """The people are enrolled, and a request is made in this way."""
    insider = Insider.begin(home)
    insider.run = RunWriter(insider.run.log)
    insider.run.policy = PRODUCTION
    ask(insider.run)
    return insider


@pytest.mark.parametrize("case", PASSED)
def test_a_request_whose_plan_passed_is_approved_and_deployed(tmp_path: Path, peer: Peer, case: str) -> None:
    insider = begin(tmp_path, PASSED[case])
    assert plan_fault(insider.run.log.history(), insider.run.run) == ""

    insider.approve("tina", "quinn").open().ask().deploy()

    insider.stands()
    assert peer.says(insider.store)[0]


@pytest.mark.parametrize("case", FORGED)
def test_a_signature_under_a_request_whose_plan_did_not_pass_is_refused(tmp_path: Path, peer: Peer, case: str) -> None:
    ask, why = FORGED[case]
    insider = begin(tmp_path, ask)
    assert why in plan_fault(insider.run.log.history(), insider.run.run)

    insider.approve("tina")

    seq = insider.seq_of("approval.signed")
    insider.refused_at(seq, "whose plan did not pass")
    assert (False, f"{entries.name(seq)}: under a request whose plan did not pass") == peer.says(insider.store)


def test_an_override_needs_a_plan_that_passed_too_and_a_rejection_does_not(tmp_path: Path) -> None:
    insider = begin(tmp_path, lambda run: _planned(run, "not-passed")).reject("quinn")
    insider.stands()

    insider.override("tina")

    insider.refused_at(insider.seq_of("override.signed"), "whose plan did not pass")


def test_a_plan_that_ends_after_the_signature_is_too_late(tmp_path: Path) -> None:
    insider = begin(tmp_path, lambda run: run.request(plan=_plan(run).run))
    plan = RunWriter(insider.run.log, insider.run.log.run(insider.run.run)[0].data["plan"])
    insider.approve("tina")
    plan.add("run.decided", decided("passed", request=insider.run.run))

    insider.refused_at(insider.seq_of("approval.signed"), "whose plan did not pass")
