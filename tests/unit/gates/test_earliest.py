"""Why not now, and when then."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from hypothesis import given, settings

from pytest_deploy.gates import approvals, blackout, lease, rate_limit, staging_smoke, window
from pytest_deploy.gates.approvals import Quorum
from pytest_deploy.gates.blackout import Calendar
from pytest_deploy.gates.lease import HeldLease
from pytest_deploy.gates.registry import earliest
from pytest_deploy.gates.staging_smoke import Evidence, SmokedRelease
from pytest_deploy.gates.verdict import Grounds, Judge, Verdict
from pytest_deploy.policy.policy import Blackout, RateLimit, StagingSmoke
from pytest_deploy.record.run_state import CountedRun
from tests.unit.gates.gate_samples import DAY, HOUR, MINUTE, a_window, local, minutes_of_years, utc

SLA = 1200.0
CALENDAR = Calendar.model_validate(
    {
        "version": 1,
        "zone": "America/New_York",
        "covers": tuple(range(2023, 2031)),
        "periods": (
            {"name": "Maintenance", "from": "2026-11-30 00:00", "to": "2026-11-30 13:00"},
            {"name": "Leap day", "from": "2028-02-29 08:00", "to": "2028-02-29 12:00"},
        ),
    }
)
WANTED = SmokedRelease("c" * 40, "sha256:" + "a" * 64, "b" * 64)


def timed(counted_runs: tuple[CountedRun, ...] = ()) -> dict[str, Judge]:
    return {
        "window": partial(window.judge, a_window(), lasts_s=SLA),
        "blackout": partial(
            blackout.judge,
            Blackout(holidays="US", calendar="calendar.yaml"),
            CALENDAR,
            lasts_s=SLA,
            zone="America/New_York",
        ),
        "rate-limit": lambda at: rate_limit.judge(RateLimit(runs=1, per_h=4), at, counted_runs),
    }


def smoked(at: datetime) -> Judge:
    evidence = Evidence("staging-1", at, WANTED, passed=True)
    return lambda asked: staging_smoke.judge(
        StagingSmoke(environment="staging", within_h=24), asked, WANTED, [evidence]
    )


def signed(expires: datetime, *missing: str) -> Judge:
    filled = {"Tech Lead": "tara@example.org"} | ({} if missing else {"QA Lead": "quentin@example.org"})
    facts = Quorum(("Tech Lead", "QA Lead"), filled, missing, expires=expires, run="production-1")
    return partial(approvals.judge, facts)


def test_now_where_every_gate_passes() -> None:
    now = local("2026-11-24 10:00")

    found = earliest(timed(), now)

    assert (now, ()) == (found.at, found.still_needed)
    assert all(verdict.passed for verdict in found.verdicts.values())


def test_gates_push_each_other_on_until_all_agree() -> None:
    """The rate limit lasts past Wednesday's closing; Thursday is Thanksgiving, Friday shut, Monday's morning maintained."""
    now = local("2026-11-25 12:00")

    found = earliest(timed((CountedRun("production-1", local("2026-11-25 11:00"), is_open=False),)), now)

    assert local("2026-11-30 13:00") == found.at
    assert found.still_needed == ()


def test_what_people_owe_is_listed_and_does_not_move_the_instant() -> None:
    now = local("2026-11-24 10:00")
    gates = {**timed(), "approvals": signed(now + DAY, "QA Lead"), "staging-smoke": smoked(now - 31 * HOUR)}

    found = earliest(gates, now)

    assert now == found.at
    assert found.still_needed == (
        "approval missing: QA Lead; `pytest-deploy approve production-1`",
        "staging smoke is 31 h old, 24 h are allowed; smoke it again: `pytest-deploy run staging --pipeline smoke`",
    )


def test_what_ages_until_then_is_owed_by_then() -> None:
    now = local("2026-11-24 16:00")
    gates = {**timed(), "staging-smoke": smoked(now - 14 * HOUR), "approvals": signed(now + HOUR)}
    by = "by Wednesday 2026-11-25 14:00 UTC"

    found = earliest(gates, now)

    assert local("2026-11-25 09:00") == found.at
    assert (
        f"{by}: staging smoke is 31 h old, 24 h are allowed; smoke it again: `pytest-deploy run staging --pipeline smoke`",
        f"{by}: the request lapsed Tuesday 2026-11-24 22:00 UTC; plan anew and have it approved",
    ) == found.still_needed


def test_a_lease_that_ends_is_waited_for() -> None:
    now = local("2026-11-24 10:00")
    held = HeldLease("production-1", "dora", now + 2 * MINUTE)

    assert now + 2 * MINUTE == earliest({**timed(), "lease": lambda at: lease.judge(at, held)}, now).at


def test_a_gate_that_is_asked_of_another_clock_is_waited_for_once() -> None:
    now = local("2026-11-24 10:00")
    held = HeldLease("production-1", "dora", now + 2 * MINUTE)

    assert now + 2 * MINUTE == earliest({"lease": lambda _: lease.judge(now, held)}, now).at


def test_beyond_the_horizon_there_is_none() -> None:
    now = local("2026-11-24 16:00")

    assert earliest(timed(), now, timedelta(hours=12)).at is None
    assert earliest(timed(), now, timedelta(hours=17)).at is not None


def test_gates_that_never_agree_have_none() -> None:
    def even(at: datetime) -> Verdict:
        return Grounds("even", {}).waits("odd hour", at + HOUR) if at.hour % 2 else Grounds("even", {}).passes("even")

    def odd(at: datetime) -> Verdict:
        return Grounds("odd", {}).passes("odd") if at.hour % 2 else Grounds("odd", {}).waits("even hour", at + HOUR)

    assert earliest({"even": even, "odd": odd}, utc("2026-11-24T10:00"), timedelta(days=9)).at is None


@settings(max_examples=50, deadline=None)
@given(now=minutes_of_years())
def test_all_pass_together_then_and_at_no_minute_before(now: datetime) -> None:
    gates = timed((CountedRun("production-1", now - HOUR, is_open=False),))

    found = earliest(gates, now)

    assert found.at is not None
    assert all(gate(found.at).passed for gate in gates.values())
    step = max(MINUTE, (found.at - now) / 150)
    at = now
    while at < found.at:
        assert not all(gate(at).passed for gate in gates.values())
        at += step
    assert found.at == now or not all(gate(found.at - MINUTE).passed for gate in gates.values())
