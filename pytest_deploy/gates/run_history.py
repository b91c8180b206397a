"""What an environment's log says of the time before this run: runs, claims, leases, freezes, the last release."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from pytest_deploy.gates.freeze import Frozen
from pytest_deploy.gates.lease import Held
from pytest_deploy.gates.rate_limit import Claim
from pytest_deploy.record.clock import parse_stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.log import Log

_ENDS = frozenset({"run.closed", "run.abandoned"})


class Past:
    """A log as it was when first asked."""

    def __init__(self, log: Log) -> None:
        self._log = log

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """The whole log, in order."""
        return self._log.history()

    def of(self, run: str) -> list[Event]:
        """The events of one run."""
        return [event for event in self.events if event.run == run]

    def claims(self) -> tuple[Claim, ...]:
        """The deployments that count towards the rate limit: open, or having announced a change."""
        return claims(self.events)

    def held(self) -> Held | None:
        """The lease that a run holds, or left behind open; None where it is free."""
        taken: Event | None = None
        until = None
        opened: dict[str, None] = {}
        for event in self.events:
            if event.type == "lease.taken":
                taken, until = event, parse_stamp(event.data["until"])
            elif event.type == "lease.renewed" and taken is not None:
                until = parse_stamp(event.data["until"])
            elif event.type == "lease.released":
                taken = None
            elif event.type == "run.opened" and event.data["pipeline"] != "plan":
                opened[event.run] = None
            elif event.type in _ENDS:
                opened.pop(event.run, None)
        if taken is None or until is None:
            return None
        return Held(taken.run, taken.data["holder"], until, taken.run if taken.run in opened else None)

    def frozen(self, refuses: Callable[[Event, Event], str]) -> Frozen | None:
        """The freeze that stands, or None. `refuses` says why a release does not lift the freeze before it, or nothing."""
        standing: Event | None = None
        doubt = ""
        for event in self.events:
            if event.type == "environment.frozen":
                standing, doubt = event, ""
            elif event.type == "environment.released" and standing is not None:
                why = refuses(event, standing)
                standing, doubt = (standing, f"; event {event.seq} does not lift it: {why}") if why else (None, "")
        return None if standing is None else Frozen(standing.instant, f"{standing.data['reason']}{doubt}", standing.run)

    def last_commit(self) -> str | None:
        """The commit this environment's last deployment made serve, or None."""
        commits = {event.run: event.data["commit"] for event in self.events if event.type == "run.opened"}
        done = [e.run for e in self.events if e.type == "run.closed" and e.data["outcome"] == "deployed"]
        return commits[done[-1]] if done else None


def claims(events: Sequence[Event]) -> tuple[Claim, ...]:
    """Of a log's events, the deployments that are open or announced a changing step."""
    opened = {e.run: e for e in events if e.type == "run.opened" and e.data["pipeline"] == "deploy"}
    ended = {e.run for e in events if e.type in _ENDS}
    changed: dict[str, Event] = {}
    for event in events:
        if event.type == "step.started" and event.data["changes"]:
            changed.setdefault(event.run, event)
    return tuple(
        Claim(run, changed.get(run, event).instant, run not in ended)
        for run, event in opened.items()
        if run in changed or run not in ended
    )
