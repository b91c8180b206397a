"""What the log's own writer never writes is refused where the log's key signs it all the same: both verifiers name the event.

Beside each refused record stands the permitted one that it is told from.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.event import Event
from tests.unit.record.sample_record import (
    IMAGE,
    MOVED,
    PERSON,
    PLANNED,
    SHA,
    RunWriter,
    decided,
    phase_finished,
    step_finished,
    step_started,
)
from tests.unit.verify.insider import OVERRIDDEN, REVISION, ROLLED_BACK, STEP, UNTIL, Insider
from tests.unit.verify.second_verifier import both

OTHER = f"sha256:{'1' * 64}"
MIGRATION: dict[str, Any] = {
    "version": "0008", "sha256": SHA, "duration_s": 0.5, "schema_before": None, "schema_after": None, "engine": "pgmigrate",
}  # fmt: skip


@pytest.fixture
def insider(tmp_path: Path) -> Insider:
    return Insider.begin(tmp_path).approve("tina", "quinn")


# --- a rejection stands until its signer signs an approval later


@pytest.mark.parametrize(
    "signed_at, ok",
    [("2026-11-22T12:00:00.000Z", True), ("2026-11-22T11:59:59.000Z", False), ("2026-11-22T11:59:30.000Z", False)],
    ids=["signed later", "signed at the same time", "signed before"],
)
def test_only_an_approval_that_is_signed_later_lifts_a_rejection(tmp_path: Path, signed_at: str, *, ok: bool) -> None:
    """An approval from before is counted again, or one that was signed before is counted after."""
    insider = Insider.begin(tmp_path).approve("tina").reject("quinn", signed_at="2026-11-22T11:59:59.000Z")
    insider.approve("quinn", signed_at=signed_at)
    seq = insider.lease().force("run.opened", insider.opening())

    assert both(insider.store) == ((True, "") if ok else (False, entries.name(seq)))


@pytest.mark.parametrize("said", [True, False])
def test_an_approval_lifts_a_rejection_where_its_event_says_that_it_was_signed_later(
    insider: Insider, *, said: bool
) -> None:
    data = dict(approval_of(insider, "quinn").data)
    insider.reject("quinn", signed_at="2026-11-22T11:59:59.000Z")
    insider.run.add("approval.signed", data if said else {key: data[key] for key in data.keys() - {"signed_at"}})
    seq = insider.lease().force("run.opened", insider.opening())

    assert both(insider.store) == ((True, "") if said else (False, entries.name(seq)))


def test_a_gate_is_held_to_the_time_of_the_approval_too(insider: Insider) -> None:
    """The rejection came after the run was opened."""
    insider.open().reject("quinn").approve("quinn", file="again-{}.json").ask().run.close("failed")
    insider.refused_at(
        insider.seq_of("gate.passed", gate="approvals"), "was approved, and quinn@example.org rejected the request"
    )


def test_no_first_change_begins_while_a_rejection_stands(insider: Insider) -> None:
    insider.open().ask().reject("quinn")
    insider.run.add("phase.started", {"phase": "deploy"})
    seq = insider.force("step.started", step_started(STEP, "deploy", changes=True))
    assert both(insider.store) == (False, entries.name(seq))


@pytest.mark.parametrize("how", ["a check goes on", "it was approved again", "after the first change", "a rollback"])
def test_what_a_rejection_after_the_verdict_does_not_stop(insider: Insider, how: str) -> None:
    if how == "after the first change":
        insider.begin_step().end_step().reject("quinn").run.step("traffic", changes=True).close("deployed")
    elif how == "it was approved again":
        insider.open().ask().reject("quinn")
        insider.approve("quinn", file="again-{}.json", signed_at="2026-11-22T12:00:01.000Z").deploy()
    elif how == "a rollback":
        insider.open().ask().reject("quinn").run.add("rollback.started", {"cause": "-", "order": [], "target": None})
        insider.run.step("rollback", changes=True).add("rollback.finished", ROLLED_BACK)
        insider.run.close("rolled-back")
    else:
        insider.open().ask().reject("quinn").run.step("deploy").close("failed")
    insider.stands()


# --- a request ends when people signed that it does


def test_a_request_without_an_end_does_not_run_out(tmp_path: Path) -> None:
    Insider.asked(tmp_path, None, None).later(5 * 3600).open().ask().deploy().stands()


@pytest.mark.parametrize("said", [UNTIL, "2027-11-22T16:00:00.000Z", None], ids=["as signed", "a year later", "none"])
def test_the_event_of_a_request_ends_it_when_people_signed_that_it_ends(tmp_path: Path, said: str | None) -> None:
    insider = Insider.asked(tmp_path, UNTIL, said).open().ask().deploy()
    if said == UNTIL:
        insider.stands()
    else:
        insider.refused_at(insider.seq_of("request.made"), "expires")


# --- an override ends


@pytest.mark.parametrize(
    "after_s, ok", [(4 * 3600 + 59, True), (4 * 3600 + 61, False)], ids=["while it lasts", "after it ran out"]
)
def test_an_override_that_ran_out_lets_nothing_go(insider: Insider, after_s: float, *, ok: bool) -> None:
    """It is signed until 16:00; asking all gates may take a minute."""
    insider.override("tina", "quinn").open().later(after_s)
    insider.ask(window={"inputs": {"override": OVERRIDDEN}}).deploy()
    if ok:
        insider.stands()
    else:
        insider.refused_at(insider.seq_of("gate.passed", gate="window"), "no two signatures counted before it do")


def test_an_override_that_one_of_two_signed_anew_had_run_out(insider: Insider) -> None:
    insider.override("tina", "quinn").open()
    insider.later(5 * 3600).override(
        "quinn", file="again-{}.json", signed_at="2026-11-22T16:30:00.000Z", expires="2026-11-22T18:00:00.000Z"
    )
    insider.ask(window={"inputs": {"override": OVERRIDDEN}}).run.close("failed")
    insider.refused_at(insider.seq_of("gate.passed", gate="window"), "no two signatures counted before it do")


# --- traffic goes to the artefact that people signed


@pytest.mark.parametrize(
    "digest, ok",
    [(f"sha256:{SHA}", True), (IMAGE, True), (None, True), (OTHER, False), (f"diary@{OTHER}", False)],
    ids=["the digest", "with its repository", "none said", "another", "another with its repository"],
)
def test_traffic_goes_to_the_artefact_that_people_signed(insider: Insider, digest: str | None, *, ok: bool) -> None:
    insider.begin_step().run.add("traffic.moved", {**MOVED, "digest": digest})
    insider.end_step().run.close("deployed")
    if ok:
        insider.stands()
    else:
        insider.refused_at(insider.seq_of("traffic.moved"), "moves traffic to another artefact than")


def test_a_rollback_moves_traffic_to_what_served_before(insider: Insider) -> None:
    insider.begin_step().run.add("traffic.moved", MOVED)
    run = insider.end_step("failed").run
    run.add("rollback.started", {"cause": "-", "order": ["traffic"], "target": None})
    run.add("traffic.moved", {**MOVED, "digest": OTHER})
    run.add("rollback.finished", ROLLED_BACK)
    run.close("rolled-back")
    insider.stands()


@pytest.mark.parametrize("image, ok", [(IMAGE, True), (None, True), (f"diary@{OTHER}", False)])
def test_a_run_that_changes_something_opens_with_the_artefact_that_people_signed(
    insider: Insider, image: str | None, *, ok: bool
) -> None:
    insider.open(image=image).ask().deploy()
    if ok:
        insider.stands()
    else:
        insider.refused_at(insider.seq_of("step.started", changes=True), "goes on with another image than")


# --- the life of a run, past the writer


def asked_again(insider: Insider) -> int:
    data = {"expires": None, "requested_by": PERSON, "request_sha256": insider.request_sha256}
    return insider.force("request.made", data)


STARTED = step_started(STEP, "deploy")
FINISHED = step_finished(STEP, "deploy")
ENDED = phase_finished("deploy")
NOT_RUN: dict[str, Any] = {"nodeid": STEP, "phase": "deploy", "cause": "it stopped"}

FORCED: dict[str, Callable[[Insider], int]] = {
    "a second request": asked_again,
    "a lease on a voided request": lambda i: i.void().lease().force("run.opened", i.opening()) - 1,
    "a voided request is opened": lambda i: i.void().force("run.opened", i.opening()),
    "a voided request is opened by a plan": lambda i: i.void().force("run.opened", i.opening(pipeline="plan")),
    "a voided request is voided": lambda i: i.void().force("request.voided", {"cause": "again"}),
    "a request is voided after its run was opened": lambda i: i.open().force("request.voided", {"cause": "late"}),
    "no request is voided": lambda i: i.smoke().force("request.voided", {"cause": "none"}),
    "a plan of the steps after another": lambda i: i.open().force("run.planned", PLANNED),
    "a plan of the steps before the run": lambda i: i.force("run.planned", PLANNED),
    "a smoke run that deploys": lambda i: i.smoke().force("run.decided", decided("deployed")),
    "a deployment that is not passed": lambda i: i.open().force("run.decided", decided("not-passed")),
    "a smoke run that is still needed": lambda i: i.smoke().force("run.decided", decided("still-needed")),
    "a revision in no step": lambda i: i.open().ask().force("revision.deployed", REVISION),
    "a migration in no step": lambda i: i.open().ask().force("migration.applied", MIGRATION),
    "traffic in no step": lambda i: i.open().ask().force("traffic.moved", MOVED),
    "a revision in a step that changes nothing": lambda i: i.begin_step(changes=False).force("revision.deployed", REVISION),
    "traffic after the step": lambda i: i.begin_step().end_step().force("traffic.moved", MOVED),
    "traffic before the run": lambda i: i.force("traffic.moved", MOVED),
    "traffic after the decision": lambda i: decide(i.open(), "failed").force("traffic.moved", MOVED),
    "failed though it changed something": lambda i: i.fail().force("run.decided", decided("failed")),
    "refused though it changed something": lambda i: i.fail().force("run.decided", decided("refused")),
    "rolled back by no rollback": lambda i: i.fail().force("run.decided", decided("rolled-back")),
    "deployed though it was rolled back": lambda i: i.undo().force("run.decided", decided("deployed")),
    "decided twice": lambda i: decide(i.open(), "failed").force("run.decided", decided("failed")),
    "decided before it was opened": lambda i: i.force("run.decided", decided("failed")),
    "decided in a step": lambda i: i.begin_step().force("run.decided", decided("rollback-failed")),
    "decided in a rollback": lambda i: i.start_rollback().force("run.decided", decided("rollback-failed")),
    "abandoned though it changed something": lambda i: i.fail().force("run.abandoned", {"cause": "-", "found_sha256": SHA}),
    "a step in no phase": lambda i: i.open().force("step.started", STARTED),
    "a step for the second time": lambda i: end_of(i.begin_step()).force("step.started", STARTED),
    "a step's end without its start": lambda i: phase_of(i.open()).force("step.finished", FINISHED),
    "a step's end for the second time": lambda i: end_of(i.begin_step()).force("step.finished", FINISHED),
    "a step that began was not run": lambda i: i.begin_step().force("step.not-run", NOT_RUN),
    "a phase in another": lambda i: i.begin_step().force("phase.started", {"phase": "health"}),
    "a phase for the second time": lambda i: i.begin_step().end_step().force("phase.started", {"phase": "deploy"}),
    "a phase's end without its start": lambda i: i.open().force("phase.finished", ENDED),
    "a phase's end in a step": lambda i: i.begin_step().force("phase.finished", phase_finished("deploy", "failed")),
    "the phase rollback in no rollback": lambda i: i.open().force("phase.started", {"phase": "rollback"}),
    "another phase in a rollback": lambda i: i.start_rollback().force("phase.started", {"phase": "health"}),
    "a rollback in another": lambda i: i.start_rollback().force("rollback.started", {"cause": "-", "order": [], "target": None}),
    "a rollback's end without its start": lambda i: i.open().force("rollback.finished", ROLLED_BACK),
    "a rollback before the run": lambda i: i.force("rollback.started", {"cause": "-", "order": [], "target": None}),
}  # fmt: skip


def decide(insider: Insider, outcome: str) -> Insider:
    insider.run.add("run.decided", decided(outcome))
    return insider


def phase_of(insider: Insider) -> Insider:
    insider.run.add("phase.started", {"phase": "deploy"})
    return insider


def end_of(insider: Insider) -> Insider:
    """The step ended, its phase did not."""
    insider.run.add("step.finished", FINISHED)
    return insider


@pytest.mark.parametrize("case", FORCED)
def test_an_event_that_may_not_come_next_is_refused(insider: Insider, case: str) -> None:
    assert both(insider.store) == (True, "")

    seq = FORCED[case](insider)

    assert both(insider.store) == (False, entries.name(seq))


def test_what_each_of_these_is_told_from_stands(insider: Insider) -> None:
    """One life with all of it in its place: a change undone, what was not run, an end that fits."""
    run = insider.start_rollback().run
    run.step("rollback", changes=True)
    run.add("traffic.moved", {**MOVED, "digest": None})
    run.add("rollback.finished", ROLLED_BACK)
    run.add(
        "step.not-run", {"nodeid": "suites/health/test_health.py::test_it", "phase": "health", "cause": "it failed"}
    )
    run.add("phase.finished", phase_finished("health", "not-run"))
    run.close("rolled-back")
    insider.smoke().run.step("smoke").close("passed")
    insider.stands()


# --- what people sign lies in the folder of its run


def approval_of(insider: Insider, signer: str) -> Event:
    return next(e for e in insider.run.log.run(insider.run.run) if e.data.get("signer") == f"{signer}@example.org")


@pytest.mark.parametrize("whose", ["its own", "another run's", "an approval under signoffs"])
def test_what_is_signed_under_a_request_lies_in_the_folder_of_its_run(insider: Insider, whose: str) -> None:
    event, other = approval_of(insider, "quinn"), RunWriter(insider.run.log)
    assert other.run != insider.run.run
    other.planned_request()
    file = {
        "its own": f"runs/{insider.run.run}/approvals/again.json",
        "another run's": f"runs/{other.run}/approvals/again.json",
        "an approval under signoffs": f"signoffs/{insider.run.run}/again.json",
    }[whose]
    for suffix in ("", ".sig"):
        (insider.store / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(insider.store / f"{event.data['file']}{suffix}", insider.store / f"{file}{suffix}")
    assert hashlib.sha256((insider.store / file).read_bytes()).hexdigest() == event.data["sha256"]
    insider.run.add("approval.signed", {**event.data, "file": file})

    assert both(insider.store) == ((True, "") if whose == "its own" else (False, file))
