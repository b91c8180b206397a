"""The recorder: in the process that runs a step, its events, from `step.started` (before set-up) to `step.finished`.

A step passed when its set-up, its call and its tear-down passed, and it had a call: skipped and expected-to-fail steps
did not pass; one that ended itself as still needed or not applicable has that outcome. If an event cannot be written the step does not begin.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from typing import Final, TypedDict

import pytest
from msgspec import UNSET

from pytest_deploy.errors import DeployError, IllegalEvent, UsageError
from pytest_deploy.pipeline.failure_summary import summarize_failure
from pytest_deploy.pipeline.outcome import lost_step
from pytest_deploy.pipeline.processes import Interruption
from pytest_deploy.pipeline.sequence import Cause, CauseKind
from pytest_deploy.pipeline.step_record import STEP_ACTOR, StepRecord, file_of
from pytest_deploy.pipeline.steps_lock import Step
from pytest_deploy.platform.environment import Environment
from pytest_deploy.plugin import service_output
from pytest_deploy.plugin.collection import STEP
from pytest_deploy.record.event import of_type
from pytest_deploy.record.events import EventContent, StepFinished, StepNotRun, StepStarted
from pytest_deploy.record.events.of_runs import StepOutcome
from pytest_deploy.record.plain_text import shortened, stated, words_of
from pytest_deploy.record.redaction import redacted

MESSAGE_BYTES = 8000
"""Of an event's line, of 65,535, at most for a step's message, and for its warnings; the whole traceback stands in junit.xml."""
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


_OF_DATABASE: Final = frozenset({"database", "migrations"})
"""The fixtures of a step that asks something of the database."""


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
        said = _first_line(self._redact(f"{how}: {words_of(excinfo.exconly())}"))
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
        asks_database = _OF_DATABASE & set(getattr(item, "fixturenames", ()))
        if asks_database and self._environment.policy.database is None:
            self._current.not_applicable("this environment has no database: deploy.yaml says database: null")
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
        words = words_of(warning_message.message)
        message = self._redact(words)
        if message != words or words.startswith("<"):
            warning_message.message = UserWarning(message)
        if self._current is not None:
            self._current.warnings.append(message)

    def passing(self, item: pytest.Item) -> bool | None:
        """Whether the step went well so far; None where it was never announced, or is through."""
        if self._current is None or self._current.step.nodeid != item.nodeid:
            return None
        reports = self._reports.values()
        return all(report.passed or (self._current.ended is not None and report.skipped) for report in reports)

    def _refuse_stale(self, step: Step) -> None:
        """In a worker: what was handed out ahead of its turn, and must not run after all, is left out."""
        if not self._worker:
            return
        if os.getppid() != self._controller:
            recover = self._environment.workspace.command_line("recover")
            pytest.skip(f"not run: the controller is gone; `{recover}` finishes what it began")
        for _, left_out in of_type(self._environment.log.run(self._environment.run), StepNotRun):
            if left_out.nodeid == step.nodeid:
                pytest.skip(f"not run: {left_out.cause}")

    def _finish(self, record: StepRecord) -> FinishedStep:
        outcome, message = _outcome(self._reports, record)
        printed = shortened(service_output.told(self._reports.values()), MESSAGE_BYTES // 2)
        message = shortened(self._redact(message), MESSAGE_BYTES - len(json.dumps(printed))) + printed
        seconds = round(sum(report.duration for report in self._reports.values()), 3)
        expected, actual = (redacted(stated(value), self._redact) for value in (record.expected, record.actual))
        try:
            self._append(self._end(record, outcome, message, seconds))
        except (IllegalEvent, UsageError) as fault:  # no step may say what no event holds: it failed
            outcome, message = "error", shortened(f"what it said of itself cannot be recorded: {fault}", MESSAGE_BYTES)
            self._append(lost_step(record.step, message))
        return {
            "nodeid": record.step.nodeid,
            "outcome": outcome,
            "cause": summarize_failure(expected, actual, _first_line(message))
            if outcome == "failed"
            else _first_line(message),
            "seconds": seconds,
            "signal": self._interruption.first,
        }

    def _end(self, record: StepRecord, outcome: StepOutcome, message: str, seconds: float) -> StepFinished:
        measured = record.timings.summary(file_of(record.step.nodeid), record.attach)
        return StepFinished(
            nodeid=record.step.nodeid,
            phase=record.step.phase,
            outcome=outcome,
            duration_s=seconds,
            verifies=record.credited if outcome == "passed" else [],
            claims=list(record.step.verifies) or UNSET,
            attempts=1,
            message=message,
            warnings=_within(record.warnings, MESSAGE_BYTES),
            expected=redacted(stated(record.expected), self._redact),
            actual=redacted(stated(record.actual), self._redact),
            attachments=record.attachments,
            measured=UNSET if measured is None else measured,
            image=UNSET if record.image is None else record.image,
        )

    def _append(self, content: EventContent) -> None:
        self._environment.log.append(content, run=self._environment.run, actor=STEP_ACTOR)


class SignalWindow:
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
    """How the step ended, and the message that says why: of each phase that failed."""
    failed = {when: _message(report) for when, report in reports.items() if report.failed}
    if failed:
        first, *later = failed
        told = [failed[first], *(f"and its {when} failed: {failed[when]}" for when in later)]
        return ("failed" if first == "call" else "error"), "\n".join(told)
    if record.ended is not None:  # also where the step went on after it
        return record.ended
    for report in reports.values():
        if report.skipped or hasattr(report, "wasxfail"):
            return "skipped", _message(report)
    return ("passed", "") if "call" in reports else ("error", "the step had no call of its own")


def _message(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        ended = "passed" if report.passed else "failed"
        return f"expected to fail, and {ended}: {report.wasxfail or 'no reason given'}"
    if isinstance(report.longrepr, tuple):
        return words_of(report.longrepr[2])
    crash = getattr(report.longrepr, "reprcrash", None)
    return words_of(report.longrepr if crash is None else crash.message)


def _within(texts: Sequence[str], limit: int) -> list[str]:
    """As many of the texts as fit so many bytes of an event's line; how many more there were is said."""
    kept: list[str] = []
    for text in texts:
        short = shortened(text, limit // 4)
        if sum(len(json.dumps(one)) for one in (*kept, short)) > limit:
            return [*kept, f"and {len(texts) - len(kept)} more"]
        kept.append(short)
    return kept


def _first_line(text: str) -> str:
    """What a person needs first: the first line, with the first fault where it only counts faults."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    counted = _COUNTS.search(lines[0]) and len(lines) > 1
    if not counted:
        return lines[0][:300]
    begin = lines[0] if lines[0].endswith(" 1 fault") else f"{lines[0]}, the first:"
    return f"{begin} {lines[1]}"[:300]
