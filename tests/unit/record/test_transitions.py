"""What may come next, and what may not: the table of successors, walked."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.errors import IllegalEvent
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import FIRST_PREV, Event
from pytest_deploy.record.events import TYPES, parse
from pytest_deploy.record.run_state import LogState, Stage
from pytest_deploy.record.transitions import check_transition
from tests.unit.record.sample_record import (
    ACTOR,
    MOVED,
    NOON,
    PERSON,
    PLANNED,
    SHA,
    closed,
    decided,
    opened_data,
    phase_finished,
    step_finished,
    step_started,
)

RUN = "local-20261122T120000Z-aaaa"
OTHER = "local-20261122T120000Z-bbbb"
KEY = {"set": "trust/0", "set_sha256": SHA, "person": None, "fingerprint": None, "reason": "begin"}
REQUEST = {"request_sha256": SHA, "expires": None, "requested_by": PERSON}
APPROVAL = {
    "file": "f", "sha256": SHA, "signature_sha256": SHA, "role": "QA Lead", "signer": "ada@example.org",
    "meaning": "approved", "request_sha256": SHA,
}  # fmt: skip
BACKUP = {"kind": "pg_dump", "place": "x", "bytes": 1, "sha256": SHA, "restorable": None}
ROLLBACK: dict[str, Any] = {"cause": "failed", "order": [], "target": None}
ROLLED_BACK = {"outcome": "rolled-back", "duration_s": 1, "target": None}
ABANDONED = {"cause": "gone", "found_sha256": SHA}
NOTE = {"channel": "mail", "subject": "done"}
SIGNED = {"file": "f", "sha256": SHA, "signature_sha256": SHA, "signer": "ada@example.org", "reason": "typo"}


def lease(*, recovers: bool = False, until: datetime = NOON + timedelta(seconds=60)) -> dict[str, Any]:
    return {
        "name": "local", "holder": PERSON, "until": stamp(until), "host": "pending", "pid": 1, "process_started": None,
        "recovers": recovers,
    }  # fmt: skip


def gate(point: str, verdict: str = "passed") -> dict[str, Any]:
    return {"gate": "window", "point": point, "inputs": {}, "verdict": verdict, "reason": "-", "earliest_start": None}


class History:
    """Events that were accepted, one after the other."""

    def __init__(self) -> None:
        self.state = LogState()
        self.seq = 0
        self.time = NOON
        self.add("key.enrolled", KEY, run="-")

    def add(self, event_type: str, data: dict[str, Any], run: str = RUN) -> History:
        parse(event_type, data)
        event = Event(self.seq, FIRST_PREV, self.time, "0" * 16, event_type, run, ACTOR, data)
        check_transition(self.state, event)
        self.state.apply(event)
        self.seq += 1
        return self

    def leased(self, run: str = RUN) -> History:
        return self.add("lease.taken", lease(until=self.time + timedelta(seconds=60)), run)

    def planned(self, pipeline: str = "deploy", run: str = RUN) -> History:
        if pipeline != "plan":
            self.leased(run)
        return self.add("run.opened", opened_data(pipeline), run).add("run.planned", PLANNED, run)

    def in_step(self, phase: str = "deploy", *, changes: bool = True) -> History:
        return self.add("phase.started", {"phase": phase}).add(
            "step.started", step_started("a", phase, changes=changes)
        )

    def out_of_step(self, phase: str = "deploy", outcome: str = "passed") -> History:
        self.add("step.finished", step_finished("a", phase, outcome))
        return self.add("phase.finished", phase_finished(phase, "passed" if outcome == "passed" else "failed"))

    def refuses(self, event_type: str, data: dict[str, Any], says: str, run: str = RUN) -> None:
        with pytest.raises(IllegalEvent, match=says):
            self.add(event_type, data, run)


@pytest.fixture
def history() -> History:
    return History()


def test_a_log_begins_with_a_key_and_with_nothing_else() -> None:
    with pytest.raises(IllegalEvent, match=r"begins with key\.enrolled"):
        check_transition(LogState(), Event(0, FIRST_PREV, NOON, "0" * 16, "alert.raised", "-", ACTOR, {}))


def test_a_local_deployment_from_lease_to_release(history: History) -> None:
    history.planned()
    history.in_step("build", changes=False).out_of_step("build")
    history.add("request.made", REQUEST)
    history.add("phase.started", {"phase": "smoke"})
    for node in ("x", "y"):
        history.add("step.started", step_started(node, "smoke"))
    for node in ("y", "x"):
        history.add("step.finished", step_finished(node, "smoke"))
    history.add("phase.finished", phase_finished("smoke"))
    history.add("lease.renewed", {"name": "local", "until": stamp(NOON), "fence": 1})
    history.add("run.decided", decided("deployed")).add("run.closed", closed("deployed", RUN))
    history.add("lease.released", {"name": "local", "fence": 1})

    assert history.state.run(RUN).stage is Stage.CLOSED
    assert history.state.lease is None
    assert history.state.open_runs() == ()


def test_a_failure_rolls_back_and_closes_as_rolled_back(history: History) -> None:
    history.planned().in_step().add("traffic.moved", MOVED).out_of_step(outcome="failed")
    history.add("step.not-run", {"nodeid": "z", "phase": "health", "cause": "deploy failed"})
    history.add("phase.finished", phase_finished("health", "not-run"))
    history.add("rollback.started", ROLLBACK).add("phase.started", {"phase": "rollback"})
    history.add("step.started", step_started("back", "rollback", changes=True)).add("migration.rolled-back", MIGRATION)
    history.add("step.finished", step_finished("back", "rollback")).add("phase.finished", phase_finished("rollback"))
    history.add("rollback.finished", ROLLED_BACK)
    history.add("step.not-run", {"nodeid": "last", "phase": "health", "cause": "deploy failed"})
    history.refuses("run.decided", decided("failed"), "contradicts")
    history.refuses("run.decided", decided("deployed"), "contradicts")
    history.add("run.decided", decided("rolled-back"))
    history.refuses("run.closed", closed("failed", RUN), "another outcome was decided")
    history.add("run.closed", closed("rolled-back", RUN))

    assert history.state.run(RUN).stage is Stage.CLOSED


MIGRATION = {
    "version": "0001", "sha256": SHA, "duration_s": 1, "schema_before": None, "schema_after": None, "engine": "pgmigrate"
}  # fmt: skip


def test_rollback_without_a_phase_is_legal_for_session_finish_and_recover(history: History) -> None:
    history.planned().in_step().out_of_step(outcome="error")
    history.add("rollback.started", ROLLBACK).add("migration.rolled-back", MIGRATION).add("backup.created", BACKUP)
    history.add("rollback.finished", ROLLED_BACK).add("run.decided", decided("rolled-back"))

    assert history.state.run(RUN).outcome == "rolled-back"


def test_an_approved_request_is_leased_opened_and_planned(history: History) -> None:
    history.add("request.made", REQUEST).add("approval.signed", APPROVAL).add("gate.passed", gate("lease"))
    history.add("override.signed", {**SIGNED}).leased()
    history.refuses("run.opened", opened_data(), "request_sha256 is not that of the run's request")
    history.add("run.opened", opened_data(request_sha256=SHA)).add("run.planned", PLANNED)
    history.refuses("request.made", REQUEST, "has its request")

    assert history.state.run(RUN).stage is Stage.PLANNED


def test_a_voided_request_is_neither_approved_nor_run(history: History) -> None:
    history.add("request.made", REQUEST).add("request.voided", {"cause": "drift"})
    history.refuses("approval.signed", APPROVAL, "no live request")
    history.refuses("lease.taken", lease(), "voided")
    history.add("approval.refused", {"signer": None, "role": None, "reason": "voided"})


def test_an_approval_of_another_request_is_refused(history: History) -> None:
    history.refuses("approval.signed", APPROVAL, "no live request")
    history.add("request.made", REQUEST)
    history.refuses("approval.signed", {**APPROVAL, "request_sha256": "1" * 64}, "request_sha256 is not that")


def test_gates_before_the_lease_are_those_of_a_live_request_at_point_lease(history: History) -> None:
    history.refuses("gate.refused", gate("lease"), "for a live request")
    history.add("request.made", REQUEST)
    history.refuses("gate.refused", gate("change"), "at point lease")
    history.add("gate.refused", gate("lease", "refused"))
    history.add("request.voided", {"cause": "expired"})
    history.refuses("gate.passed", gate("lease"), "for a live request")


def test_gates_inside_a_run_may_stand_at_any_point(history: History) -> None:
    history.planned()
    for point in ("plan", "lease", "change"):
        history.add("gate.passed", gate(point))


def test_a_plan_takes_no_lease_makes_the_request_of_another_run_and_changes_nothing(history: History) -> None:
    history.planned("plan").in_step("build", changes=False).out_of_step("build")
    history.add("request.made", REQUEST, run=OTHER)
    history.refuses("step.started", step_started("b", "build"), "phase is not open")
    history.add("phase.started", {"phase": "preflight"})
    history.refuses("step.started", step_started("b", "preflight", changes=True), "needs the lease")
    history.add("step.started", step_started("b", "preflight"))
    history.add("step.finished", step_finished("b", "preflight"))
    history.add("phase.finished", phase_finished("preflight"))
    history.refuses("rollback.started", ROLLBACK, "does not hold the lease")
    history.refuses("run.decided", decided("deployed"), "no such outcome")
    history.add("run.decided", decided("passed")).add("run.closed", closed("passed", RUN))


@pytest.mark.parametrize(
    "ends, may_be",
    [
        (["still-needed"], {"still-needed"}),
        (["passed"], {"passed"}),
        (["not-applicable"], {"passed"}),
        (["failed"], {"not-passed"}),
        (["failed", "still-needed"], {"not-passed"}),
    ],
)
def test_a_plan_passes_only_where_nothing_is_still_needed(history: History, ends: list[str], may_be: set[str]) -> None:
    history.planned("plan").add("phase.started", {"phase": "preflight"})
    for node, end in enumerate(ends):
        history.add("step.started", step_started(str(node), "preflight"))
        history.add("step.finished", step_finished(str(node), "preflight", end))
    history.add("phase.finished", phase_finished("preflight", "failed"))

    for outcome in {"passed", "still-needed"} - may_be:
        history.refuses("run.decided", decided(outcome), "contradicts")
    for outcome in may_be:
        history.add("run.decided", decided(outcome)).add("run.closed", closed(outcome, RUN))


def test_only_a_plan_ends_with_what_is_still_needed(history: History) -> None:
    history.planned().in_step("preflight", changes=False).add(
        "step.finished", step_finished("a", "preflight", "still-needed")
    )
    history.add("phase.finished", phase_finished("preflight", "still-needed"))
    history.refuses("run.decided", decided("still-needed"), "no such outcome")
    history.refuses("run.decided", decided("deployed"), "contradicts")
    history.add("run.decided", decided("refused"))


@pytest.mark.parametrize(
    "ends, may_be",
    [
        ([], {"not-run", "failed"}),
        (["passed"], {"passed", "failed"}),
        (["passed", "not-applicable"], {"passed", "failed"}),
        (["not-applicable"], {"not-applicable", "failed"}),
        (["passed", "still-needed", "not-applicable"], {"still-needed", "failed"}),
        (["passed", "failed"], {"failed"}),
        (["failed", "still-needed"], {"failed"}),
        (["error"], {"failed"}),
        (["skipped", "passed"], {"failed"}),
    ],
)
def test_a_phase_ends_as_its_steps_did_or_failed_by_what_stopped_it(
    history: History, ends: list[str], may_be: set[str]
) -> None:
    """Failed besides by a budget, a signal, a worker that died: whatever its steps came to."""
    history.planned().in_step("build", changes=False).out_of_step("build", "failed")
    history.add("phase.started", {"phase": "preflight"})
    for node, end in enumerate(ends):
        history.add("step.started", step_started(str(node), "preflight"))
        history.add("step.finished", step_finished(str(node), "preflight", end))

    for outcome in sorted({"passed", "failed", "still-needed", "not-applicable", "not-run"} - may_be):
        history.refuses("phase.finished", phase_finished("preflight", outcome), "its steps ended otherwise")
    for outcome in may_be - {"failed"} or {"failed"}:
        history.add("phase.finished", phase_finished("preflight", outcome))


def test_every_other_pipeline_needs_the_lease_and_a_plan_must_not_have_it(history: History) -> None:
    history.refuses("run.opened", opened_data("smoke"), "under the lease")
    history.leased().refuses("run.opened", opened_data("plan"), "under the lease")


def test_a_smoke_run_with_a_failed_step_cannot_pass(history: History) -> None:
    history.planned("smoke").in_step("smoke", changes=False).out_of_step("smoke", "failed")
    history.refuses("run.decided", decided("passed"), "contradicts")
    history.add("run.decided", decided("not-passed"))


def test_a_run_makes_its_own_request_once_and_after_its_build(history: History) -> None:
    history.planned().refuses("request.made", REQUEST, "after its build")
    history.in_step("build", changes=False).out_of_step("build").add("request.made", REQUEST)
    history.refuses("request.made", REQUEST, "has its request")


def test_one_phase_is_open_at_a_time_and_each_once(history: History) -> None:
    history.planned().add("phase.started", {"phase": "build"})
    history.refuses("phase.started", {"phase": "smoke"}, "a phase is open")
    history.refuses("phase.finished", phase_finished("smoke"), "the phase is not open")
    history.refuses("phase.started", {"phase": "rollback"}, "a phase is open")
    history.add("phase.finished", phase_finished("build", "not-run"))
    history.refuses("phase.started", {"phase": "build"}, "had before")
    history.refuses("phase.started", {"phase": "rollback"}, "between rollback.started and rollback.finished")
    history.refuses("phase.finished", phase_finished("build", "not-run"), "the phase is not open")


def test_steps_run_in_an_open_phase_once_and_finish_only_what_started(history: History) -> None:
    history.planned().refuses("step.started", step_started("a", "build"), "phase is not open")
    history.in_step("build", changes=False)
    history.refuses("step.started", step_started("a", "build"), "had before")
    history.refuses("step.finished", step_finished("b", "build"), "the step is not open")
    history.refuses("phase.finished", phase_finished("build"), "a step is open")
    history.refuses("step.not-run", {"nodeid": "a", "phase": "build", "cause": "x"}, "had before")
    history.add("step.finished", step_finished("a", "build"))
    history.refuses("step.finished", step_finished("a", "build"), "the step is not open")


@pytest.mark.parametrize(
    "event_type,data",
    [
        ("migration.applied", MIGRATION),
        ("migration.rolled-back", MIGRATION),
        ("revision.deployed", {"revision": "r", "image": "i", "url": None, "env_names": []}),
        ("traffic.moved", MOVED),
    ],
)
def test_a_change_needs_an_announced_step_or_a_rollback(
    history: History, event_type: str, data: dict[str, Any]
) -> None:
    history.planned().refuses(event_type, data, "no step that changes anything is open")
    history.in_step("build", changes=False).refuses(event_type, data, "no step that changes anything")
    history.out_of_step("build").add("phase.started", {"phase": "deploy"})
    history.add("step.started", step_started("b", "deploy", changes=True)).add(event_type, data)


def test_a_backup_belongs_to_a_step_or_to_a_run_that_is_over(history: History) -> None:
    history.planned().refuses("backup.created", BACKUP, "no step is open")
    history.in_step("backup", changes=False).add("backup.created", BACKUP).out_of_step("backup")
    history.add("run.decided", decided("failed")).refuses("backup.created", BACKUP, "the run is decided")
    history.add("run.closed", closed("failed", RUN)).add("backup.created", BACKUP)


def test_nothing_open_survives_the_decision(history: History) -> None:
    history.planned().in_step()
    history.refuses("run.decided", decided("failed"), "a step is open")
    history.add("step.finished", step_finished("a", "deploy")).refuses(
        "run.decided", decided("failed"), "a phase is open"
    )
    history.add("phase.finished", phase_finished("deploy")).add("rollback.started", ROLLBACK)
    history.refuses("run.decided", decided("failed"), "a rollback is open")
    history.refuses("rollback.started", ROLLBACK, "a rollback is open")
    history.add("rollback.finished", {**ROLLED_BACK, "outcome": "rollback-failed"})
    history.refuses("rollback.finished", ROLLED_BACK, "no rollback is open")
    history.refuses("run.decided", decided("rolled-back"), "contradicts")
    history.add("run.decided", decided("rollback-failed"))


def test_a_run_is_abandoned_only_where_nothing_was_announced(history: History) -> None:
    history.planned().in_step("build", changes=False).add("run.abandoned", ABANDONED)

    assert history.state.run(RUN).stage is Stage.ABANDONED
    later = History()
    later.planned().in_step().refuses("run.abandoned", ABANDONED, "roll back and close")


def test_nobody_takes_a_lease_that_lives_or_a_turn_that_is_open(history: History) -> None:
    history.leased()
    history.refuses("lease.taken", lease(), "another lease lives", run=OTHER)
    history.refuses("lease.taken", lease(), "another lease lives")
    history.time += timedelta(seconds=60)
    history.leased(OTHER)
    history.refuses("lease.renewed", {"name": "local", "until": stamp(NOON), "fence": 1}, "no longer, the one")
    history.add("run.opened", opened_data(), run=OTHER)
    history.time += timedelta(seconds=61)
    history.refuses("lease.taken", lease(), "another run is in progress")


def test_recover_takes_the_lease_of_the_open_run_itself_and_says_so(history: History) -> None:
    history.planned()
    history.refuses("lease.taken", lease(), "only recover takes the lease")
    history.add("lease.taken", lease(recovers=True))
    history.refuses("lease.released", {"name": "local", "fence": 1}, "the run is planned")
    history.add("lease.renewed", {"name": "local", "until": stamp(NOON), "fence": 4})
    fresh = History()
    fresh.refuses("lease.taken", lease(recovers=True), "only recover takes the lease")


def test_a_lease_given_back_before_the_run_opened_leaves_its_request_alive(history: History) -> None:
    history.add("request.made", REQUEST).leased().add("lease.released", {"name": "local", "fence": 2})

    assert history.state.run(RUN).stage is Stage.NEW
    history.add("approval.signed", APPROVAL).leased()


def test_amendments_and_sign_offs_come_after_the_end(history: History) -> None:
    history.planned().refuses("record.amended", SIGNED, "the run is planned")
    history.add("run.decided", decided("failed")).add("run.closed", closed("failed", RUN))
    history.add("record.amended", SIGNED).add("notification.sent", NOTE).add(
        "environment.frozen", {"reason": "bad commit"}
    )
    history.refuses("run.decided", decided("failed"), "the run is closed")
    history.refuses("run.opened", opened_data(), "the run is closed")
    history.refuses("lease.taken", lease(), "the run is closed")


def test_notes_need_a_run_that_is_known_and_only_some_stand_outside_any(history: History) -> None:
    history.refuses("notification.sent", NOTE, "nothing was recorded of this run")
    history.refuses("notification.sent", NOTE, "belongs to a run", run="-")
    history.add("environment.frozen", {"reason": "by hand"}, run="-").add(
        "clock.skewed", {"skew_s": 1, "source": "tsa"}, "-"
    )
    history.refuses("key.revoked", KEY, "the run is new")


def test_the_refusal_names_what_is_legal(history: History) -> None:
    history.leased().refuses("run.planned", PLANNED, r"the run is leased; legal now: .*lease\.renewed.*run\.opened")


SOME_DATA: dict[str, list[dict[str, Any]]] = {
    "request.made": [REQUEST], "request.voided": [{"cause": "x"}], "approval.signed": [APPROVAL],
    "lease.taken": [lease(), lease(recovers=True)], "lease.released": [{"name": "local", "fence": n} for n in range(9)],
    "run.opened": [opened_data(), opened_data("plan"), opened_data(request_sha256=SHA)], "run.planned": [PLANNED],
    "phase.started": [{"phase": name} for name in ("build", "deploy", "rollback")],
    "phase.finished": [phase_finished(name) for name in ("build", "deploy", "rollback")],
    "step.started": [step_started(n, "deploy", changes=c) for n in "ab" for c in (True, False)],
    "step.finished": [step_finished(n, "deploy", o) for n in "ab" for o in ("passed", "failed")],
    "traffic.moved": [MOVED], "rollback.started": [ROLLBACK], "rollback.finished": [ROLLED_BACK],
    "run.decided": [decided(o) for o in ("deployed", "failed", "rolled-back", "passed")],
    "run.closed": [closed(o, RUN) for o in ("deployed", "failed", "rolled-back", "passed")], "run.abandoned": [ABANDONED],
}  # fmt: skip
_STEPS = st.sampled_from([(name, data) for name, choices in SOME_DATA.items() for data in choices])


_BEGINNINGS = st.sampled_from([[], [("lease.taken", lease()), ("run.opened", opened_data()), ("run.planned", PLANNED)]])


@given(_BEGINNINGS, st.lists(st.tuples(_STEPS, st.sampled_from([RUN, RUN, RUN, OTHER])), max_size=80))
def test_whatever_order_is_tried_what_is_accepted_keeps_the_rules(
    beginning: list[tuple[str, Any]], tries: list[tuple[tuple[str, Any], str]]
) -> None:
    history = History()
    accepted: list[tuple[str, dict[str, Any], str]] = []
    for (event_type, data), run in [*((step, RUN) for step in beginning), *tries]:
        try:
            history.add(event_type, data, run)
        except IllegalEvent:
            continue
        accepted.append((event_type, data, run))

    for run in (RUN, OTHER):
        types = [event_type for event_type, _, named in accepted if named == run]
        for once in ("request.made", "run.opened", "run.planned", "run.decided", "run.closed", "run.abandoned"):
            assert types.count(once) <= 1
        if "run.closed" in types:
            assert types.index("run.opened") < types.index("run.planned") or "run.planned" not in types
            assert types.index("run.opened") < types.index("run.decided") < types.index("run.closed")
        if "run.decided" in types:
            assert types.count("step.started") == types.count("step.finished")
            assert types.count("rollback.started") == types.count("rollback.finished")
    opened = [run for event_type, data, run in accepted if event_type == "run.opened" and data["pipeline"] != "plan"]
    assert len([run for run in opened if run in history.state.open_runs(leased=True)]) <= 1


def test_the_sample_data_covers_types_that_exist() -> None:
    assert set(SOME_DATA) <= TYPES.keys()


@pytest.mark.parametrize(
    "event_type, verdicts",
    [
        ("gate.passed", {"passed"}),
        ("gate.refused", {"refused", "still-needed"}),
        ("gate.not-applicable", {"not-applicable"}),
    ],
)
def test_a_gates_event_says_what_was_judged_and_nothing_else(
    history: History, event_type: str, verdicts: set[str]
) -> None:
    history.add("request.made", REQUEST)
    for verdict in ("passed", "refused", "still-needed", "not-applicable"):
        if verdict in verdicts:
            history.add(event_type, gate("lease", verdict))
        else:
            history.refuses(event_type, gate("lease", verdict), "its verdict is another than its type says")


def test_a_step_credits_what_it_claims_and_only_where_it_passed(history: History) -> None:
    history.planned().in_step("build", changes=False)
    said = {**step_finished("a", "build"), "verifies": ["REQ-x-H"]}

    history.refuses("step.finished", said, "credits an assertion that the step does not claim")
    history.refuses(
        "step.finished", {**said, "claims": ["REQ-x-K"]}, "credits an assertion that the step does not claim"
    )
    claimed = {**said, "claims": ["REQ-x-H", "REQ-x-K"]}
    history.refuses("step.finished", {**claimed, "outcome": "failed"}, "and the step did not pass")
    history.add("step.finished", claimed)
