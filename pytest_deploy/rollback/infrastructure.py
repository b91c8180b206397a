"""The stack's part of a rollback: an interrupted update is made good, then the last good release's program is run.

Whether there is anything to lead back, the record says: the announced step that updates the stack, the request that it goes by, and
the file that is written right before anything is changed. What others changed is never led back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pytest_deploy.errors import ManualInterventionRequired, Refused, UsageError
from pytest_deploy.platform.environment import Environment
from pytest_deploy.platform.infrastructure import (
    Applied,
    InterruptedUpdate,
    NoInfrastructure,
    Recovered,
    StackState,
)
from pytest_deploy.platform.protocol import Infrastructure
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import AlertRaised, LeaseTaken, RunOpened, StepFinished, StepStarted
from pytest_deploy.record.plain_text import STATED_BYTES, shortened
from pytest_deploy.release.infrastructure import PlannedInfrastructure, program_of
from pytest_deploy.release.infrastructure_update import planned_of, was_begun
from pytest_deploy.release.live import Baseline

_PHASE = "deploy"
"""The phase whose first changing step updates the stack."""


def told_as_alert(recovered: Recovered) -> AlertRaised | None:
    """What the record says of it; None where nothing had to be done."""
    lines = recovered.told()
    return alert("an interrupted update of the infrastructure was made good", lines) if lines else None


def alert(what: str, lines: Sequence[str]) -> AlertRaised:
    """Of what was done to the stack: it deserves a look."""
    return AlertRaised(alert=what, detail=shortened("; ".join(lines), STATED_BYTES))


@dataclass(frozen=True)
class StackRollback:
    """What a run did to the stack, and how it is undone."""

    environment: Environment
    events: Sequence[Event]
    """The run's own."""

    @cached_property
    def planned(self) -> PlannedInfrastructure | None:
        """What the run's request says of the stack; None where it plans none, or no update of it was begun."""
        if self._began is None or not was_begun(self.environment):
            return None
        return planned_of(self.environment, self.events)

    @property
    def interrupted(self) -> bool:
        """Whether the step that updates the stack began, and did not end well."""
        began = self._began
        return began is not None and not any(
            step.nodeid == began.read(StepStarted).nodeid and step.outcome in {"passed", "not-applicable"}
            for _, step in of_type(self.events, StepFinished)
        )

    def differing(self) -> tuple[str, ...]:
        """URNs of what is not as the request found it, or of what an operation is pending for; sorted."""
        if self.planned is None:
            return ()
        state = self._state()
        return tuple(sorted({*state.differences(self.planned.earlier), *(one.urn for one in state.pending)}))

    def compared(self) -> tuple[StackState, StackState] | NoInfrastructure:
        """What the request found, and what is now; or why nothing is to be compared."""
        if self.planned is None:
            return NoInfrastructure("this run updated no infrastructure")
        return self.planned.earlier, self._state()

    def make_good(self, ids: Mapping[str, str] | None = None) -> Recovered | None:
        """Resolve what an interrupted update left, by looking it up; None where none was interrupted.

        `ids`: what a person looked up, URN -> id. Raises ManualInterventionRequired where something is left that no rule decides.
        """
        if self.planned is None or self._began is None or not self.interrupted:
            return None
        stack = self._stack
        hosts = frozenset(lease.host for _, lease in of_type(self.events, LeaseTaken) if lease.host)
        interrupted = InterruptedUpdate(hosts, self._began.time, self.environment.system_clock.now())
        with program_of(self.environment, self._commit) as program:
            return stack.recover(program, interrupted=interrupted, message=f"recover {self.environment.run}", ids=ids)

    def restore(self, baseline: Baseline) -> Applied:
        """Run the last good release's program, until the stack is as the request found it.

        Raises ManualInterventionRequired where there is no such program, or it does not lead back.
        """
        assert self.planned is not None  # noqa: S101 -- nothing differs where nothing was planned
        stack = self._stack
        if baseline.release is None:
            raise ManualInterventionRequired(
                "the infrastructure is left as this run made it: no release was here before, so that no program is known that leads "
                f"back; these are not as they were: {', '.join(self.differing())}; take them back by hand"
            )
        commit = baseline.release.commit
        try:
            with program_of(self.environment, commit) as program:
                return stack.restore(
                    program,
                    to=self.planned.earlier,
                    message=f"rollback of {self.environment.run}",
                    deadline_s=self.environment.policy.rollback.budget_s,
                )
        except (Refused, UsageError) as error:
            raise ManualInterventionRequired(
                f"the infrastructure is not led back: the program of the last good release, {baseline.release.version}, cannot be "
                f"run: {error}; these are not as they were: {', '.join(self.differing())}"
            ) from error

    @property
    def _began(self) -> Event | None:
        """The announcement of the step that updates the stack."""
        return next(
            (event for event, step in of_type(self.events, StepStarted) if step.phase == _PHASE and step.changes), None
        )

    @property
    def _commit(self) -> str:
        return next(opened.commit for _, opened in of_type(self.events, RunOpened))

    @property
    def _stack(self) -> Infrastructure:
        stack = self.environment.platform.infrastructure
        if isinstance(stack, NoInfrastructure):
            raise ManualInterventionRequired(
                f"the run updated a stack, and here is none any more: {stack.reason}; put it back into deploy.yaml, then recover"
            )
        return stack

    def _state(self) -> StackState:
        stack = self._stack
        with program_of(self.environment, self._commit) as program:
            return stack.state(program)
