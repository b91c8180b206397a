"""What pytest reported, held against what the log says of the steps, before the run is decided.

Two counts of one thing: pytest's reports of every phase, subtests among them, in this process and in each worker; and
the step events. Where they differ something failed that nobody would see: the difference is a failure by its name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import pytest

from pytest_deploy.pipeline.steps_lock import title_of
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import StepFinished
from pytest_deploy.record.plain_text import words_of

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

COUNTED = "deploy_failures"
"""In what a worker tells in the end: how many failures pytest counted there."""

_PHASES = ("setup", "call", "teardown")


class CrossCheck:
    """Hears every report that pytest hears."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._failed: list[pytest.TestReport] = []
        self._passed: dict[str, set[str]] = {}
        self._told_by_workers: Counter[str] = Counter()
        """Failures that reports of a worker told of."""
        self._counted_by_workers: Mapping[str, int] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what failed, and which phases of a step passed."""
        if report.failed:
            self._failed.append(report)
            node: WorkerController | None = getattr(report, "node", None)
            if node is not None and report.when in _PHASES:
                self._told_by_workers[node.gateway.id] += 1
        elif report.passed and not hasattr(report, "context"):  # a subtest that passed is no phase
            self._passed.setdefault(report.nodeid, set()).add(report.when or "")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: WorkerController) -> None:
        """A worker tells how many failures it counted; one that died tells nothing, and its step failed by that."""
        counted = getattr(node, "workeroutput", {}).get(COUNTED)
        if counted is not None:
            self._counted_by_workers = {**self._counted_by_workers, node.gateway.id: counted}

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """In a worker: tell what pytest counted here."""
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            output[COUNTED] = session.testsfailed

    def differences(self, events: Iterable[Event], counted: int) -> Iterator[str]:
        """Each failure that no step's event tells, and each pass that pytest did not see. `counted`: failures by pytest's count."""
        ends = {finished.nodeid: finished.outcome for _, finished in of_type(events, StepFinished)}
        # 1. What failed is the failure of a step.
        for report in self._failed:
            if ends.get(report.nodeid) not in {"failed", "error"}:
                told = ends.get(report.nodeid, "not run")
                yield f"{_part(report)} of `{title_of(report.nodeid)}` ({told} in the record) failed: {_first_line(report)}"
        # 2. What passed was seen to pass, in each of its phases.
        for nodeid, outcome in ends.items():
            missing = [when for when in _PHASES if when not in self._passed.get(nodeid, ())]
            if outcome == "passed" and missing:
                yield f"`{title_of(nodeid)}` passed in the record, and pytest saw no passed {', '.join(missing)} of it"
        # 3. Nothing failed that was not reported here.
        if counted > len(self._failed):
            yield f"pytest counts {counted} failures, and reported {len(self._failed)}"
        for worker, number in self._counted_by_workers.items():
            if number > self._told_by_workers[worker]:
                yield f"worker {worker} counts {number} failures, and reported {self._told_by_workers[worker]}"


def _part(report: pytest.TestReport) -> str:
    return {"setup": "the set-up", "call": "the call", "teardown": "the tear-down"}.get(report.when or "", "the worker")


def _first_line(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = words_of(report.longrepr if crash is None else crash.message).strip().splitlines() or [""]
    return lines[0][:300]
