"""What may happen next: the guard's rules, one by one, and over random runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.pipeline.sequence import Cause, OutOfOrder, PhaseSequence
from pytest_deploy.pipeline.steps_lock import Step
from pytest_deploy.record.events.of_runs import StepOutcome

BUILD = [Step(f"suites/build/t.py::b{n}", "build", "always", changes=False) for n in range(2)]
MIGRATION = [Step(f"suites/migration/t.py::m{n}", "migration", "always", changes=n == 1) for n in range(3)]
SMOKE = [Step(f"suites/smoke/t.py::s{n}", "smoke", "always", changes=False) for n in range(2)]
BACK = [Step(f"suites/rollback/t.py::r{n}", "rollback", "rollback", changes=n == 0) for n in range(2)]
STEPS = [*BUILD, *MIGRATION, *SMOKE, *BACK]
APPROVAL = [Step("suites/approval/t.py::a0", "approval", "always", changes=False)]
PREFLIGHT = [Step(f"suites/preflight/t.py::p{n}", "preflight", "always", changes=False) for n in range(2)]
GATED = [*APPROVAL, *PREFLIGHT, *MIGRATION]


def run(sequence: PhaseSequence, step: Step, outcome: StepOutcome = "passed") -> None:
    sequence.start(step.nodeid)
    sequence.finish(step.nodeid, outcome)


def names(steps: Iterable[Step]) -> list[str]:
    return [step.nodeid.rpartition("::")[2] for step in steps]


def test_an_unordered_phase_offers_all_its_steps_and_an_ordered_one_the_next() -> None:
    sequence = PhaseSequence(STEPS)
    assert names(sequence.ready()) == ["b0", "b1"]

    for step in BUILD:
        run(sequence, step)

    assert sequence.phase == "migration"
    assert names(sequence.ready()) == ["m0"]


def test_a_refusal_in_a_gate_group_does_not_hide_those_of_the_next_phase_and_then_closes_with_all() -> None:
    sequence = PhaseSequence(GATED)
    run(sequence, APPROVAL[0], "failed")
    assert sequence.closed is None
    assert names(sequence.ready()) == ["p0", "p1"]

    run(sequence, PREFLIGHT[0], "failed")
    run(sequence, PREFLIGHT[1])

    assert sequence.closed is not None
    assert sequence.closed.text == 'approval failed: "a0" (and 1 more step)'
    assert sequence.ready() == ()


def test_a_gate_group_whose_first_phase_alone_failed_closes_when_the_last_has_passed() -> None:
    sequence = PhaseSequence(GATED)
    run(sequence, APPROVAL[0], "failed")
    for step in PREFLIGHT:
        run(sequence, step)

    assert sequence.closed is not None
    assert sequence.closed.text == 'approval failed: "a0"'
    assert sequence.phase_outcome("preflight") == "passed"
    assert sequence.phase_outcome("approval") == "failed"


def test_a_gate_group_that_passed_opens_what_changes_something() -> None:
    sequence = PhaseSequence(GATED)
    for step in (*APPROVAL, *PREFLIGHT):
        run(sequence, step)

    assert sequence.closed is None
    assert names(sequence.ready()) == ["m0"]


def test_a_phase_that_a_signal_cut_short_has_not_passed_though_what_ran_did() -> None:
    sequence = PhaseSequence(STEPS)
    run(sequence, BUILD[0])

    sequence.close(Cause("signal", "SIGTERM"))

    assert sequence.phase_outcome("build") == "failed"


@pytest.mark.parametrize(
    "ends, outcome",
    [
        (["passed", "passed"], "passed"),
        (["passed", "not-applicable"], "passed"),
        (["not-applicable", "not-applicable"], "not-applicable"),
        (["passed", "still-needed"], "still-needed"),
        (["not-applicable", "still-needed"], "still-needed"),
        (["failed", "still-needed"], "failed"),
        (["passed", "skipped"], "failed"),
        (["error", "not-applicable"], "failed"),
    ],
)
@pytest.mark.parametrize("pipeline", ["plan", "deploy"])
def test_a_phase_is_no_better_than_its_steps(pipeline: str, ends: list[StepOutcome], outcome: str) -> None:
    sequence = PhaseSequence(PREFLIGHT, pipeline)
    assert sequence.phase_outcome("preflight") is None

    for step, end in zip(PREFLIGHT, ends, strict=True):
        run(sequence, step, end)

    assert sequence.phase_outcome("preflight") == outcome
    stops = "failed" in outcome or (outcome == "still-needed" and pipeline != "plan")
    assert (sequence.closed is not None) == stops


def test_a_phase_none_of_whose_steps_began_was_not_run() -> None:
    sequence = PhaseSequence([*BUILD, *SMOKE], left_out={"smoke": "not in this environment's policy"})
    for step in BUILD:
        run(sequence, step)

    assert sequence.phase_outcome("smoke") == "not-run"


def test_the_next_phase_waits_until_the_last_step_of_this_one_has_ended() -> None:
    sequence = PhaseSequence(STEPS)
    run(sequence, BUILD[0])
    sequence.start(BUILD[1].nodeid)

    assert sequence.phase == "build"
    assert sequence.ready() == ()
    with pytest.raises(OutOfOrder):
        sequence.start(MIGRATION[0].nodeid)


def test_one_failure_in_an_unordered_phase_lets_the_others_run_and_then_closes() -> None:
    sequence = PhaseSequence(STEPS)
    run(sequence, BUILD[0], "failed")
    assert sequence.closed is None
    assert names(sequence.ready()) == ["b1"]

    run(sequence, BUILD[1])

    assert sequence.closed is not None
    assert sequence.closed.text == 'build failed: "b0"'


def test_the_first_failure_in_an_ordered_phase_closes_at_once() -> None:
    sequence = PhaseSequence(STEPS)
    for step in BUILD:
        run(sequence, step)
    run(sequence, MIGRATION[0], "failed")

    assert names(sequence.not_run())[:4] == ["m1", "m2", "s0", "s1"]
    assert sequence.not_run()[MIGRATION[1]] == "skipped because migration failed"


def test_nothing_is_rolled_back_where_nothing_was_changed() -> None:
    sequence = PhaseSequence(STEPS)
    for step in BUILD:
        run(sequence, step, "failed")

    assert sequence.phase is None
    assert list(sequence.not_run().values())[-1] == "nothing to roll back: nothing had been changed"


def test_a_failure_after_a_change_opens_the_rollback_in_order() -> None:
    sequence = PhaseSequence(STEPS)
    for step in [*BUILD, MIGRATION[0]]:
        run(sequence, step)
    run(sequence, MIGRATION[1], "failed")

    assert sequence.phase == "rollback"
    assert names(sequence.ready()) == ["r0"]
    run(sequence, BACK[0])
    assert names(sequence.ready()) == ["r1"]
    run(sequence, BACK[1])
    assert sequence.phase_outcome("rollback") == "passed"
    assert sequence.phase is None


def test_a_failing_rollback_step_closes_the_rollback() -> None:
    sequence = PhaseSequence(STEPS)
    for step in [*BUILD, MIGRATION[0]]:
        run(sequence, step)
    run(sequence, MIGRATION[1], "failed")
    run(sequence, BACK[0], "failed")

    assert sequence.phase_outcome("rollback") == "failed"
    assert list(sequence.not_run().values())[-1] == "rollback stopped because rollback failed"


BY_HAND = [replace(step, when="always") for step in BACK]


def asked_for() -> PhaseSequence:
    """A rollback that somebody asked for, its preflight through."""
    sequence = PhaseSequence([*PREFLIGHT, *BY_HAND], "rollback")
    for step in PREFLIGHT:
        run(sequence, step)
    return sequence


def test_a_rollback_that_was_asked_for_is_a_phase_like_others() -> None:
    sequence = asked_for()
    assert sequence.phase == "rollback"
    assert names(sequence.ready()) == ["r0"]

    for step in BY_HAND:
        run(sequence, step)

    assert sequence.phase_outcome("rollback") == "passed"
    assert sequence.phase is None
    assert sequence.closed is None
    assert not sequence.not_run()


def test_what_refuses_before_it_keeps_it_from_beginning() -> None:
    sequence = PhaseSequence([*PREFLIGHT, *BY_HAND], "rollback")
    run(sequence, PREFLIGHT[0], "failed")
    run(sequence, PREFLIGHT[1])

    assert sequence.phase is None
    assert set(sequence.not_run().values()) == {"skipped because preflight failed"}


def test_a_signal_before_it_keeps_it_from_beginning_and_once_begun_it_is_finished() -> None:
    before, within = asked_for(), asked_for()
    before.close(Cause("signal", "SIGTERM"))
    run(within, BY_HAND[0])
    within.close(Cause("signal", "SIGTERM"))

    assert before.refusal(BY_HAND[0].nodeid) == "skipped because the run was stopped by SIGTERM"
    assert names(within.ready()) == ["r1"]


def test_its_own_failure_closes_both_the_rollback_and_the_run() -> None:
    sequence = asked_for()
    run(sequence, BY_HAND[0], "failed")

    assert sequence.phase is None
    assert sequence.closed is not None
    assert sequence.closed == sequence.rollback_closed
    assert sequence.not_run() == {BY_HAND[1]: "rollback stopped because rollback failed"}


def test_the_rollback_is_not_needed_when_every_step_passed() -> None:
    sequence = PhaseSequence(STEPS)
    for step in [*BUILD, *MIGRATION, *SMOKE]:
        assert sequence.refusal(step.nodeid) is None
        run(sequence, step)

    assert sequence.refusal(BACK[0].nodeid) == "nothing to roll back: no step failed"


def test_a_signal_closes_between_two_steps_and_the_first_cause_stands() -> None:
    sequence = PhaseSequence(STEPS)
    for step in [*BUILD, *MIGRATION[:2]]:
        run(sequence, step)

    sequence.close(Cause("signal", "SIGTERM"))
    sequence.close(Cause("internal", "later"))

    assert sequence.refusal(MIGRATION[2].nodeid) == "skipped because the run was stopped by SIGTERM"
    assert sequence.phase == "rollback"


def test_a_phase_that_policy_leaves_out_is_passed_over() -> None:
    sequence = PhaseSequence(STEPS, left_out={"build": "not in this environment's policy"})

    assert sequence.phase == "migration"
    assert sequence.refusal(BUILD[0].nodeid) == "not in this environment's policy"


def test_halted_the_rollback_offers_no_step() -> None:
    sequence = PhaseSequence(STEPS)
    for step in [*BUILD, *MIGRATION[:2]]:
        run(sequence, step)
    sequence.halted = "pytest is gone"
    sequence.close(Cause("internal", "x"))

    assert sequence.phase is None
    assert sequence.refusal(BACK[0].nodeid) == "pytest is gone"


def test_a_step_finishes_once_and_only_after_it_began() -> None:
    sequence = PhaseSequence(STEPS)
    with pytest.raises(OutOfOrder):
        sequence.finish(BUILD[0].nodeid, "passed")
    run(sequence, BUILD[0])
    with pytest.raises(OutOfOrder):
        sequence.finish(BUILD[0].nodeid, "passed")
    with pytest.raises(OutOfOrder):
        sequence.start(BUILD[0].nodeid)


@given(st.data())
def test_every_run_ends_with_each_step_run_or_named_as_not_run(data: st.DataObject) -> None:
    """Whatever passes, fails or is interrupted: no step is lost, phases never overlap, nothing changes after a close."""
    sequence = PhaseSequence(STEPS)
    running: list[Step] = []
    ran: list[Step] = []
    while sequence.phase is not None:
        ready = list(sequence.ready())
        if ready and (not running or data.draw(st.booleans())):
            step = data.draw(st.sampled_from(ready))
            sequence.start(step.nodeid)
            assert {step.phase} >= {other.phase for other in running}
            running.append(step)
            ran.append(step)
        elif running:
            step = running.pop(data.draw(st.integers(0, len(running) - 1)))
            sequence.finish(step.nodeid, data.draw(st.sampled_from(get_args(StepOutcome))))
        if data.draw(st.integers(0, 20)) == 0:
            sequence.close(Cause("signal", "SIGTERM"))

    left = {not_run.nodeid for not_run in sequence.not_run()}
    assert {step.nodeid for step in STEPS} == {step.nodeid for step in ran} | left
    assert not left & {step.nodeid for step in ran}
    rolled_back = any(step.phase == "rollback" for step in ran)
    changed = any(step.changes for step in ran if step.phase != "rollback")
    assert rolled_back == (sequence.closed is not None and changed)
