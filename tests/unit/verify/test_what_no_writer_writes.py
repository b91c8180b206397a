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
    HandClock,
    RunWriter,
    decided,
    opened_data,
    phase_finished,
    step_finished,
    step_started,
)
from tests.unit.verify.altered_record import append_unchecked
from tests.unit.verify.insider import OVERRIDDEN, PRODUCTION, Insider
from tests.unit.verify.second_verifier import both

OTHER = f"sha256:{'1' * 64}"
UNTIL = "2026-11-22T16:00:00.000Z"
"""When a request, or an override, of these records ends."""
REVISION: dict[str, Any] = {"revision": "diary-2", "image": IMAGE, "url": None, "env_names": []}
MIGRATION: dict[str, Any] = {
    "version": "0008", "sha256": SHA, "duration_s": 0.5, "schema_before": None, "schema_after": None, "engine": "pgmigrate",
}  # fmt: skip
STEP = "suites/deploy/test_deploy.py::test_it"
ROLLED_BACK: dict[str, Any] = {"outcome": "rolled-back", "duration_s": 1.0, "target": None}


@pytest.fixture
def insider(tmp_path: Path) -> Insider:
    return Insider.begin(tmp_path).approve("tina", "quinn")


def force(insider: Insider, event_type: str, data: dict[str, Any]) -> int:
    return append_unchecked(insider.run.log, event_type, data, insider.run.run)


def later(insider: Insider, seconds: float) -> Insider:
    clock = insider.run.log.clock
    assert isinstance(clock, HandClock)
    clock.move(seconds)
    return insider


def opened(insider: Insider, **says: Any) -> dict[str, Any]:
    return opened_data(**{"request_sha256": insider.request_sha256, "preimages": {}, **says})


def leased(insider: Insider) -> Insider:
    """The run is about to be opened."""
    data = {"name": "local", "holder": PERSON, "until": "2026-11-22T12:01:00.000Z", "recovers": False}
    force(insider, "lease.taken", {**data, "host": None, "pid": None, "process_started": None})
    return insider


def begin_step(insider: Insider, *, changes: bool = True) -> Insider:
    """The step of a deployment has begun, behind its gates."""
    run = insider.open().ask().run
    run.add("phase.started", {"phase": "deploy"})
    run.add("step.started", step_started(STEP, "deploy", changes=changes))
    return insider


def end_step(insider: Insider, outcome: str = "passed") -> Insider:
    insider.run.add("step.finished", step_finished(STEP, "deploy", outcome))
    insider.run.add("phase.finished", phase_finished("deploy", "passed" if outcome == "passed" else "failed"))
    return insider


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
    seq = force(leased(insider), "run.opened", opened(insider))

    assert both(insider.store) == ((True, "") if ok else (False, entries.name(seq)))


@pytest.mark.parametrize("said", [True, False])
def test_an_approval_lifts_a_rejection_where_its_event_says_that_it_was_signed_later(
    insider: Insider, *, said: bool
) -> None:
    data = dict(approval_of(insider, "quinn").data)
    insider.reject("quinn", signed_at="2026-11-22T11:59:59.000Z")
    insider.run.add("approval.signed", data if said else {key: data[key] for key in data.keys() - {"signed_at"}})
    seq = force(leased(insider), "run.opened", opened(insider))

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
    seq = force(insider, "step.started", step_started(STEP, "deploy", changes=True))
    assert both(insider.store) == (False, entries.name(seq))


@pytest.mark.parametrize("how", ["a check goes on", "it was approved again", "after the first change", "a rollback"])
def test_what_a_rejection_after_the_verdict_does_not_stop(insider: Insider, how: str) -> None:
    if how == "after the first change":
        end_step(begin_step(insider)).reject("quinn").run.step("traffic", changes=True).close("deployed")
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


def asked(home: Path, signed: str | None, said: str | None) -> Insider:
    """A request whose file and whose event say when it ends."""
    insider = Insider.begin(home)
    insider.run = RunWriter(insider.run.log)
    insider.run.policy = PRODUCTION
    plan = RunWriter(insider.run.log, pipeline="plan").open().step("build")
    insider.run.request(says={} if signed is None else {"expires": signed}, plan=plan.run, expires=said)
    plan.add("run.decided", decided("passed", request=insider.run.run))
    return insider.approve("tina", "quinn")


def test_a_request_without_an_end_does_not_run_out(tmp_path: Path) -> None:
    later(asked(tmp_path, None, None), 5 * 3600).open().ask().deploy().stands()


@pytest.mark.parametrize("said", [UNTIL, "2027-11-22T16:00:00.000Z", None], ids=["as signed", "a year later", "none"])
def test_the_event_of_a_request_ends_it_when_people_signed_that_it_ends(tmp_path: Path, said: str | None) -> None:
    insider = asked(tmp_path, UNTIL, said).open().ask().deploy()
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
    later(insider.override("tina", "quinn").open(), after_s)
    insider.ask(window={"inputs": {"override": OVERRIDDEN}}).deploy()
    if ok:
        insider.stands()
    else:
        insider.refused_at(insider.seq_of("gate.passed", gate="window"), "no two signatures counted before it do")


def test_an_override_that_one_of_two_signed_anew_had_run_out(insider: Insider) -> None:
    insider.override("tina", "quinn").open()
    later(insider, 5 * 3600).override(
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
    begin_step(insider).run.add("traffic.moved", {**MOVED, "digest": digest})
    end_step(insider).run.close("deployed")
    if ok:
        insider.stands()
    else:
        insider.refused_at(insider.seq_of("traffic.moved"), "moves traffic to another artefact than")


def test_a_rollback_moves_traffic_to_what_served_before(insider: Insider) -> None:
    begin_step(insider).run.add("traffic.moved", MOVED)
    run = end_step(insider, "failed").run
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


def voided(insider: Insider) -> Insider:
    insider.run.add("request.voided", {"cause": "withdrawn"})
    return insider


def smoke(insider: Insider) -> Insider:
    insider.run = RunWriter(insider.run.log, pipeline="smoke")
    insider.run.policy = PRODUCTION
    insider.run.open().ask_gates("change")
    return insider


def failed(insider: Insider) -> Insider:
    begin_step(insider).run.add("traffic.moved", MOVED)
    return end_step(insider, "failed")


def rolling_back(insider: Insider) -> Insider:
    failed(insider).run.add("rollback.started", {"cause": "-", "order": ["traffic"], "target": None})
    return insider


def asked_again(insider: Insider) -> int:
    data = {"expires": None, "requested_by": PERSON, "request_sha256": insider.request_sha256}
    return force(insider, "request.made", data)


def of_plan(insider: Insider) -> dict[str, Any]:
    return opened(insider, pipeline="plan")


STARTED = step_started(STEP, "deploy")
FINISHED = step_finished(STEP, "deploy")
ENDED = phase_finished("deploy")
NOT_RUN: dict[str, Any] = {"nodeid": STEP, "phase": "deploy", "cause": "it stopped"}

FORCED: dict[str, Callable[[Insider], int]] = {
    "a second request": asked_again,
    "a lease on a voided request": lambda i: force(leased(voided(i)), "run.opened", opened(i)) - 1,
    "a voided request is opened": lambda i: force(voided(i), "run.opened", opened(i)),
    "a voided request is opened by a plan": lambda i: force(voided(i), "run.opened", of_plan(i)),
    "a voided request is voided": lambda i: force(voided(i), "request.voided", {"cause": "again"}),
    "a request is voided after its run was opened": lambda i: force(i.open(), "request.voided", {"cause": "late"}),
    "no request is voided": lambda i: force(smoke(i), "request.voided", {"cause": "none"}),
    "a plan of the steps after another": lambda i: force(i.open(), "run.planned", PLANNED),
    "a plan of the steps before the run": lambda i: force(i, "run.planned", PLANNED),
    "a smoke run that deploys": lambda i: force(smoke(i), "run.decided", decided("deployed")),
    "a deployment that is not passed": lambda i: force(i.open(), "run.decided", decided("not-passed")),
    "a smoke run that is still needed": lambda i: force(smoke(i), "run.decided", decided("still-needed")),
    "a revision in no step": lambda i: force(i.open().ask(), "revision.deployed", REVISION),
    "a migration in no step": lambda i: force(i.open().ask(), "migration.applied", MIGRATION),
    "traffic in no step": lambda i: force(i.open().ask(), "traffic.moved", MOVED),
    "a revision in a step that changes nothing": lambda i: force(begin_step(i, changes=False), "revision.deployed", REVISION),
    "traffic after the step": lambda i: force(end_step(begin_step(i)), "traffic.moved", MOVED),
    "traffic before the run": lambda i: force(i, "traffic.moved", MOVED),
    "traffic after the decision": lambda i: force(decide(i.open(), "failed"), "traffic.moved", MOVED),
    "failed though it changed something": lambda i: force(failed(i), "run.decided", decided("failed")),
    "refused though it changed something": lambda i: force(failed(i), "run.decided", decided("refused")),
    "rolled back by no rollback": lambda i: force(failed(i), "run.decided", decided("rolled-back")),
    "deployed though it was rolled back": lambda i: force(undone(i), "run.decided", decided("deployed")),
    "decided twice": lambda i: force(decide(i.open(), "failed"), "run.decided", decided("failed")),
    "decided before it was opened": lambda i: force(i, "run.decided", decided("failed")),
    "decided in a step": lambda i: force(begin_step(i), "run.decided", decided("rollback-failed")),
    "decided in a rollback": lambda i: force(rolling_back(i), "run.decided", decided("rollback-failed")),
    "abandoned though it changed something": lambda i: force(failed(i), "run.abandoned", {"cause": "-", "found_sha256": SHA}),
    "a step in no phase": lambda i: force(i.open(), "step.started", STARTED),
    "a step for the second time": lambda i: force(end_of(begin_step(i)), "step.started", STARTED),
    "a step's end without its start": lambda i: force(phase_of(i.open()), "step.finished", FINISHED),
    "a step's end for the second time": lambda i: force(end_of(begin_step(i)), "step.finished", FINISHED),
    "a step that began was not run": lambda i: force(begin_step(i), "step.not-run", NOT_RUN),
    "a phase in another": lambda i: force(begin_step(i), "phase.started", {"phase": "health"}),
    "a phase for the second time": lambda i: force(end_step(begin_step(i)), "phase.started", {"phase": "deploy"}),
    "a phase's end without its start": lambda i: force(i.open(), "phase.finished", ENDED),
    "a phase's end in a step": lambda i: force(begin_step(i), "phase.finished", phase_finished("deploy", "failed")),
    "the phase rollback in no rollback": lambda i: force(i.open(), "phase.started", {"phase": "rollback"}),
    "another phase in a rollback": lambda i: force(rolling_back(i), "phase.started", {"phase": "health"}),
    "a rollback in another": lambda i: force(rolling_back(i), "rollback.started", {"cause": "-", "order": [], "target": None}),
    "a rollback's end without its start": lambda i: force(i.open(), "rollback.finished", ROLLED_BACK),
    "a rollback before the run": lambda i: force(i, "rollback.started", {"cause": "-", "order": [], "target": None}),
}  # fmt: skip


def decide(insider: Insider, outcome: str) -> Insider:
    insider.run.add("run.decided", decided(outcome))
    return insider


def undone(insider: Insider) -> Insider:
    begin_step(insider).run.add("traffic.moved", MOVED)
    end_step(insider).run.roll_back()
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
    run = rolling_back(insider).run
    run.step("rollback", changes=True)
    run.add("traffic.moved", {**MOVED, "digest": None})
    run.add("rollback.finished", ROLLED_BACK)
    run.add(
        "step.not-run", {"nodeid": "suites/health/test_health.py::test_it", "phase": "health", "cause": "it failed"}
    )
    run.add("phase.finished", phase_finished("health", "not-run"))
    run.close("rolled-back")
    smoke(insider).run.step("smoke").close("passed")
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
