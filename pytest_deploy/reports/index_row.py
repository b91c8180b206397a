"""One run as the index shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pytest_deploy.record.event import Event
from pytest_deploy.reports.wording import OUTCOMES


@dataclass(frozen=True)
class RunLine:
    """One run of one store."""

    run: str
    environment: str
    rehearsal: bool
    pipeline: str
    release: str
    deployer: str
    opened: datetime
    """UTC, of `run.opened`."""
    outcome: str
    """As decided; `abandoned`, or `in progress` where the log holds no decision yet."""
    duration_s: float | None
    sla_s: float | None
    link: str | None
    """Of its report, relative to the index; None where there is no report."""

    @property
    def heading(self) -> str:
        """The outcome in words."""
        return OUTCOMES[self.outcome]

    @property
    def within_sla(self) -> bool:
        """Whether it took no longer than policy allows; true where policy sets nothing."""
        return self.duration_s is None or not self.sla_s or self.duration_s <= self.sla_s


def line_of(events: Sequence[Event], link: str | None) -> RunLine | None:
    """The index's line of one run, from its own events; None where it was never opened."""
    by_type = {event.type: event for event in events}
    opened = by_type.get("run.opened")
    if opened is None:
        return None
    decided = by_type["run.decided"].data if "run.decided" in by_type else {}
    undecided = "abandoned" if "run.abandoned" in by_type else "in progress"
    return RunLine(
        run=opened.run,
        environment=opened.data["environment"],
        rehearsal=opened.data["rehearsal"],
        pipeline=opened.data["pipeline"],
        release=opened.data["version"],
        deployer=opened.data["deployer"],
        opened=opened.time,
        outcome=decided.get("outcome", undecided),
        duration_s=decided.get("duration_s"),
        sla_s=decided.get("sla_s"),
        link=link,
    )
