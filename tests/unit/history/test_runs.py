"""A run as a listing tells it, event by event; and what runs are looked up by."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_deploy.history.runs import Row, facts
from pytest_deploy.record.event import Event
from tests.unit.history.run_events import APPROVED, ASKED, FILE, IMAGE, OPENED, RAN, RUN, SIGNED, event
from tests.unit.record.sample_record import SHA, closed, decided, step_finished, verdict


def test_a_request_waits_until_its_run_opens() -> None:
    assert (
        (row := Row.of([ASKED])).outcome, row.version, row.deployer, row.requested_by,
    ) == ("requested", "9", "", "ada@example.org")  # fmt: skip
    assert (
        (row := Row.of([ASKED, OPENED])).outcome, row.version, row.deployer,
    ) == ("in-progress", "1.2.0", "local:1000:ada@desk")  # fmt: skip


@pytest.mark.parametrize(
    "last,outcome,cause",
    [
        (event(9, "request.voided", cause="drift"), "voided", "drift"),
        (event(9, "run.closed", **closed("failed", RUN)), "failed", ""),
        (event(9, "run.abandoned", cause="killed", found_sha256=SHA), "abandoned", "killed"),
    ],
)
def test_how_a_run_ends_is_its_outcome(last: Event, outcome: str, cause: str) -> None:
    row = Row.of([ASKED, OPENED, last])

    assert (outcome, cause, (3, 5, 9)) == (row.outcome, row.cause, row.events)


def test_what_was_corrected_since_is_named_and_changes_nothing_else() -> None:
    amended = {**SIGNED, "amends": 5, "event_sha256": SHA, "old": "1.2.0", "new": "1.2.1"}
    first = event(9, "record.amended", **amended, key="reason")
    row = Row.of([OPENED, first, event(10, "record.amended", **amended, key="reason", countersigns=9)])

    assert (row.amended, row.version) == (("reason",), "1.2.0")
    assert Row.of([OPENED, first]).amended == (), "one person's alone does not count"


def test_the_decision_gives_cause_and_duration() -> None:
    row = Row.of([OPENED, event(8, "run.decided", **decided("failed", cause="smoke failed"))])

    assert (row.cause, row.duration_s, row.outcome) == ("smoke failed", 2.0, "in-progress")


def test_the_artefact_is_known_once_it_is_built_and_not_forgotten() -> None:
    made = event(7, "revision.deployed", revision="r", image=IMAGE, url=None, env_names=[])

    assert Row.of([OPENED]).digest == ""
    assert Row.of([OPENED, made]).digest == Row.of([made, OPENED]).digest == f"sha256:{SHA}"


def gate_passed(seq: int, **inputs: object) -> Event:
    said = {"point": "change", "verdict": "passed", "reason": "", "earliest_start": None}
    return event(seq, "gate.passed", gate="window", inputs=inputs, **said)


def test_a_gate_is_bypassed_where_it_passed_by_an_override_and_not_by_a_signature_alone() -> None:
    signed = [OPENED, event(6, "override.signed", **SIGNED, gate="window")]

    assert Row.of(signed).bypassed == ()
    assert Row.of([*signed, gate_passed(7)]).bypassed == ()
    assert Row.of([*signed, gate_passed(7, override={"by": ["a", "b"]})]).bypassed == ("window",)


UNSIGNED = {"reason": "approval missing: QA Lead", "remedy": "pytest-deploy approve RUN"}


def asked_at_lease(seq: int, gate: str, result: str, **said: Any) -> Event:
    kind = "refused" if result in {"refused", "still-needed"} else result
    return event(seq, f"gate.{kind}", **verdict(gate, result, **said))


def test_a_request_whose_start_was_refused_says_by_which_gates_and_that_it_lives_on() -> None:
    row = Row.of([
        ASKED, asked_at_lease(4, "approvals", "still-needed", **UNSIGNED), asked_at_lease(6, "window", "refused", reason="closed"),
        asked_at_lease(7, "clock", "passed"), asked_at_lease(8, "freeze", "not-applicable"),
    ])  # fmt: skip

    approvals = "approvals: approval missing: QA Lead; pytest-deploy approve RUN"
    assert (row.outcome, row.refused_by) == ("refused", (approvals, "window: closed"))
    assert row.cause == f"{approvals}; window: closed; the request stays live"
    assert row.events == (3, 4, 6), "a gate that lets it pass says nothing of the run as a whole"
    assert (row.opened, row.ended) == ("", "")


@pytest.mark.parametrize("result", ["passed", "not-applicable"])
def test_of_each_gate_the_newest_start_counts(result: str) -> None:
    refused = [ASKED, asked_at_lease(4, "approvals", "still-needed", **UNSIGNED)]
    again = [asked_at_lease(6, "approvals", "still-needed", reason="approval missing: Tech Lead")]
    passes = [asked_at_lease(7, "approvals", result)]
    late = [asked_at_lease(8, "window", "still-needed", reason="closes too early")]

    assert Row.of([*refused, *again]).refused_by == ("approvals: approval missing: Tech Lead",)
    assert Row.of([*refused, *passes, *late]).refused_by == ("window: closes too early",)
    assert ((row := Row.of([*refused, *passes])).outcome, row.cause, row.refused_by) == ("requested", "", ())


def test_an_override_takes_a_refusal_out_and_is_named() -> None:
    refused = [ASKED, asked_at_lease(4, "window", "still-needed", reason="closed")]
    row = Row.of([*refused, asked_at_lease(6, "window", "passed", inputs={"override": {"by": ["a", "b"]}})])

    assert (row.outcome, row.refused_by, row.bypassed) == ("requested", (), ("window",))


def test_once_the_run_opens_or_its_request_is_void_no_refused_start_is_left() -> None:
    refused = [event(1, "request.made", **ASKED.data), asked_at_lease(2, "approvals", "still-needed", **UNSIGNED)]
    inside = asked_at_lease(6, "window", "refused", reason="closed")
    opened = Row.of([*refused, OPENED, inside])
    void = Row.of([*refused, event(5, "request.voided", cause="drift")])

    assert (opened.outcome, opened.cause, opened.refused_by) == ("in-progress", "", ())
    assert inside.seq not in opened.events, "what preflight says is told by the run's own outcome"
    assert (void.outcome, void.cause, void.refused_by) == ("voided", "drift", ())


def test_people_and_what_was_passed_over_are_named_once() -> None:
    row = Row.of(
        [
            event(1, "approval.signed", **APPROVED),
            event(2, "approval.signed", **APPROVED),
            gate_passed(3, override={"by": ["tina@example.org", "quinn@example.org"]}),
            gate_passed(4, override={"by": ["tina@example.org", "quinn@example.org"]}),
            event(6, "deviation.accepted", **SIGNED, deviation="a step by hand"),
        ]
    )

    assert (row.approvers, row.bypassed) == (("Quinn@example.org",), ("window", "a step by hand"))


def test_what_says_nothing_of_the_run_as_a_whole_is_not_rested_on() -> None:
    assert Row.of([OPENED, event(6, "step.finished", **step_finished("a", "smoke"))]).events == (5,)


def test_no_event_is_no_run() -> None:
    with pytest.raises(ValueError, match="no event"):
        Row.of([])


@pytest.mark.parametrize(
    "happened,found",
    [
        (event(1, "approval.signed", **APPROVED), [("signer", "quinn@example.org")]),
        (event(1, "request.rejected", **APPROVED, reason="x", printed_name="Quinn Ö", signed_at="2026-11-22T12:00:00.000Z"),
         [("signer", "quinn@example.org"), ("signer", "quinn ö")]),
        (event(1, "approval.signed", **APPROVED, printed_name="Quinn Ö"), [("signer", "quinn@example.org"), ("signer", "quinn ö")]),
        (event(1, "override.signed", **SIGNED), [("signer", "quinn@example.org")]),
        (event(1, "signoff.signed", **FILE, role="qa-lead", meaning="review", record_sha256=SHA), [("signer", "quinn@example.org")]),
        (event(1, "deviation.accepted", **SIGNED), [("signer", "quinn@example.org")]),
        (event(1, "record.amended", **SIGNED), [("signer", "quinn@example.org")]),
        (event(1, "migration.applied", version="0007", **RAN), [("migration", "0007")]),
        (event(1, "migration.rolled-back", version="0007", **RAN), [("migration", "0007")]),
        (event(1, "revision.deployed", revision="r-1", image=IMAGE, url=None, env_names=[]), [("revision", "r-1")]),
        (
            event(1, "step.finished", **{**step_finished("a", "smoke"), "verifies": ["REQ-o00001-A", "REQ-o00001-A", "REQ-o00001-B"]}),
            [("verified", "REQ-o00001-A"), ("verified", "REQ-o00001-B")],
        ),
        (
            event(1, "step.finished", **{**step_finished("a", "smoke"), "claims": ["R-A", "R-B"], "verifies": ["R-B"]}),
            [("claimed", "R-A"), ("verified", "R-B")],
        ),
        (
            event(1, "step.finished", **{**step_finished("a", "smoke"), "outcome": "failed", "claims": ["R-A"], "verifies": []}),
            [("failed", "R-A")],
        ),
        (
            event(1, "step.finished", **{**step_finished("a", "smoke"), "outcome": "still-needed", "claims": ["R-A"], "verifies": []}),
            [("claimed", "R-A")],
        ),
        (event(1, "step.not-run", nodeid="a", phase="smoke", cause="why", claims=["R-A"]), [("claimed", "R-A")]),
        (OPENED, []),
    ],
)  # fmt: skip
def test_runs_are_looked_up_by_what_their_events_say(happened: Event, found: list[tuple[str, str]]) -> None:
    assert found == list(facts(happened))


def test_a_closed_run_is_reviewed_once_somebody_signed_it_off() -> None:
    ended = event(9, "run.closed", **closed("deployed", RUN))
    signed = {**FILE, "role": "QA Lead", "record_sha256": SHA}
    reviewed = event(10, "signoff.signed", **signed, meaning="reviewed")
    rejected = event(11, "signoff.signed", **{**signed, "role": "CTO"}, meaning="rejected")

    assert Row.of([OPENED, ended]).reviews == ()
    row = Row.of([OPENED, ended, reviewed, rejected])
    assert row.reviews == ("QA Lead: reviewed", "CTO: rejected")
    assert row.events == (5, 9, 10, 11)
