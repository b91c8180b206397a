"""Events that the log's own writer refuses, signed with its key all the same: all three verifiers name the first of them.

Below stand records that one of the three, or none, refuses: each is a fault to be mended.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.record import log_entry as entries
from pytest_deploy.verify.verify import verify
from tests.unit.record.sample_record import (
    MOVED,
    PERSON,
    SHA,
    HandClock,
    RunWriter,
    decided,
    opened_data,
    phase_finished,
    step_finished,
    step_started,
    verdict,
)
from tests.unit.verify.insider import OVERRIDDEN, PRODUCTION, Insider
from tests.unit.verify.third_verifier import all_three, third_opinion

REVISION: dict[str, Any] = {"revision": "diary-2", "image": f"diary@sha256:{SHA}", "url": None, "env_names": []}
REQUEST: dict[str, Any] = {"expires": None, "requested_by": PERSON}
ROLLED_BACK: dict[str, Any] = {"outcome": "rolled-back", "duration_s": 1.0, "target": None}
STEP = "suites/deploy/test_deploy.py::test_it"
Force = Callable[[Insider], int]


@pytest.fixture
def insider(tmp_path: Path) -> Insider:
    return Insider.begin(tmp_path).approve("tina", "quinn")


def leased(insider: Insider) -> Insider:
    """The run is about to be opened."""
    data = {"name": "local", "holder": PERSON, "until": "2026-11-22T12:01:00.000Z", "recovers": False}
    insider.run.add("lease.taken", {**data, "host": None, "pid": None, "process_started": None})
    return insider


def opened(insider: Insider, **says: Any) -> dict[str, Any]:
    return opened_data(**{"request_sha256": insider.request_sha256, "preimages": {}, **says})


def begun(insider: Insider, *, changes: bool = False) -> Insider:
    """The step of a deployment has begun, behind its gates."""
    run = insider.open().ask().run
    run.add("phase.started", {"phase": "deploy"})
    run.add("step.started", step_started(STEP, "deploy", changes=changes))
    return insider


def smoke(insider: Insider) -> Insider:
    insider.run = RunWriter(insider.run.log, pipeline="smoke")
    insider.run.policy = PRODUCTION
    insider.run.open().ask_gates("change")
    return insider


def failed(insider: Insider) -> Insider:
    insider.open().ask().run.step("traffic", changes=True, outcome="failed")
    return insider


def rolled_back(insider: Insider) -> Insider:
    failed(insider).run.roll_back()
    return insider


def voided(insider: Insider) -> Insider:
    insider.run.add("request.voided", {"cause": "withdrawn"})
    return insider


FORCED: dict[str, Force] = {
    "a second request": lambda i: i.force("request.made", {**REQUEST, "request_sha256": i.request_sha256}),
    "opened on no request": lambda i: leased(i).force("run.opened", opened(i, request_sha256=None)),
    "opened on another request": lambda i: leased(i).force("run.opened", opened(i, request_sha256="1" * 64)),
    "opened on a request that was voided": lambda i: voided(i).force("run.opened", opened(i)),
    "opened twice": lambda i: i.open().force("run.opened", opened(i)),
    "opened on a request that was rejected": lambda i: leased(i.reject("quinn")).force("run.opened", opened(i)),
    "passed, and refused": lambda i: i.open().ask().force("gate.passed", verdict("freeze", "refused", "change")),
    "a revision in no step": lambda i: i.open().ask().force("revision.deployed", REVISION),
    "a revision in a step that changes nothing": lambda i: begun(i).force("revision.deployed", REVISION),
    "traffic in no step": lambda i: i.open().ask().force("traffic.moved", MOVED),
    "a smoke run that deploys": lambda i: smoke(i).force("run.decided", decided("deployed")),
    "deployed though a step failed": lambda i: failed(i).force("run.decided", decided("deployed")),
    "deployed though it was rolled back": lambda i: rolled_back(i).force("run.decided", decided("deployed")),
    "failed though it changed something": lambda i: failed(i).force("run.decided", decided("failed")),
    "rolled back by no rollback": lambda i: failed(i).force("run.decided", decided("rolled-back")),
    "decided before it was opened": lambda i: i.force("run.decided", decided("deployed")),
    "a rollback's end without its start": lambda i: i.open().force("rollback.finished", ROLLED_BACK),
    "a step's end without its start": lambda i: i.open().force("step.finished", step_finished(STEP, "deploy")),
}  # fmt: skip


NOT_BY_THE_SCRIPT = {
    "a second request", "a revision in no step", "a revision in a step that changes nothing", "traffic in no step",
    "a smoke run that deploys", "failed though it changed something", "rolled back by no rollback",
    "a rollback's end without its start", "a step's end without its start", "opened on a request that was voided",
}  # fmt: skip
"""What verify.sh lets pass."""


@pytest.mark.parametrize("case", FORCED)
def test_what_the_writer_refuses_is_refused_by_ours_and_the_third(insider: Insider, case: str) -> None:
    seq = FORCED[case](insider)
    third = third_opinion(insider.store)

    assert verify(insider.store).findings[0].place == entries.name(seq)
    assert third is None or (third[0], third[1].partition(": ")[0]) == (False, entries.name(seq))


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(name, marks=pytest.mark.xfail(strict=True, reason="verify.sh lets it pass"))
        if name in NOT_BY_THE_SCRIPT
        else name
        for name in FORCED
    ],
)
def test_what_the_writer_refuses_is_refused_by_all_three(insider: Insider, case: str) -> None:
    seq = FORCED[case](insider)

    assert all_three(insider.store) == (False, entries.name(seq))


# --- what is not held yet


def later(insider: Insider, seconds: float = 5 * 3600) -> Insider:
    clock = insider.run.log.clock
    assert isinstance(clock, HandClock)
    clock.move(seconds)
    return insider


def count_again(insider: Insider) -> Insider:
    """Quinn's approval of before is counted once more."""
    approval = next(e for e in insider.run.log.run(insider.run.run) if e.data.get("signer") == "quinn@example.org")
    insider.run.add("approval.signed", dict(approval.data))
    return insider


def overrides(*by: str) -> dict[str, Any]:
    return {"inputs": {"override": {**OVERRIDDEN, "by": [f"{name}@example.org" for name in by]}}}


def move(insider: Insider, digest: str) -> Insider:
    begun(insider, changes=True).run.add("traffic.moved", {**MOVED, "digest": digest})
    insider.run.add("step.finished", step_finished(STEP, "deploy"))
    insider.run.add("phase.finished", phase_finished("deploy"))
    insider.run.close("deployed")
    return insider


def asked(home: Path, signed: str, said: str | None) -> Insider:
    """A request that people sign with one end, and whose event says another."""
    insider = Insider.begin(home)
    insider.run = RunWriter(insider.run.log)
    insider.run.policy = PRODUCTION
    insider.run.planned_request(says={"expires": signed}, expires=said)
    return insider.approve("tina", "quinn")


DISAGREE: dict[str, tuple[str, Callable[[Path], Insider]]] = {
    "an approval from before the rejection lifts it": (
        "the third alone holds `signed later`",
        lambda home: count_again(Insider.begin(home).approve("quinn", "tina").reject("quinn")).open().ask().deploy(),
    ),
    "opened long after a request whose event states no end": (
        "verify.sh says that it ran out; the others let it pass; people signed an end",
        lambda home: later(asked(home, "2026-11-22T16:00:00.000Z", None)).open().ask().deploy(),
    ),
    "opened after the end that people signed": (
        "no verifier holds `expires` of request.made against request.json",
        lambda home: later(asked(home, "2026-11-22T16:00:00.000Z", "2027-11-22T16:00:00.000Z")).open().ask().deploy(),
    ),
    "an override that ran out before the verdict": (
        "no verifier holds a verdict against `expires` of the override",
        lambda home: later(Insider.begin(home).approve("tina", "quinn").override("tina", "quinn").open()).ask(
            window=overrides("tina", "quinn")).deploy(),
    ),
    "traffic to another artefact": (
        "no verifier holds `digest` of traffic.moved against the request",
        lambda home: move(Insider.begin(home).approve("tina", "quinn"), f"sha256:{'1' * 64}"),
    ),
    "a rejection between the verdict and the change": (
        "no verifier asks for rejections after the verdict",
        lambda home: Insider.begin(home).approve("tina", "quinn").open().ask().reject("quinn").deploy(),
    ),
}  # fmt: skip
"""What should be refused, and who does not."""


@pytest.mark.parametrize(
    "case",
    [pytest.param(name, marks=pytest.mark.xfail(strict=True, reason=why)) for name, (why, _) in DISAGREE.items()],
)
def test_what_should_be_refused_by_all_three(tmp_path: Path, case: str) -> None:
    insider = DISAGREE[case][1](tmp_path)

    assert not all_three(insider.store)[0]


REFUSED: dict[str, Callable[[Path], Insider]] = {
    "an approval with a condition": lambda home: Insider.begin(home).approve("tina").approve("quinn", condition="not before Monday").open().ask().deploy(),
    "an override by who deploys": lambda home: Insider.begin(home).approve("tina", "quinn").override("tina", "otto").open(
        deployer="otto@example.org").ask(window=overrides("tina", "otto")).deploy(),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_by_all_three(tmp_path: Path, case: str) -> None:
    insider = REFUSED[case](tmp_path)

    assert not all_three(insider.store)[0]
