"""Part of step 10: an accepted deviation is of a step that the run had, and that did not pass."""

from __future__ import annotations

from pytest_deploy.record.event import Event, parse_line
from pytest_deploy.record.events import DeviationAccepted, RunClosed, RunOpened, StepFinished, StepNotRun, given
from pytest_deploy.verify.chain import Chain
from pytest_deploy.verify.segment import read_entry


class Deviations:
    """Reads the steps of those runs alone of which somebody accepted a deviation."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._ended: dict[str, dict[str, str]] = {}

    def fault(self, event: Event) -> str:
        """What is wrong with an accepted deviation; empty where nothing is."""
        step = given(event.read(DeviationAccepted).nodeid)
        if step is None:
            return ""
        outcome = self._steps(event.run).get(step)
        if outcome is None:
            return f"accepts a deviation of {step}, which {event.run} does not have"
        return f"accepts a deviation of {step}, which passed" if outcome == "passed" else ""

    def _steps(self, run: str) -> dict[str, str]:
        """How each step of a closed run ended last; read once."""
        if run not in self._ended:
            bounds = [event.seq for event in self._chain.kept_of(RunOpened, RunClosed) if event.run == run]
            ended = self._ended[run] = {}
            for seq in range(bounds[0], bounds[-1]) if bounds else ():
                event = parse_line(read_entry(self._chain.store, seq).line)
                match event.content:
                    case StepFinished(nodeid=step, outcome=outcome) if event.run == run:
                        ended[step] = outcome
                    case StepNotRun(nodeid=step) if event.run == run:
                        ended[step] = "not-run"
        return self._ended[run]
