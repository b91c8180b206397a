"""The life of every run in a log, folded event by event: `may` refuses what is not legal next, `fold` takes in.

The writer starts its fold before the birth of the run it writes for (the log sees to that), the verifier at event 0.
The rules are the table in `legal`; this is only the memory they are held against.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from pytest_deploy.errors import IllegalEvent
from pytest_deploy.record.clock import parse_stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import Json
from pytest_deploy.record.run_id import NO_RUN
from pytest_deploy.record.run_stage import IN_PROGRESS, LEASELESS, LIFE_S, LeaseState, Run
from pytest_deploy.record.transitions import LEGAL, Proposed, refusal


class Life:
    """Runs by name, and the environment's one lease."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}
        self._open: dict[str, None] = {}  # in the order in which they opened
        self._begun = False
        self.lease: LeaseState | None = None
        """The newest lease, while it is not released; it may be past its time."""

    def run(self, run: str) -> Run:
        """What a run amounts to; a run nobody named is new. Read it, never write it."""
        known = self._runs.get(run)
        return Run() if known is None else known

    def in_progress(self, *, leased: bool = False) -> tuple[str, ...]:
        """Runs that opened and are neither closed nor abandoned; with `leased`, those that took the lease."""
        return tuple(run for run in self._open if not leased or self._runs[run].pipeline != LEASELESS)

    def may(self, event_type: str, run: str, data: Mapping[str, Json], *, time: datetime) -> None:
        """Refuse what is not legal next; `data` fits its schema. Raises IllegalEvent naming what is legal."""
        if not self._begun and event_type != "key.enrolled":
            raise IllegalEvent(f"{event_type} is not legal now: a log begins with key.enrolled")
        if run == NO_RUN:
            if not LEGAL[event_type].outside:
                raise IllegalEvent(f"{event_type} belongs to a run; `-` stands for events outside any")
            return
        others = tuple([other for other in self._open if other != run and self._runs[other].pipeline != LEASELESS])
        reason = refusal(Proposed(event_type, run, data, time, self.run(run), self.lease, others))
        if reason is not None:
            raise IllegalEvent(reason)

    def fold(self, event: Event) -> None:
        """Take in an event that is in the log. It is not judged: that was `may`'s turn, before it was written."""
        self._begun = True
        if event.type == "clock.skewed" and "restart" in event.data and self.lease is not None:
            # By the clock that was wrong it would live for years: whoever still holds it renews it by the right one.
            ends = event.earliest_next + timedelta(seconds=LIFE_S)
            self.lease = replace(self.lease, until=min(self.lease.until, ends))
        if event.run == NO_RUN:
            return
        state = self._runs.get(event.run)
        if state is None:
            state = self._runs[event.run] = Run()
        state.take_in(event.type, event.data)
        state.stage = LEGAL[event.type].moves.get(state.stage, state.stage)
        if state.stage in IN_PROGRESS:
            self._open[event.run] = None
        else:
            self._open.pop(event.run, None)
        self._fold_lease(event)

    def _fold_lease(self, event: Event) -> None:
        if event.type == "lease.taken":
            until = parse_stamp(event.data["until"])
            self.lease = LeaseState(run=event.run, fence=event.seq, until=until, taken=event)
        elif self.lease is None or event.data.get("fence") != self.lease.fence:
            return
        elif event.type == "lease.renewed":
            self.lease = replace(self.lease, until=parse_stamp(event.data["until"]))
        elif event.type == "lease.released":
            self.lease = None
