"""Events that the log's own writer refuses, signed with its key all the same: all three verifiers name the first of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.record import log_entry as entries
from tests.unit.record.sample_record import (
    MOVED,
    PERSON,
    SHA,
    RunWriter,
    decided,
    phase_finished,
    step_finished,
    step_started,
    verdict,
)
from tests.unit.verify.insider import FILLED, OVERRIDDEN, REVISION, ROLLED_BACK, STEP, UNTIL, Insider, approvals
from tests.unit.verify.third_verifier import all_three

REQUEST: dict[str, Any] = {"expires": None, "requested_by": PERSON}
END = 5 * 3600
"""Seconds after which a request, or an override, of these records has ended."""
Force = Callable[[Insider], int]


@pytest.fixture
def insider(tmp_path: Path) -> Insider:
    return Insider.begin(tmp_path).approve("tina", "quinn")


FORCED: dict[str, Force] = {
    "a second request": lambda i: i.force("request.made", {**REQUEST, "request_sha256": i.request_sha256}),
    "opened on no request": lambda i: i.lease().force("run.opened", i.opening(request_sha256=None)),
    "opened on another request": lambda i: i.lease().force("run.opened", i.opening(request_sha256="1" * 64)),
    "opened on a request that was voided": lambda i: i.void().force("run.opened", i.opening()),
    "opened twice": lambda i: i.open().force("run.opened", i.opening()),
    "opened on a request that was rejected": lambda i: i.reject("quinn").lease().force("run.opened", i.opening()),
    "passed, and refused": lambda i: i.open().ask().force("gate.passed", verdict("freeze", "refused", "change")),
    "a revision in no step": lambda i: i.open().ask().force("revision.deployed", REVISION),
    "a revision in a step that changes nothing": lambda i: i.begin_step(changes=False).force("revision.deployed", REVISION),
    "traffic in no step": lambda i: i.open().ask().force("traffic.moved", MOVED),
    "a smoke run that deploys": lambda i: i.smoke().force("run.decided", decided("deployed")),
    "deployed though a step failed": lambda i: i.fail().force("run.decided", decided("deployed")),
    "deployed though it was rolled back": lambda i: i.undo().force("run.decided", decided("deployed")),
    "failed though it changed something": lambda i: i.fail().force("run.decided", decided("failed")),
    "rolled back by no rollback": lambda i: i.fail().force("run.decided", decided("rolled-back")),
    "decided before it was opened": lambda i: i.force("run.decided", decided("deployed")),
    "a rollback's end without its start": lambda i: i.open().force("rollback.finished", ROLLED_BACK),
    "a step's end without its start": lambda i: i.open().force("step.finished", step_finished(STEP, "deploy")),
}  # fmt: skip


@pytest.mark.parametrize("case", FORCED)
def test_what_the_writer_refuses_is_refused_by_all_three(insider: Insider, case: str) -> None:
    seq = FORCED[case](insider)

    assert all_three(insider.store) == (False, entries.name(seq))


def opened_on_an_approval_of_before(insider: Insider) -> Insider:
    """Quinn's approval of before the rejection is counted once more."""
    approval = next(e for e in insider.run.log.run(insider.run.run) if e.data.get("signer") == "quinn@example.org")
    insider.lease().run.add("approval.signed", dict(approval.data))
    insider.force("run.opened", insider.opening())
    return insider


def changing(insider: Insider) -> Insider:
    """A step that changes something has begun, whoever rejects it."""
    insider.run.add("phase.started", {"phase": "deploy"})
    insider.force("step.started", step_started(STEP, "deploy", changes=True))
    return insider


def overrides(*by: str) -> dict[str, Any]:
    return {"inputs": {"override": {**OVERRIDDEN, "by": [f"{name}@example.org" for name in by]}}}


def move(insider: Insider, digest: str) -> Insider:
    insider.begin_step().run.add("traffic.moved", {**MOVED, "digest": digest})
    insider.end_step().run.close("deployed")
    return insider


def rolled_back_to_what_nobody_signed(insider: Insider) -> Insider:
    """Another run, which says that it goes back, and brings something new."""
    insider.run = RunWriter(insider.run.log, pipeline="rollback")
    run = insider.run.open().ask_gates()
    step = "suites/rollback/test_traffic.py::test_it"
    for kind, said in (
        ("rollback.started", {"cause": "x", "order": ["traffic"], "target": None}),
        ("phase.started", {"phase": "rollback"}),
        ("step.started", step_started(step, "rollback", changes=True)),
        ("revision.deployed", {**REVISION, "image": f"other@sha256:{'1' * 64}"}),
        ("traffic.moved", MOVED),
        ("step.finished", step_finished(step, "rollback")),
        ("phase.finished", phase_finished("rollback")),
        ("rollback.finished", ROLLED_BACK),
    ):
        run.add(kind, said)
    run.close("rolled-back")
    return insider


SHADOW: dict[str, Any] = {
    "tina@example.org.local": {"printed_name": "Tom", "roles": ["Guest"], "emails": [], "github": None, "local": "tom"}
}
"""Its address is that of Tina's entry `local`, where paths are joined with dots."""
REFUSED: dict[str, Callable[[Path], Insider]] = {
    "an approval with a condition": lambda home: Insider.begin(home).approve("tina").approve("quinn", condition="not before Monday").open().ask().deploy(),
    "an override by who deploys": lambda home: Insider.begin(home).approve("tina", "quinn").override("tina", "otto").open(
        deployer="otto@example.org").ask(window=overrides("tina", "otto")).deploy(),
    "an approval from before the rejection lifts it": lambda home: opened_on_an_approval_of_before(
        Insider.begin(home).approve("quinn", "tina").reject("quinn")),
    "a request whose event states no end, and people signed one": lambda home: Insider.asked(home, UNTIL, None).later(END).open().ask().deploy(),
    "a request whose event states a later end": lambda home: Insider.asked(home, UNTIL, "2027-11-22T16:00:00.000Z").later(END).open().ask().deploy(),
    "an override that ran out before the verdict": lambda home: Insider.begin(home).approve("tina", "quinn").override("tina", "quinn").open().later(
        END).ask(window=overrides("tina", "quinn")).deploy(),
    "traffic to another artefact": lambda home: move(Insider.begin(home).approve("tina", "quinn"), f"sha256:{'1' * 64}"),
    "another image when it opened": lambda home: Insider.begin(home).approve("tina", "quinn").open(image=f"diary@sha256:{'1' * 64}").ask().deploy(),
    "another plan than people signed": lambda home: Insider.begin(home, plan={"run": "local-20260101T000000Z-dead", "schema_diff_sha256": SHA}).approve(
        "tina", "quinn").open().ask().deploy(),
    "a key with a dot in the place of a verdict's": lambda home: Insider.begin(home).approve("tina", "quinn").override("tina", "quinn").open().ask(
        window={"inputs": {**overrides("eve", "mallory")["inputs"], "override.by": ["quinn@example.org", "tina@example.org"]}}).deploy(),
    "an address in the place of a person's entry": lambda home: Insider.begin(home).enroll("tina", "quinn", also=SHADOW).approve("tina", "quinn").open(
        deployer="local:1000:tina@desk").ask().deploy(),
    "a rollback that brings something new": lambda home: rolled_back_to_what_nobody_signed(
        Insider.begin(home).approve("tina", "quinn").open().ask().deploy()),
    "a rejection between the verdict and the change": lambda home: changing(
        Insider.begin(home).approve("tina", "quinn").open().ask().reject("quinn")),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_by_all_three(tmp_path: Path, case: str) -> None:
    insider = REFUSED[case](tmp_path)

    assert not all_three(insider.store)[0]


def test_a_key_with_a_dot_is_no_role_that_somebody_filled(tmp_path: Path) -> None:
    insider = Insider.begin(tmp_path).approve("tina", "quinn").open()
    insider.run.ask_gates("change", approvals={"inputs": {**approvals(FILLED), "filled.Ghost": "g@example.org"}})
    insider.deploy().stands()


def test_the_same_as_it_was_signed_is_taken_by_all_three(tmp_path: Path) -> None:
    insider = Insider.asked(tmp_path, UNTIL, UNTIL)
    move(insider, f"sha256:{SHA}").stands()
