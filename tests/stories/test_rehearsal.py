"""A newcomer walks from staging to production with throw-away keys, and nothing of it counts for real."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess

import pytest

from tests.project_checkout import Checkout
from tests.stories.rehearsed_checkout import TUESDAY, RehearsedCheckout

pytestmark = pytest.mark.faults


def test_the_walk_shows_each_command_and_ends_with_two_records_that_verify(checkout: Checkout) -> None:
    ran = checkout.deploy_py("rehearse", "production", timeout=240)

    assert ran.code == 0, ran.said
    commands = [line for line in ran.stdout.splitlines() if line.startswith("$ ")]
    assert "pytest --deploy-env=staging --deploy-rehearse " in commands[0]
    assert len(commands) == 9, commands
    assert "health.watch_s=1" in ran.stdout.partition("$ ")[0], "what was shortened is said before anything runs"
    for name in ("staging", "production"):
        seen = checkout.rehearsing(name)
        assert seen.decided()["outcome"] == "deployed"
        assert seen.standing().status == 200
        page = (seen.run_folder() / "report.html").read_text(encoding="utf-8")
        assert "REHEARSAL" in page
        script = ["bash", str(checkout.path / "pytest_deploy" / "verify" / "verify.sh"), str(seen.store)]
        second = subprocess.run(script, capture_output=True, text=True, check=False, timeout=120)
        assert second.returncode == 0, second.stdout + second.stderr
    _assert_it_counts_for_nothing_real(checkout)


def _assert_it_counts_for_nothing_real(checkout: Checkout) -> None:
    """A real plan that asks for staging's smoke and for approvals finds neither in the rehearsal's records."""
    asked = (
        '--deploy-set=staging_smoke={"environment": "staging", "within_h": 24}',
        '--deploy-set=approval={"roles": ["QA Lead"], "expires_h": 24}',
        '--deploy-set=phases={"leave_out": []}',
    )
    plan = checkout.deploy("--deploy-pipeline=plan", *asked)
    told = {e.data["gate"]: e.data for e in checkout.events() if e.type == "gate.refused"}
    assert plan.code == 1, plan.said
    assert {"staging-smoke", "approvals"} <= set(told), plan.said
    # It asks staging's own bucket, which is out of reach here, and nothing else: a rehearsal's record is no answer.
    assert "gs://example-diary-staging-record/staging/log" in told["staging-smoke"]["reason"], told["staging-smoke"]


def test_a_plan_whose_process_was_killed_is_closed_by_recover(checkout: Checkout) -> None:
    production = RehearsedCheckout.of(checkout, "production")
    plan = production.start(TUESDAY, "--deploy-pipeline=plan")
    plan.until(lambda: any(event.type == "step.started" for event in production.checkout.events()))
    os.kill(plan.pid, signal.SIGKILL)
    plan.wait(10)

    recovered = checkout.deploy_py("recover", "production", "--rehearse")

    assert recovered.code == 0, recovered.said
    assert "abandoned; the environment is as it was" in recovered.said
    assert len(production.checkout.said("run.abandoned")) == 1
    checkout.assert_nothing_runs()


def test_a_plans_own_lines_deploy_when_they_are_pasted(checkout: Checkout) -> None:
    """Half a year ahead of the real clock: the request keeps the clock of its plan."""
    staging = RehearsedCheckout.of(checkout, "staging")
    plan = staging.plan(TUESDAY)
    assert plan.code == 0, plan.said
    lines = [line.strip() for line in plan.stdout.splitlines()]
    told = dict(line.split(maxsplit=1) for line in lines if line.startswith(("approve  ", "run  ")))

    for line in (told["approve"], told["run"]):
        words = shlex.split(line)
        words += ["--yes"] if "approve" in words else []  # nobody sits at a terminal here
        pasted = checkout.begin(*words).wait()
        assert pasted.code == 0, pasted.said

    assert staging.checkout.decided()["outcome"] == "deployed"
