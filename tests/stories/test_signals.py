"""A signal to pytest stops the step that runs; what was changed is undone, and nothing stays behind."""

from __future__ import annotations

import signal
from collections.abc import Sequence

import pytest

from tests.project_checkout import QUICK
from tests.stories.step_ids import phase_of
from tests.stories.story_assertions import Deployed

NEW_REVISION = "pytest_deploy/suites/deploy/test_deploy.py::test_new_revision_is_ready_at_0_percent"
HEALTH = "pytest_deploy/suites/smoke/test_health.py::test_health_answers_200_for_this_release"

NEVER_LISTENS = ('--deploy-set=service.command=["python", "-c", "import time; time.sleep(300)"]',)
SLOW = ("--deploy-set=service.env.FAULT=slow",)

TERM, INT = signal.SIGTERM, signal.SIGINT
HEAVY = pytest.mark.faults


def _title(value: object) -> str:
    if isinstance(value, signal.Signals):
        return value.name
    if isinstance(value, str):
        return phase_of(value)
    return "workers" if value == ("-n", "2") else "alone" if value == () else ""


@pytest.mark.parametrize(
    "signum, step, settings, workers",
    [
        pytest.param(TERM, NEW_REVISION, NEVER_LISTENS, (), marks=HEAVY),
        pytest.param(INT, HEALTH, SLOW, (), marks=HEAVY),
        pytest.param(TERM, NEW_REVISION, NEVER_LISTENS, ("-n", "2"), marks=HEAVY),
        (INT, HEALTH, SLOW, ("-n", "2")),
        pytest.param(INT, NEW_REVISION, NEVER_LISTENS, (), marks=HEAVY),
        pytest.param(TERM, HEALTH, SLOW, (), marks=HEAVY),
        pytest.param(INT, NEW_REVISION, NEVER_LISTENS, ("-n", "2"), marks=HEAVY),
        pytest.param(TERM, HEALTH, SLOW, ("-n", "2"), marks=HEAVY),
    ],
    ids=_title,
)
def test_signal_stops_the_step_and_undoes_the_run(
    deployed: Deployed, signum: signal.Signals, step: str, settings: Sequence[str], workers: Sequence[str]
) -> None:
    checkout = deployed.checkout
    known = set(checkout.runs())

    run = checkout.start("--deploy-env=local", *QUICK, *settings, *workers)
    run.until(lambda: set(checkout.runs()) - known != set() and checkout.begun(step, checkout.last_run()))
    run.send(signum)
    ran = run.wait(60)

    deployed.assert_rolled_back(ran, code=2)
    assert checkout.decided()["cause"] == signum.name
    failing = checkout.failing()
    assert step.partition("suites/")[2] in failing
    # In a parallel phase a second worker may have been stopped in a step of its own.
    assert len(failing) <= 1 + bool(workers)
    assert "pytest_deploy/suites/traffic/test_traffic.py::test_traffic_moves_to_the_new_revision" in checkout.not_run()
