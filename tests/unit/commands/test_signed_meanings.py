"""What is signed after a run means what its kind stands for: both verifiers refuse another meaning, and so does the freeze gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pytest_deploy.approvals.after_run import (
    AcceptedDeviation,
    AfterRun,
    Amendment,
    Note,
    SignOff,
    Thaw,
    event_hash,
    sign_statement,
)
from pytest_deploy.commands.sign_off import Signing
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import RunClosed
from tests.unit.commands.finished_runs import FinishedRuns, build
from tests.unit.verify.second_verifier import both


@pytest.fixture
def finished(tmp_path: Path) -> FinishedRuns:
    (tmp_path / "keys").mkdir()
    return build(tmp_path / "root", tmp_path / "keys")


Stated = Mapping[str, str]


def amendment(finished: FinishedRuns, said: Stated) -> AfterRun:
    event = finished.last("run.opened", finished.deployed)
    about = {"run": event.run, "event_sha256": event_hash(event), "key": "ticket", "reason": "x"}
    return Amendment(**said, **about, amends=event.seq, old=None, new="OPS-7")


def note(finished: FinishedRuns, said: Stated) -> AfterRun:
    event = finished.last("run.opened", finished.deployed)
    return Note(**said, run=event.run, annotates=event.seq, event_sha256=event_hash(event), key="", note="x")


def acceptance(finished: FinishedRuns, said: Stated) -> AfterRun:
    seal = finished.last("run.closed", finished.failed).read(RunClosed).record_sha256
    step = {"nodeid": "suites/build/test_build.py::test_it", "deviation": "failed", "reason": "known"}
    return AcceptedDeviation(**said, run=finished.failed, record_sha256=seal, **step)


def sign_off(finished: FinishedRuns, said: Stated) -> AfterRun:
    seal = finished.last("run.closed", finished.deployed).read(RunClosed).record_sha256
    return SignOff(**said, run=finished.deployed, record_sha256=seal, comment="")


def thaw(finished: FinishedRuns, said: Stated) -> AfterRun:
    frozen = next(event for event in finished.log.events() if event.seq == finished.frozen)
    about = {"origin": finished.log.key.origin, "event_sha256": event_hash(frozen), "reason": "mended"}
    return Thaw(**said, **about, frozen=frozen.seq)


def sign(finished: FinishedRuns, statement: Callable[[FinishedRuns, Stated], AfterRun], meaning: str) -> Event:
    """Sign and count a statement past its command, whatever it says."""
    signing = Signing.of(finished.workspace, role="Tech Lead", key=finished.key("tina"))
    said = statement(finished, signing.signer_fields(meaning))
    return sign_statement(finished.log, said, person=signing.person, key=signing.key)


@pytest.mark.parametrize(
    "statement, right",
    [
        (amendment, Amendment.MEANING),
        (note, Note.MEANING),
        (acceptance, AcceptedDeviation.MEANING),
        (thaw, Thaw.MEANING),
        (sign_off, "reviewed"),
        (sign_off, "rejected"),
    ],
)
@pytest.mark.parametrize("denies", [False, True], ids=["as it is meant", "denied"])
def test_a_statement_after_a_run_means_what_its_kind_stands_for(
    finished: FinishedRuns, statement: Callable[[FinishedRuns, Stated], AfterRun], right: str, *, denies: bool
) -> None:
    event = sign(finished, statement, f"NOT: {right}" if denies else right)

    assert both(finished.store) == ((False, event.data["file"]) if denies else (True, ""))


def test_a_release_that_says_it_does_not_release_lifts_nothing(finished: FinishedRuns) -> None:
    event = sign(finished, thaw, "does not release this environment")

    passed, reason = finished.freeze_gate()

    assert not passed
    assert 'it means "does not release this environment", which is no environment.released' in reason
    assert both(finished.store) == (False, event.data["file"])
