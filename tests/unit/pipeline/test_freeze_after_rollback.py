"""A run that was rolled back, or could not be, freezes its environment where policy says so: once, whoever finishes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.pipeline.freeze import freezes
from pytest_deploy.pipeline.outcome import Judgement
from pytest_deploy.pipeline.run import Run, RunObserver
from pytest_deploy.pipeline.sequence import Cause
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.load import policy_of
from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.record.clock import SystemClock
from pytest_deploy.record.event import of_type
from pytest_deploy.record.events import EnvironmentFrozen, RequestMade
from pytest_deploy.release.live import Baseline, Release
from pytest_deploy.workspace import Workspace
from tests.unit.record.sample_record import IMAGE, SHA, RunWriter, open_log
from tests.unit.sample_environment import environment


def left(root: Path, *, freezes: bool = True) -> Run:
    """A run that changed something, was closed and waits for its rollback, as any process takes it up."""
    environment(root, "local")
    workspace = Workspace(root, "local")
    sets = (f"freeze_after_rollback={str(freezes).lower()}",)
    held = Environment(workspace, policy_of(workspace, sets), clock=SystemClock())
    writer = RunWriter(held.log).open().step("deploy", changes=True)
    return taken_up(workspace, held, writer.run)


def taken_up(workspace: Workspace, held: Environment, run: str) -> Run:
    context = RunContext(workspace, pipeline="deploy", run=run)
    again = Run(environment=held, context=context, steps=(), observer=RunObserver(), lease=None, started_at=0.0)
    again.resume()
    return again


def frozen(run: Run) -> list[EnvironmentFrozen]:
    return [content for _, content in of_type(run.events(), EnvironmentFrozen)]


@pytest.mark.parametrize("how,outcome", [("done", "rolled-back"), ("failed", "rollback-failed")])
def test_what_was_rolled_back_freezes_and_says_why(tmp_path: Path, how: str, outcome: str) -> None:
    run = left(tmp_path)
    run.close(Cause("step", "smoke: health"))
    run.start_rollback()
    run.finish_rollback(how)  # type: ignore[arg-type]
    assert run.decide().outcome == outcome

    (said,) = frozen(run)
    assert said.reason.startswith(outcome)
    assert said.commit
    # Whoever takes it up again writes it no second time.
    taken_up(run.context.workspace, run.environment, run.context.run).decide()
    assert len(frozen(run)) == 1


def test_where_policy_freezes_nothing_nothing_is_frozen(tmp_path: Path) -> None:
    run = left(tmp_path, freezes=False)
    run.close(Cause("step", "smoke: health"))
    run.start_rollback()
    run.finish_rollback("done")
    run.decide()
    assert frozen(run) == []


def test_what_deployed_freezes_nothing(tmp_path: Path) -> None:
    run = left(tmp_path)
    assert run.decide().outcome == "deployed"
    assert frozen(run) == []


def test_what_was_gone_back_from_is_what_a_rollback_by_hand_freezes(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    release = Release("1.3.0", "e" * 40, IMAGE, (), "diary-00003")
    served = Baseline("diary-00003", (), SHA, SHA, release).to_json()
    run = RunWriter(log, pipeline="rollback").request(says={"serving": served, "pipeline": "rollback"}, reason="slow")
    run.open(request_sha256=next(content.request_sha256 for _, content in of_type(log.history(), RequestMade)))
    events = [event for event in log.history() if event.run == run.run]

    (freeze,) = freezes(Judgement("rolled-back", "", 0), events, log.store.folder())

    assert (freeze.commit, freeze.version) == ("e" * 40, "1.3.0")
    assert freeze.reason == "rolled-back: from 1.3.0 to 1.2.0; slow"
    assert not list(freezes(Judgement("refused", "", 1), events, log.store.folder()))
