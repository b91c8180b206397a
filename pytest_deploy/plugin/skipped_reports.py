"""Steps that no worker was ever handed, told to pytest's report writers by the controller.

Without this, a distributed run's junit.xml, pytest.html and allure-results would hold only what ran, and a reader could take
the rest for not existing.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from uuid import uuid4

import pytest

from pytest_deploy.pipeline.sequence import NotRun
from pytest_deploy.pipeline.step import Step
from pytest_deploy.plugin import labels


def report(config: pytest.Config, steps: Iterable[NotRun]) -> None:
    """Report each step as skipped, with its cause, as its own worker would have."""
    for step in steps:
        file, _, name = step.nodeid.partition("::")
        location = (file, 0, name)
        config.hook.pytest_runtest_logstart(nodeid=step.nodeid, location=location)
        for when in ("setup", "teardown"):
            config.hook.pytest_runtest_logreport(report=_report(step, location, when))
        config.hook.pytest_runtest_logfinish(nodeid=step.nodeid, location=location)
        if config.option.allure_report_dir:
            _report_to_allure(step, file, name)


def _report(step: NotRun, location: tuple[str, int, str], when: str) -> pytest.TestReport:
    skipped = when == "setup"
    now = time.time()
    return pytest.TestReport(
        nodeid=step.nodeid,
        location=location,
        keywords={},
        outcome="skipped" if skipped else "passed",
        longrepr=(location[0], 0, f"Skipped: not run: {step.cause}") if skipped else None,
        when="setup" if skipped else "teardown",
        start=now,
        stop=now,
        user_properties=labels.properties(step.phase, step.verifies),
    )


def _report_to_allure(step: NotRun, file: str, name: str) -> None:
    import allure_commons
    from allure_commons.model2 import Label, Status, StatusDetails, TestResult

    now = round(time.time() * 1000)
    told = labels.labels(Step(step.nodeid, step.phase, "always", changes=False, verifies=step.verifies))
    result = TestResult(
        uuid=str(uuid4()),
        name=name,
        fullName=f"{file}#{name}",
        historyId=hashlib.md5(step.nodeid.encode(), usedforsecurity=False).hexdigest(),
        status=Status.SKIPPED,
        statusDetails=StatusDetails(message=f"not run: {step.cause}"),
        labels=[*(Label(name=kind, value=value) for kind, value in told), Label(name="framework", value="pytest")],
        start=now,
        stop=now,
    )
    allure_commons.plugin_manager.hook.report_result(result=result)
