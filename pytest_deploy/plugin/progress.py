"""What the person watching sees: phase by phase, step by step; good on a terminal and in a CI log.

On a terminal the running step stands in one line that is written over; in a log each step is one line when it has ended.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property

import pytest

from pytest_deploy.pipeline.run import RunObserver
from pytest_deploy.pipeline.steps_lock import Step, title_of
from pytest_deploy.plugin.closed_output import redirect_to_devnull
from pytest_deploy.plugin.report_writers import SKIPPED
from pytest_deploy.record.events import PhaseOutcome

_MARKS = {
    "passed": ("✓", {"green": True}),
    "still-needed": ("◷", {"yellow": True}),
    "not-applicable": ("·", {}),
}
_FAILED = ("✗", {"red": True})
_PHASE_ENDS: Mapping[PhaseOutcome, tuple[str, dict[str, bool]]] = {
    "passed": ("passed in", {"green": True}),
    "failed": ("failed after", {"red": True}),
    "still-needed": ("is still needed, after", {"yellow": True}),
    "not-applicable": ("was not applicable, after", {}),
    "not-run": ("had nothing to run, after", {}),
}
_TICK_SECONDS = 0.5


class Progress(RunObserver):
    """Takes over the terminal reporter's per-test output for a deployment."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._running: dict[str, float] = {}
        self._ended: set[str] = set()
        self._steps: tuple[Step, ...] = ()
        self._shown = ""
        self._terminal: int | None = None
        self._stop = threading.Event()

    @cached_property
    def _reporter(self) -> pytest.TerminalReporter:
        """Pytest's own, which comes after this; its file names and percentages give way."""
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if not isinstance(reporter, pytest.TerminalReporter):
            raise pytest.UsageError("a deployment is watched on pytest's terminal: do not take its reporter away")
        reporter.showfspath = False
        reporter._show_progress_info = False  # noqa: SLF001 -- no public way to leave the percentages out
        return reporter

    def open(self, headline: Sequence[str], steps: tuple[Step, ...]) -> None:
        self._steps = steps
        self._reporter.ensure_newline()
        for line in headline:
            self.line(line)
        if self._reporter.isatty:
            # The terminal itself: while a step runs pytest catches what goes to standard output, and the line that is
            # written over would stand in the step's captured output. It holds a title of steps.lock and no secret.
            self._terminal = os.dup(sys.stdout.fileno())
            threading.Thread(target=self._tick, name="deploy-progress", daemon=True).start()

    def close(self) -> None:
        self._stop.set()
        with self._lock:
            self._clear()
            if self._terminal is not None:
                os.close(self._terminal)
                self._terminal = None

    def line(self, text: str = "", **markup: bool) -> None:
        """One line that stays."""
        with self._lock:
            self._clear()
            self._reporter.write_line(text, **markup)
            self._draw()

    # --- what happens

    def phase_started(self, phase: str) -> None:
        always = [step for step in self._steps if step.when == "always"]
        left = sum(step.nodeid not in self._ended for step in always)
        count = sum(step.phase == phase for step in self._steps)
        undoes = phase == "rollback" and not any(step.phase == phase for step in always)
        rest = "undoing what was changed" if undoes else f"{left} of {len(always)} steps to go"
        self.line()
        self.line(f"{phase}  {_steps(count)} · {rest}", bold=True)
        self._config.hook.pytest_deploy_phase_started(phase=phase)

    def phase_finished(self, phase: str, outcome: PhaseOutcome, seconds: float) -> None:
        words, markup = _PHASE_ENDS[outcome]
        self.line(f"  {phase} {words} {seconds:.1f} s", **markup)
        self._config.hook.pytest_deploy_phase_finished(phase=phase, outcome=outcome, seconds=seconds)

    def steps_not_run(self, steps: Mapping[Step, str]) -> None:
        """A line a phase; the record names each step. What a rollback did not need is no news."""
        self._ended |= {step.nodeid for step in steps}
        shown = Counter((step.phase, cause) for step, cause in steps.items() if step.when == "always")
        for (phase, cause), count in shown.items():
            self.line(f"  ○ {phase}: {_steps(count)} not run · {cause.partition(chr(10))[0]}", yellow=True)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        with self._lock:
            self._running[nodeid] = time.monotonic()
            self._clear()
            self._draw()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A step has ended: one line that stays, with the cause where it failed."""
        if report.when != "teardown":
            return
        self._running.pop(report.nodeid, None)
        finished = getattr(report, "deploy_step", None)
        if finished is None or report.nodeid in self._ended:
            return
        self._ended.add(report.nodeid)
        outcome = finished["outcome"]
        mark, markup = _MARKS.get(outcome, _FAILED)
        words = "" if outcome == "passed" else f"{outcome.replace('-', ' ')}  " if outcome in _MARKS else ""
        self.line(f"  {mark} {title_of(report.nodeid)}  {words}{finished['seconds']:.1f} s", **markup)
        for text in finished["cause"].splitlines()[:4]:
            self.line(f"      {text}", **markup)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """No letters: this class writes the lines. What was not run is counted as that."""
        if report.skipped:
            for words in SKIPPED:
                if f"Skipped: {words}: " in str(report.longrepr):
                    return words, "", words.upper()
        if report.when == "call" or report.failed or report.skipped:
            return report.outcome, "", report.outcome.upper()
        return "", "", ""

    # --- the line that is written over

    def _tick(self) -> None:
        while not self._stop.wait(_TICK_SECONDS):
            with self._lock:
                self._clear()
                self._draw()

    def _draw(self) -> None:
        if self._terminal is None or not self._running:
            return
        nodeid, began = next(iter(self._running.items()))
        more = f" and {len(self._running) - 1} more" if len(self._running) > 1 else ""
        width = self._reporter._tw.fullwidth - 1  # noqa: SLF001 -- the reporter offers no other way to its width
        self._shown = f"  … {title_of(nodeid)}{more}  {time.monotonic() - began:.0f} s"[:width]
        self._overwrite(self._shown)

    def _clear(self) -> None:
        if self._shown:
            self._overwrite("\r" + " " * len(self._shown) + "\r")
            self._shown = ""

    def _overwrite(self, text: str) -> None:
        if self._terminal is not None:
            try:
                os.write(self._terminal, text.encode(errors="replace"))
            except OSError:
                redirect_to_devnull(self._terminal)


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count} steps"
