"""Production moves only when it may: each gate refused and permitted by the commands people type, and nothing else moves."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pytest_deploy.gate.course import NAMES
from pytest_deploy.record.event import Event
from tests.checkout import Checkout
from tests.stories.rehearsed import CHRISTMAS_EVE, TUESDAY, Rehearsed

HOUR = timedelta(hours=1)


def test_a_plan_names_every_refusal_and_touches_nothing(checkout: Checkout) -> None:
    production = Rehearsed.of(checkout, "production")

    ran = production.plan(
        CHRISTMAS_EVE,
        '--deploy-set=service.checks.lint=["false"]',
        '--deploy-set=incidents={"within_h": 24, "command": ["false"]}',
    )

    assert ran.code == 1, ran.said
    verdicts = production.verdicts("plan")
    assert set(NAMES) == set(verdicts)
    said = {gate: verdict["reason"] for gate, verdict in verdicts.items() if verdict["verdict"] == "refused"}
    assert {"approvals", "window", "blackout", "staging-smoke", "incidents", "build"} == set(said)
    assert "incidents.command false failed with 1" in said["incidents"]
    assert "Christmas" in said["blackout"]
    unsaid = [gate for gate, reason in said.items() if reason.splitlines()[0][:60] not in ran.stdout]
    assert [] == unsaid, ran.said
    assert [] == [e for e in production.checkout.events() if e.type in {"request.made", "lease.taken"}]
    standing = production.checkout.standing()
    assert ((), 503) == (standing.migrations, standing.status)


def test_production_moves_when_staging_people_and_time_allow_it_and_not_before(checkout: Checkout) -> None:
    staging, production = Rehearsed.of(checkout, "staging"), Rehearsed.of(checkout, "production")
    staging.deployed(TUESDAY - 2 * HOUR, "QA Lead")

    # Nothing but signatures is owed: a plan is content with that, a run is not.
    request = production.planned(TUESDAY)
    assert {"approvals"} == production.refused("plan")
    unsigned = production.run(request, TUESDAY)
    assert unsigned.code == 1, unsigned.said
    assert "approvals: " in unsigned.said
    assert {"approvals"} == production.refused("lease", request)
    assert production.approve(request, "Tech Lead").code == 0
    half = production.run(request, TUESDAY)
    assert half.code == 1, half.said
    assert "QA Lead" in half.said
    assert production.approve(request, "QA Lead").code == 0

    # Signed, and too late: the window closes before the run would end.
    late = production.run(request, TUESDAY + 4.9 * HOUR)
    assert late.code == 1, late.said
    assert {"window"} == production.refused("lease", request)
    assert [] == production.checkout.said("run.opened", request)

    ran = production.run(request, TUESDAY)
    assert ran.code == 0, ran.said
    for point in ("lease", "change"):
        assert set() == production.refused(point, request)
        assert set(NAMES) == set(production.verdicts(point, request))
    assert 200 == production.checkout.standing().status


@pytest.mark.faults
def test_the_next_one_waits_its_time_and_for_whoever_went_before(checkout: Checkout) -> None:
    """The rate limit, a killed run's lease, the freeze after its rollback, and a clock that cannot be right."""
    staging, production = Rehearsed.of(checkout, "staging"), Rehearsed.of(checkout, "production")
    staging.deployed(TUESDAY - 2 * HOUR, "QA Lead")
    production.deployed(TUESDAY, "Tech Lead", "QA Lead")
    checkout.commit("The next release")
    staging.deployed(TUESDAY, "QA Lead")

    request = production.planned(TUESDAY + HOUR, "Tech Lead", "QA Lead")
    assert {"approvals", "rate-limit"} == production.refused("plan")
    assert production.run(request, TUESDAY + HOUR).code == 1
    assert {"rate-limit"} == production.refused("lease", request)

    killed = production.start(TUESDAY + 4.2 * HOUR, f"--deploy-run={request}")
    killed.until(lambda: any(e.data["phase"] == "smoke" for e in _phases(production, request)))
    killed.kill()
    production.plan(TUESDAY + 5 * HOUR)  # while the lease lives it is waited for; then a recovery is owed
    assert {"lease", "rate-limit", "window"} <= production.refused("plan")
    assert "rolled-back" in checkout.deploy_py("recover", "production", "--rehearse").said

    assert production.plan(TUESDAY + 8 * HOUR).code == 1
    assert "freeze" in production.refused("plan")
    assert checkout.deploy_py("verify", "reports/rehearsal/production").code == 0


def _phases(rehearsed: Rehearsed, run: str) -> list[Event]:
    return [event for event in rehearsed.checkout.events(run) if event.type == "phase.started"]
