"""A deployment that changes infrastructure: Pulumi's real engine, from the plan to the way back."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pytest_deploy.platform.infrastructure import Preview, StackState
from pytest_deploy.release.infrastructure_update import BEGUN
from tests.pulumi_project import BUCKET
from tests.stories.held_steps import hold_up
from tests.stories.infrastructure_checkout import (
    APPLIED,
    NEARLINE,
    PROGRAM,
    WithInfrastructure,
    checkout_with_infrastructure,
)
from tests.stories.step_ids import BACKUP
from tests.stories.story_assertions import assert_ended

pytestmark = pytest.mark.faults


@pytest.fixture
def under(tmp_path: Path) -> Iterator[WithInfrastructure]:
    """A checkout whose environment has infrastructure; nothing was ever deployed from it."""
    with checkout_with_infrastructure(tmp_path) as made:
        yield made


def request_of(under: WithInfrastructure) -> dict[str, object]:
    """The request of the last run."""
    content: dict[str, object] = json.loads((under.checkout.run_folder() / "request.json").read_text(encoding="utf-8"))
    return content


def test_a_deployment_changes_what_its_program_changes_and_a_failing_one_leads_the_stack_back(
    under: WithInfrastructure,
) -> None:
    ran = under.deploy()

    assert_ended(under.checkout, ran, code=0, outcome="deployed")
    assert under.checkout.step_outcomes()[APPLIED] == "passed"
    assert under.buckets == ["records"]
    planned = request_of(under)["infrastructure"]
    assert isinstance(planned, dict)
    assert [change.name for change in Preview.from_json(planned).changes if change.type == BUCKET] == ["records"]
    assert StackState.from_json(planned["earlier"]).resources == {}
    applied = json.loads((under.checkout.run_folder() / "infrastructure/applied.json").read_text(encoding="utf-8"))
    assert applied["state"]["digest"] == under.state.digest

    before, standing = under.state, under.checkout.standing()
    under.change(*NEARLINE)
    under.add()
    ran = under.deploy("--deploy-set=service.env.FAULT=crud")

    assert_ended(under.checkout, ran, code=1, outcome="rolled-back")
    assert under.checkout.step_outcomes()[APPLIED] == "passed"
    assert under.checkout.said("rollback.started")[0]["order"] == ["traffic", "database", "infrastructure"]
    assert under.state == before
    assert under.buckets == ["records"]
    assert under.project.google.one(BUCKET)["storageClass"] == "STANDARD"
    assert under.checkout.standing() == standing


def test_the_first_release_that_fails_leaves_its_infrastructure_and_a_person_is_told(under: WithInfrastructure) -> None:
    ran = under.deploy("--deploy-set=service.env.FAULT=crud")

    assert_ended(under.checkout, ran, code=20, outcome="rollback-failed")
    assert "no release was here before" in ran.said
    assert under.buckets == ["records"]
    assert under.checkout.standing().status == 503


def test_what_is_uncommitted_is_never_run(under: WithInfrastructure) -> None:
    main = under.program / "__main__.py"
    main.write_text("raise RuntimeError('of the working tree')\n", encoding="utf-8")

    ran = under.deploy()

    assert ran.code == 1, ran.said
    assert f"{PROGRAM} is run as commit" in ran.said
    assert "of the working tree" not in ran.said
    assert under.buckets == []


def test_a_deletion_that_policy_does_not_name_is_refused_before_anything_is_changed(under: WithInfrastructure) -> None:
    assert under.deploy().code == 0
    before = under.state
    (under.program / "__main__.py").write_text("", encoding="utf-8")
    under.checkout.commit("nothing is wanted any more")

    ran = under.deploy()

    assert_ended(under.checkout, ran, code=1, outcome="failed")
    assert "the request does not name it for destruction" in ran.said
    assert "infrastructure.may_destroy" in ran.said
    assert under.state == before


def test_what_somebody_else_applies_after_the_preview_voids_it_and_no_rollback_reverts_it(
    under: WithInfrastructure,
) -> None:
    plan = under.deploy("--deploy-pipeline=plan")
    summary = under.deploy_py("plan", "local", "--summary")
    assert plan.code == 0, plan.said
    assert "create gcp:storage/bucket:Bucket records" in plan.stdout
    assert "+ create gcp:storage/bucket:Bucket records" in summary.stdout, summary.said

    # The run has previewed, and waits; meanwhile a person applies the same program by hand.
    held = hold_up(under.checkout, BACKUP, "before", seconds=120)
    run = under.start()
    held.until_there(run)
    under.project.apply_by_hand(under.program)
    ran = run.wait(400)

    assert_ended(under.checkout, ran, code=1, outcome="rolled-back")
    assert under.checkout.failing() == {APPLIED.partition("suites/")[2]}
    assert "not as it was when its preview was approved" in ran.said
    assert not (under.checkout.run_folder() / BEGUN).exists()
    assert under.buckets == ["records"]

    again = under.deploy("--deploy-pipeline=plan")

    assert again.code == 0, again.said
    assert "infrastructure: no longer: create gcp:storage/bucket:Bucket records" in again.stdout
    assert "is void: " in again.stdout
    assert "preview   0 changes of the infrastructure" in again.stdout


def test_an_update_that_is_killed_is_refused_by_a_plan_and_resolved_by_recover(under: WithInfrastructure) -> None:
    assert under.deploy().code == 0
    before, standing = under.state, under.checkout.standing()
    under.add()
    gate = under.project.google.stop_at(BUCKET, done_first=True)
    run = under.start()
    assert gate.reached.wait(180), run.output()
    family = psutil.Process(run.pid).children(recursive=True)
    # The run first, or it would stop the engine in order; then all that it started, the engine among it.
    os.kill(run.pid, signal.SIGKILL)
    for process in family:
        process.send_signal(signal.SIGKILL)
    run.wait(30)
    psutil.wait_procs(family, timeout=30)
    del under.project.google.gates[BUCKET]
    gate.opened.set()
    assert [str(one) for one in under.state.pending] == ["creating gcp:storage/bucket:Bucket uploads"]
    assert len(under.project.locks()) == 1

    plan = under.deploy("--deploy-pipeline=plan")
    recovered = under.deploy_py("recover", "local")

    assert plan.code != 0, plan.said
    assert "`recover` that run" in plan.said
    assert recovered.code == 0, recovered.said
    assert under.checkout.decided(under.checkout.runs()[1])["outcome"] == "rolled-back", recovered.said
    (made_good,) = [
        alert["detail"]
        for alert in under.checkout.said("alert.raised", under.checkout.runs()[1])
        if "made good" in alert["alert"]
    ]
    assert "lock removed" in made_good
    assert "found and taken into the state" in made_good
    assert under.state == before
    assert under.buckets == ["records"]
    assert under.project.locks() == []
    assert under.checkout.standing() == standing
    assert under.deploy().code == 0
    assert under.buckets == ["records", "uploads"]
