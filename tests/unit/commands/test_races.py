"""Two runners start at once, again and again: one of them gets it, each time."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from pytest_deploy.errors import LeaseHeld, Refused
from pytest_deploy.pipeline.authorize_run import rate_limit_condition
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.record.lease import Lease, take
from pytest_deploy.record.run_id import new_run_id
from pytest_deploy.release.source import Source
from tests.unit.record.sample_record import ACTOR, HandClock, RunWriter
from tests.unit.sample_environment import environment

SOURCE = Source(commit="0" * 40, branch="main", version="1.2.0", dirty=False)
ROUNDS = [20, pytest.param(200, marks=pytest.mark.scale)]
FOUR_HOURS_S = 4 * 3600.0
PATIENCE_S = 30.0


def two(root: Path, clock: HandClock) -> tuple[Environment, Environment]:
    """Two runners of one environment, each with its own hold on the record."""
    first = environment(root, run=new_run_id("production", clock, rehearsal=True), clock=clock)
    first.log.head()
    return first, environment(root, run=new_run_id("production", clock, rehearsal=True), clock=clock)


def leased(runner: Environment) -> Lease:
    """The lease, with the rate limit asked in the same breath. Raises LeaseHeld, Refused."""
    extra_condition = rate_limit_condition(runner, RunContext(runner.workspace, "deploy", run=runner.run))
    return take(runner.log, runner.run, name="production", actor=ACTOR, extra_condition=extra_condition)


@pytest.mark.parametrize("rounds", ROUNDS)
def test_the_lease_has_one_winner(tmp_path: Path, rounds: int) -> None:
    clock = HandClock()

    def wants(runner: Environment, start: Barrier) -> Lease | None:
        start.wait(PATIENCE_S)
        try:
            return leased(runner)
        except LeaseHeld:
            return None

    for _ in range(rounds):
        clock.move(1)
        start = Barrier(2)
        with ThreadPoolExecutor(2) as pool:
            leases = list(pool.map(wants, two(tmp_path, clock), (start, start)))

        (held,) = [lease for lease in leases if lease is not None]
        held.release()


@pytest.mark.parametrize("rounds", ROUNDS)
def test_the_rate_limit_has_one_winner(tmp_path: Path, rounds: int) -> None:
    """Both wait for the lease for as long as it takes; who comes second finds the limit used up, however close behind."""
    clock = HandClock()

    def deploys(runner: Environment, start: Barrier) -> str:
        start.wait(PATIENCE_S)
        patient_until = time.monotonic() + PATIENCE_S
        while True:
            try:
                lease = leased(runner)
            except LeaseHeld:
                assert time.monotonic() < patient_until
                continue
            except Refused as refused:
                return str(refused)
            run = RunWriter(runner.log, runner.run).open_under_lease_of(lease)
            run.step("build").request().step("traffic", changes=True).close("deployed")
            return "deployed"

    for _ in range(rounds):
        clock.move(FOUR_HOURS_S)
        start = Barrier(2)
        with ThreadPoolExecutor(2) as pool:
            outcomes = sorted(pool.map(deploys, two(tmp_path, clock), (start, start)))

        assert outcomes[0] == "deployed"
        assert "rate-limit: 1 in 4 h" in outcomes[1]


def test_a_refused_condition_leaves_the_lease_free(tmp_path: Path) -> None:
    clock = HandClock()
    first, second = two(tmp_path, clock)
    run = RunWriter(first.log, first.run).open_under_lease_of(leased(first))
    run.step("build").request().step("traffic", changes=True).close("deployed")

    with pytest.raises(Refused, match="rate-limit"):
        leased(second)

    clock.move(FOUR_HOURS_S)
    leased(second).release()
