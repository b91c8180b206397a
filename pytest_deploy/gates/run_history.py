"""What an environment's log says of the time before this run, as gates ask for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from pytest_deploy.gates.freeze import Frozen
from pytest_deploy.gates.lease import Held
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import EnvironmentFrozen, LeaseTaken
from pytest_deploy.record.log import Log
from pytest_deploy.record.run_state import LogState


class RunHistory:
    """A log as it was when first asked."""

    def __init__(self, log: Log) -> None:
        self._log = log

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """The whole log, in order."""
        return self._log.history()

    @cached_property
    def state(self) -> LogState:
        """What they amount to."""
        return LogState.of(self.events)

    def of(self, run: str) -> list[Event]:
        """The events of one run."""
        return [event for event in self.events if event.run == run]

    def held(self) -> Held | None:
        """The lease that a run holds, or left behind open; None where it is free."""
        lease = self.state.lease
        if lease is None:
            return None
        taken = lease.taken.content
        assert isinstance(taken, LeaseTaken)  # noqa: S101 -- what a lease was taken by
        return Held(lease.run, taken.holder, lease.until, lease.run if self.state.run(lease.run).is_open else None)

    def frozen(self, refuses: Callable[[Event, Event], str]) -> Frozen | None:
        """The freeze that stands, or None. `refuses` says why a release does not lift the freeze before it, or nothing."""
        freeze = self.state.freeze
        if freeze is None:
            return None
        doubt = ""
        for release in freeze.releases:
            why = refuses(release, freeze.event)
            if not why:
                return None
            doubt = f"; event {release.seq} does not lift it: {why}"
        frozen = freeze.event.content
        assert isinstance(frozen, EnvironmentFrozen)  # noqa: S101 -- what a freeze was begun by
        return Frozen(freeze.event.instant, f"{frozen.reason}{doubt}", freeze.event.run)
