"""Which request is run: the one that is asked for, or the only one; and none where none is asked for."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.pipeline.requests import approved_request, choose_request, refuse_unwanted_request
from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.record.events import parse
from pytest_deploy.release.source import Source
from pytest_deploy.workspace import Workspace
from tests.unit.commands.pending_request_checkout import PendingRequestCheckout
from tests.unit.record.sample_record import ACTOR, SHA, RunWriter
from tests.unit.sample_environment import environment


def test_the_only_live_request_for_this_commit_is_run_and_of_two_the_one_that_is_named(
    pending_checkout: PendingRequestCheckout,
) -> None:
    context, policy = (
        RunContext(pending_checkout.held.workspace, "deploy", run=pending_checkout.run),
        pending_checkout.held.policy,
    )
    assert pending_checkout.run == choose_request(context, policy).run

    second = pending_checkout.ask()
    with pytest.raises(UsageError) as refused:
        choose_request(context, policy)
    assert all(run in str(refused.value) for run in (pending_checkout.run, second.run))
    assert second.run == choose_request(replace(context, request=second.run), policy).run

    pending_checkout.log.append(parse("request.voided", {"cause": "withdrawn"}), run=second.run, actor=ACTOR)
    assert pending_checkout.run == choose_request(context, policy).run
    with pytest.raises(UsageError, match="no live request"):
        choose_request(replace(context, request=second.run), policy)


def test_a_request_is_run_by_its_own_pipeline_alone(pending_checkout: PendingRequestCheckout) -> None:
    """What people signed to be deployed goes nowhere back, and the other way round."""
    held = pending_checkout.held

    with pytest.raises(UsageError, match=r"no live requests .* --deploy-to=1\.2\.0`"):
        choose_request(RunContext(held.workspace, "rollback", to="1.2.0"), held.policy)

    back = RunWriter(pending_checkout.log)
    made = {"request_sha256": SHA, "expires": "2999-01-01T00:00:00.000Z", "requested_by": ACTOR, "pipeline": "rollback"}
    back.add("request.made", {**made, "commit": "e" * 40})
    assert choose_request(RunContext(held.workspace, "rollback"), held.policy).run == back.run
    assert choose_request(RunContext(held.workspace, "deploy"), held.policy).run == pending_checkout.run


def test_an_environment_without_a_record_has_no_request_and_gets_no_record_by_asking(tmp_path: Path) -> None:
    held = environment(tmp_path, "production")

    with pytest.raises(UsageError, match="no live request"):
        choose_request(RunContext(held.workspace, "deploy"), held.policy)

    assert not (tmp_path / "reports").exists()


def test_a_request_is_run_as_it_was_made(pending_checkout: PendingRequestCheckout) -> None:
    held = environment(pending_checkout.root, "production", run=pending_checkout.run)
    context = RunContext(held.workspace, "deploy", run=pending_checkout.run, request=pending_checkout.run)
    Source(pending_checkout.commit, "main", "1.3.0", dirty=False)
    assert pending_checkout.commit == approved_request(held, context).parsed["commit"]

    file = pending_checkout.folder / "request.json"
    file.write_bytes(file.read_bytes().replace(b"adds moods", b"adds foods"))
    with pytest.raises(Refused, match="is not the request that was made"):
        approved_request(held, context)


@pytest.mark.parametrize(
    "name, pipeline, request_, says",
    [
        ("production", "deploy", "production-1", ""),
        ("local", "deploy", "", ""),
        ("local", "deploy", "local-1", "local asks for no approval; leave it out"),
        ("production", "smoke", "production-1", "a request is run by the pipeline deploy, or rollback, not smoke"),
        ("production", "rollback", "production-1", ""),
        ("staging", "rollback", "staging-1", "staging asks for no approval; leave it out"),
    ],
)
def test_a_request_belongs_to_a_deployment_that_asks_for_approval(
    tmp_path: Path, name: str, pipeline: str, request_: str, says: str
) -> None:
    policy = environment(tmp_path, name).policy
    context = RunContext(Workspace(tmp_path, name), pipeline, request=request_)

    if not says:
        refuse_unwanted_request(context, policy)
        return
    with pytest.raises(UsageError, match=says):
        refuse_unwanted_request(context, policy)


@pytest.mark.parametrize(
    "shift_s, sets, options",
    [
        (0.0, (), ""),
        (0.0, ("health.watch_s=1",), " -- --deploy-set=health.watch_s=1"),
        (7200.0, ("health.watch_s=1",), " -- --deploy-set=health.watch_s=1 --deploy-at=AT"),
    ],
)
def test_the_plan_that_is_told_to_make_is_planned_as_the_run_was_asked(
    tmp_path: Path, shift_s: float, sets: tuple[str, ...], options: str
) -> None:
    """With other settings, or by another clock, it would make another request."""
    held = environment(tmp_path, "production")
    rehearsal = replace(held.workspace, rehearsal=True)
    context = RunContext(rehearsal, "deploy", sets=sets, shift_s=shift_s)

    with pytest.raises(UsageError) as told:
        choose_request(context, held.policy)

    (command,) = re.findall(r"`(.*?)`", str(told.value))
    instants = re.findall(r"--deploy-at=(\S+)", command)
    assert re.sub(r"(?<=--deploy-at=)\S+", "AT", command) == (
        f"pytest-deploy run {rehearsal.environment} --rehearse --pipeline plan{options}"
    )
    asked = datetime.now(UTC) + timedelta(seconds=shift_s)
    assert all(abs(datetime.fromisoformat(at) - asked) < timedelta(minutes=1) for at in instants)
