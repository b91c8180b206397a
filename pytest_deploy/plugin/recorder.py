"""The recorder: in the process that runs a step, its events, from `step.started` (before set-up) to `step.finished`.

A step passed when its set-up, its call and its tear-down passed, and it had a call: skipped and expected-to-fail steps
did not pass. If an event cannot be written the step does not begin.
"""

from __future__ import annotations

import faulthandler
import hashlib
import re
import sys
import warnings
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, Protocol

import allure
import pytest
from _pytest._code.code import ExceptionChainRepr, ReprEntry

from pytest_deploy.pipeline.processes import Interruption
from pytest_deploy.pipeline.steps_lock import Step
from pytest_deploy.pipeline.timings import Measured, file_of
from pytest_deploy.plugin.collection import LIMIT, STEP
from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import EventContent
from pytest_deploy.record.log import Log
from pytest_deploy.record.redaction import redacted
from pytest_deploy.record.run_folder import RunFolder

STEP_ACTOR = "system:step"
MESSAGE_BYTES = 4000
"""A step's message in the log is cut to this; the whole traceback stands in junit.xml."""


class Redaction(Protocol):
    """What keeps secrets, and rows of subjects, from every report."""

    def redact(self, text: str) -> str:
        """The text without them."""

    def redact_file(self, content: bytes) -> bytes:
        """The file without them."""

    def redact_error(self, error: BaseException) -> None:
        """Cut the error itself, and those it came from."""

    @property
    def holds_subjects(self) -> bool:
        """Whether rows of the database may be subjects'."""


class StepRecord:
    """What one running step says of itself; the `record` fixture."""

    def __init__(self, log: Log, context: RunContext, step: Step, redaction: Redaction) -> None:
        self._redact = redaction.redact
        self._redact_file = redaction.redact_file
        self._log = log
        self._context = context
        self.step = step
        self.expected: Any = None
        self.actual: Any = None
        self.image: str | None = None
        self.attachments: dict[str, str] = {}
        self.warnings: list[str] = []
        self.reports: dict[str, pytest.TestReport] = {}
        self.measured = Measured()

    def expect(self, expected: object, actual: object) -> None:
        """State what was expected and what was found; both go into `step.finished`. JSON values only."""
        self.expected, self.actual = expected, actual

    def answered(self, label: str, took_s: float, status: int | None = None) -> None:
        """State how long one answer took, in seconds; status 0 where none came. Every one is kept and drawn."""
        self.measured.add(self._redact(label), took_s, status)

    def within(self, limit_s: float) -> None:
        """State what an answer may take; it is drawn beside them."""
        self.measured.limit_s = limit_s

    def watched(self, seconds: float) -> None:
        """State how long the step watched over what serves: durations are told with and without the watch."""
        self.measured.watch_s = seconds

    def built(self, image: str) -> None:
        """State the artefact this step built or found."""
        self.image = image

    def event(self, content: EventContent | str, **data: object) -> Event:
        """Append one event of this run: its typed content, or its type and its keys by name.

        Raises IllegalEvent where it is not legal now.
        """
        event_type, data = (content, data) if isinstance(content, str) else (content.type, content.as_data())
        return self._log.append(event_type, redacted(data, self._redact), run=self._context.run, actor=STEP_ACTOR)

    def alert(self, alert: str, detail: str) -> None:
        """Raise an alert while the step still runs."""
        self.event("alert.raised", alert=alert, detail=detail)

    @property
    def store(self) -> Path:
        """The record's store, as `deploy.py verify` takes it."""
        return self._log.store.folder()

    def attach(self, name: str, content: bytes) -> str:
        """Write a file into the run folder, once; its SHA-256 hex goes into `step.finished`. It and its name are cut of secrets."""
        name, content = self._redact(name), self._redact_file(content)
        self.folder.create(name, content)
        self.attachments[name] = hashlib.sha256(content).hexdigest()
        allure.attach(content, name=name, attachment_type=_kind(content))
        return self.attachments[name]

    @property
    def folder(self) -> RunFolder:
        """The run's folder."""
        return RunFolder(self._log.store, self._context.run)

    def events(self) -> list[Event]:
        """The run's events so far."""
        return self._log.run(self._context.run)


_COUNTS = re.compile(r"\b\d+ faults?$")

GRACE_S = 15.0
"""A step that neither its time limit nor a signal can stop (it never comes back from C code) ends its process this many
seconds after the limit: a worker's death is that step's failure; alone, the run is left to `deploy.py recover`."""

RECORD = pytest.StashKey[StepRecord]()


class StepRecorder:
    """Writes the events of the steps this process runs."""

    def __init__(
        self,
        log: Callable[[], Log],
        context: Callable[[], RunContext],
        interruption: Interruption,
        *,
        redaction: Redaction,
        orphaned: Callable[[], bool] = lambda: False,
        guarded: bool = False,
    ) -> None:
        """`log` and `context` are asked for when a step begins: the run is opened after this is made.

        In an xdist worker `orphaned` tells whether the controller is gone, and `guarded` is true: what the log names as
        not run is not run.
        """
        self._orphaned = orphaned
        self._guarded = guarded
        self._log = log
        self._context = context
        self._interruption = interruption
        self._redaction = redaction
        self._redact = redaction.redact
        self._current: StepRecord | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Announce the step, durably, before anything of it happens."""
        step = item.stash[STEP]
        self._refuse_stale(step)
        with self._interruption.shielded():
            content = {"nodeid": step.nodeid, "phase": step.phase, "changes": step.changes}
            self._log().append("step.started", content, run=self._context().run, actor=STEP_ACTOR)
            self._current = item.stash[RECORD] = StepRecord(self._log(), self._context(), step, self._redaction)
        faulthandler.dump_traceback_later(item.stash[LIMIT] + GRACE_S, exit=True, file=sys.__stderr__ or sys.stderr)
        self._interruption.begin(stoppable=step.phase != "rollback")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Keep each report; after the last one write `step.finished` and say so on the report."""
        report = yield
        current = self._current
        if current is not None and current.step.nodeid == item.nodeid:
            current.reports[report.when or ""] = report
            if report.when == "teardown":
                faulthandler.cancel_dump_traceback_later()
                with self._interruption.shielded():
                    finished = self._finish(current)
                self._current = None
                report.deploy_step = finished  # type: ignore[attr-defined] # reports carry extra attributes to the controller
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """A warning inside a step belongs to the step. Whoever shows it after us shows it without secrets."""
        said = self._redact(str(warning_message.message))
        if said != str(warning_message.message):
            warning_message.message = UserWarning(said)
        if self._current is not None:
            self._current.warnings.append(said[:MESSAGE_BYTES])

    def _refuse_stale(self, step: Step) -> None:
        """In a worker: what was handed out ahead of its turn, and must not run after all, is left out."""
        if self._orphaned():
            pytest.skip("not run: the controller is gone; `deploy.py recover ENV` finishes what it began")
        if not self._guarded:
            return
        for event in self._log().run(self._context().run):
            if event.type == "step.not-run" and event.data["nodeid"] == step.nodeid:
                pytest.skip(f"not run: {event.data['cause']}")

    def _finish(self, record: StepRecord) -> dict[str, Any]:
        outcome, message = _outcome(record.reports)
        content: dict[str, Any] = {
            "nodeid": record.step.nodeid,
            "phase": record.step.phase,
            "outcome": outcome,
            "duration_s": round(sum(report.duration for report in record.reports.values()), 3),
            "verifies": list(record.step.verifies),
            "attempts": 1,
            "message": self._redact(message)[:MESSAGE_BYTES],
            "warnings": record.warnings,
            "expected": redacted(record.expected, self._redact),
            "actual": redacted(record.actual, self._redact),
            "attachments": record.attachments,
        }
        if measured := record.measured.told(file_of(record.step.nodeid), record.attach):
            content["measured"] = measured
        if record.image is not None:
            content["image"] = record.image
        self._log().append("step.finished", content, run=self._context().run, actor=STEP_ACTOR)
        return {
            "nodeid": record.step.nodeid,
            "passed": outcome == "passed",
            "cause": _first_line(content["message"]),
            "seconds": content["duration_s"],
            "signal": self._interruption.first,
        }


class Redacting:
    """Stands nearest to pytest's own report: every report writer reads what is left when this has cut it."""

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Cut the error before it is put into words, and the words after: traceback, captured output."""
        if call.excinfo is not None:
            self._redaction.redact_error(call.excinfo.value)
        report = yield
        if self._redaction.holds_subjects:
            _forget_arguments(report.longrepr)
        redact = self._redaction.redact
        text = str(report.longrepr) if report.longrepr is not None else ""
        if (hidden := redact(text)) != text:
            report.longrepr = hidden
        report.sections = [(title, redact(content)) for title, content in report.sections]
        return report


def _forget_arguments(longrepr: object) -> None:
    """A traceback shows what each function was called with: the parameters of a query, and so a subject's words."""
    for traceback, _, _ in longrepr.chain if isinstance(longrepr, ExceptionChainRepr) else ():
        for entry in traceback.reprentries:
            if isinstance(entry, ReprEntry):
                entry.reprfuncargs = entry.reprlocals = None


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
        """Open the window for the call alone."""
        __tracebackhide__ = True
        try:
            self._interruption.begin(stoppable=item.stash[STEP].phase != "rollback")
            return (yield)
        finally:
            self._interruption.end()


def _outcome(reports: Mapping[str, pytest.TestReport]) -> tuple[str, str]:
    """`passed failed error skipped`, and the message that says why."""
    for when, report in reports.items():
        if report.failed:
            return ("failed" if when == "call" else "error"), _message(report)
        if report.skipped or hasattr(report, "wasxfail"):
            return "skipped", _message(report)
    return ("passed", "") if "call" in reports else ("error", "the step had no call of its own")


def _message(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2])
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message) if crash is not None else str(report.longrepr)


def _kind(content: bytes) -> Any:
    """What Allure shows an attachment as; None for what is no text."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return None
    return allure.attachment_type.TEXT


def _first_line(text: str) -> str:
    """What a person needs first: the first line, with the first fault where it only counts faults."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    wanted = lines[:2] if _COUNTS.search(lines[0]) else lines[:1]
    return " ".join(wanted)[:300]
