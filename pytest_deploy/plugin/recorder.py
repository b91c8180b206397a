"""The recorder: in the process that runs a step, its events, from `step.started` (before set-up) to `step.finished`.

A step passed when its set-up, its call and its tear-down passed, and it had a call: skipped and expected-to-fail steps
did not pass; one that ended itself as still needed or not applicable has that outcome. If an event cannot be written the step does not begin.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Generator, Mapping
from contextlib import suppress
from typing import TypedDict

import pytest
from msgspec import UNSET

from pytest_deploy.errors import DeployError
from pytest_deploy.pipeline.found import found
from pytest_deploy.pipeline.outcome import lost_step
from pytest_deploy.pipeline.processes import Interruption
from pytest_deploy.pipeline.sequence import Cause, CauseKind
from pytest_deploy.pipeline.step_record import STEP_ACTOR, StepRecord, file_of
from pytest_deploy.pipeline.steps_lock import Step
from pytest_deploy.platform.environment import Environment
from pytest_deploy.plugin.collection import STEP
from pytest_deploy.record.event import of_type
from pytest_deploy.record.events import EventContent, StepFinished, StepNotRun, StepStarted
from pytest_deploy.record.events.of_runs import StepOutcome
from pytest_deploy.record.redaction import redacted

MESSAGE_BYTES = 4000
"""A step's message in the log is cut to this; the whole traceback stands in junit.xml."""
_COUNTS = re.compile(r"\b\d+ faults?$")

BROKEN_OFF = "deploy_broken_off"
"""In what a worker tells in the end: why it ended before its steps did."""

RECORD = pytest.StashKey[StepRecord]()


class FinishedStep(TypedDict):
    """What the recorder says of a step on its last report, which travels to the controller."""

    nodeid: str
    outcome: StepOutcome
    cause: str
    seconds: float
    signal: int | None
    """The first signal that this process received."""
    gates: list[str]
    """The gates that the step asked."""


class StepRecorder:
    def __init__(self, environment: Environment, interruption: Interruption, *, worker: bool = False) -> None:
        """`worker`: in a process of xdist's, where the controller may be gone, and what the log names as not run is not run."""
        self._environment = environment
        self._interruption = interruption
        self._worker = worker
        self._controller = os.getppid()
        self._redact = environment.redact
        self._current: StepRecord | None = None
        self._reports: dict[str, pytest.TestReport] = {}
        self.broken_off: Cause | None = None
        """Why pytest ended before the steps did, as far as this process saw it."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """`pytest.exit` or KeyboardInterrupt, which no signal here raises: the step that runs has ended the session."""
        self._break_off("step", "it ended the session", excinfo)

    @pytest.hookimpl(tryfirst=True)
    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """A hook raised: the step that runs, if any, has no end of its own."""
        self._break_off("internal", "an internal error ended the session", excinfo)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """In a worker: the controller hears why it ended early."""
        if self._worker and self.broken_off is not None:
            session.config.workeroutput[BROKEN_OFF] = self.broken_off.text  # type: ignore[attr-defined] # xdist's

    def _break_off(self, kind: CauseKind, how: str, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        if self.broken_off is not None:
            return
        said = _first_line(self._redact(f"{how}: {excinfo.exconly()}"))
        record, self._current = self._current, None
        if record is None:
            self.broken_off = Cause("internal", said)
            return
        self.broken_off = Cause(kind, f"{record.step.phase}: {record.step.title}: {said}")
        # Where it cannot be written, the controller meets the same fault when it writes what follows.
        with suppress(DeployError), self._interruption.shielded():
            self._append(lost_step(record.step, said))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Announce the step, durably, before anything of it happens."""
        step = item.stash[STEP]
        self._refuse_stale(step)
        with self._interruption.shielded():
            self._append(StepStarted(nodeid=step.nodeid, phase=step.phase, changes=step.changes))
            self._current = item.stash[RECORD] = StepRecord(self._environment, step)
            self._reports = {}
        self._interruption.begin(stoppable=step.phase != "rollback")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Keep each report; after the last one write `step.finished` and say so on the report."""
        report = yield
        current = self._current
        if current is not None and current.step.nodeid == item.nodeid:
            self._reports[report.when or ""] = report
            if report.when == "teardown":
                with self._interruption.shielded():
                    finished = self._finish(current)
                self._current = None
                report.deploy_step = finished  # type: ignore[attr-defined] # reports carry extra attributes to the controller
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """A warning inside a step belongs to the step. Whoever shows it after us shows it without secrets."""
        message = self._redact(str(warning_message.message))
        if message != str(warning_message.message):
            warning_message.message = UserWarning(message)
        if self._current is not None:
            self._current.warnings.append(message[:MESSAGE_BYTES])

    def _refuse_stale(self, step: Step) -> None:
        """In a worker: what was handed out ahead of its turn, and must not run after all, is left out."""
        if not self._worker:
            return
        if os.getppid() != self._controller:
            pytest.skip("not run: the controller is gone; `deploy.py recover ENV` finishes what it began")
        for _, left_out in of_type(self._environment.log.run(self._environment.run), StepNotRun):
            if left_out.nodeid == step.nodeid:
                pytest.skip(f"not run: {left_out.cause}")

    def _finish(self, record: StepRecord) -> FinishedStep:
        outcome, message = _outcome(self._reports, record)
        message = self._redact(message)[:MESSAGE_BYTES]
        seconds = round(sum(report.duration for report in self._reports.values()), 3)
        measured = record.timings.summary(file_of(record.step.nodeid), record.attach)
        expected, actual = (redacted(value, self._redact) for value in (record.expected, record.actual))
        self._append(
            StepFinished(
                nodeid=record.step.nodeid,
                phase=record.step.phase,
                outcome=outcome,
                duration_s=seconds,
                verifies=record.credited if outcome == "passed" else [],
                claims=list(record.step.verifies) or UNSET,
                attempts=1,
                message=message,
                warnings=record.warnings,
                expected=expected,
                actual=actual,
                attachments=record.attachments,
                measured=UNSET if measured is None else measured,
                image=UNSET if record.image is None else record.image,
            )
        )
        return {
            "nodeid": record.step.nodeid,
            "outcome": outcome,
            "cause": found(expected, actual, _first_line(message)) if outcome == "failed" else _first_line(message),
            "seconds": seconds,
            "signal": self._interruption.first,
            "gates": record.gates,
        }

    def _append(self, content: EventContent) -> None:
        self._environment.log.append(content, run=self._environment.run, actor=STEP_ACTOR)


class StopWindow:
    """A signal stops a step's set-up and its call, never what pytest does around them."""

    def __init__(self, interruption: Interruption) -> None:
        self._interruption = interruption

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self) -> Generator[None]:
        """Close the window that the recorder opens once the step is announced."""
        __tracebackhide__ = True
        try:
            return (yield)
        finally:
            self._interruption.end()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        __tracebackhide__ = True
        try:
            self._interruption.begin(stoppable=item.stash[STEP].phase != "rollback")
            return (yield)
        finally:
            self._interruption.end()


def _outcome(reports: Mapping[str, pytest.TestReport], record: StepRecord) -> tuple[StepOutcome, str]:
    """How the step ended, and the message that says why."""
    for when, report in reports.items():
        if report.failed:
            return ("failed" if when == "call" else "error"), _message(report)
    if record.ended is not None:  # also where the step went on after it
        return record.ended
    for report in reports.values():
        if report.skipped or hasattr(report, "wasxfail"):
            return "skipped", _message(report)
    return ("passed", "") if "call" in reports else ("error", "the step had no call of its own")


def _message(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2])
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message) if crash is not None else str(report.longrepr)


def _first_line(text: str) -> str:
    """What a person needs first: the first line, with the first fault where it only counts faults."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    kept = lines[:2] if _COUNTS.search(lines[0]) else lines[:1]
    return " ".join(kept)[:300]
