"""A run is judged by others than who deployed it, and a deviation is one: both verifiers hold to that what was signed by hand."""

from __future__ import annotations

import pytest

from pytest_deploy.approvals.after_run import AcceptedDeviation, AfterRun, SignOff, sign_statement
from pytest_deploy.commands.sign_off import Signing
from pytest_deploy.record.events import RunClosed
from pytest_deploy.verify.actors import is_one_of
from tests.unit.commands.finished_runs import FinishedRuns
from tests.unit.verify.second_verifier import both, second_opinion

BUILD = "suites/build/test_build.py::test_it"
SMOKE = "suites/smoke/test_api.py::test_it"


def signs(finished: FinishedRuns, by: str, statement: str, run: str, step: str = BUILD) -> str:
    """Past the commands, with an enrolled key; the name of the event that counts it."""
    signing = Signing.of(finished.workspace, role="QA Lead", key=finished.key(by))
    sealed = finished.last("run.closed", run).read(RunClosed).record_sha256
    said: AfterRun = (
        SignOff(**signing.signer_fields("reviewed"), run=run, record_sha256=sealed, comment="")
        if statement == "sign-off"
        else AcceptedDeviation(
            **signing.signer_fields(AcceptedDeviation.MEANING),
            run=run, record_sha256=sealed, nodeid=step, deviation="failed: no message", reason="known",
        )
    )  # fmt: skip
    written = sign_statement(signing.log, said, person=signing.person, key=signing.key)
    return f"log/{written.seq:08d}.event"


@pytest.mark.parametrize("statement", ["sign-off", "accepted deviation"])
@pytest.mark.parametrize("by", ["ada", "quinn"])
def test_nobody_judges_their_own_deployment(finished: FinishedRuns, by: str, statement: str) -> None:
    """Ada deployed it."""
    event = signs(finished, by, statement, finished.failed)

    assert both(finished.store) == ((True, "") if by == "quinn" else (False, event))
    if by == "ada":
        assert "is signed by who deployed" in second_opinion(finished.store).text


@pytest.mark.parametrize(
    "run, step, why",
    [
        ("deployed", BUILD, "which passed"),
        ("failed", "suites/smoke/test_api.py::test_never", "does not have"),
        ("deployed", SMOKE, "does not have"),
        ("failed", BUILD, ""),
        ("failed", SMOKE, ""),
    ],
    ids=["passed", "no step", "another run's", "failed", "not run"],
)
def test_a_deviation_is_of_a_step_that_did_not_pass(finished: FinishedRuns, run: str, step: str, why: str) -> None:
    named = {"deployed": finished.deployed, "failed": finished.failed}
    event = signs(finished, "quinn", "accepted deviation", named[run], step)

    assert both(finished.store) == ((False, event) if why else (True, ""))
    assert why in second_opinion(finished.store).text


@pytest.mark.parametrize(
    "actor, known",
    [
        ("local:1000:ada@here", True),
        ("local:1000:ada@here@there", False),
        ("local:ada", False),
        ("local:", False),
        ("github:21:ada", True),
        ("github:21", True),
        ("github:2:ada", False),
        ("github:", False),
        ("Ada@example.org", True),
        ("", False),
    ],
)
def test_who_did_something_may_be_written_in_any_form(actor: str, *, known: bool) -> None:
    """The log's own key may have written it: it is judged, and ends no verifier."""
    roster = b'{"ada@example.org":{"github":21,"local":"ada"}}'

    assert known == is_one_of({"roles.json": roster}, "ada@example.org", {actor})
