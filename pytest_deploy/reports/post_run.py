"""What people signed of a run after it was decided, found by what it is about: a value amended, a deviation accepted.

Only a current report has any of it; for a sealed one there is nothing since.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pytest_deploy.pipeline.step import title_of
from pytest_deploy.record.event import Event
from pytest_deploy.reports.deviations import Deviation
from pytest_deploy.reports.signatures import Signature, manifest


@dataclass(frozen=True)
class Remark:
    """One signed event about something of the run."""

    by: Signature
    event: Event

    @property
    def about(self) -> str:
        """The step of an accepted deviation, in words."""
        return title_of(self.event.data["nodeid"])


@dataclass(frozen=True)
class Since:
    """What was signed since."""

    events: Sequence[Event] = field(default_factory=tuple)
    """The run's events since its decision, in order."""

    @cached_property
    def amended(self) -> Mapping[int, Sequence[Remark]]:
        """The amendments by the position of the event they amend; each begins at the value the one before it gave."""
        return self._by("record.amended", "amends")

    @cached_property
    def accepted(self) -> Mapping[str, Sequence[Remark]]:
        """The accepted deviations by the node id of their step."""
        return self._by("deviation.accepted", "nodeid")

    def _by(self, event_type: str, key: str) -> dict[Any, list[Remark]]:
        found: dict[Any, list[Remark]] = defaultdict(list)
        for event in self.events:
            if event.type == event_type and key in event.data:
                (signature,) = manifest([event])
                found[event.data[key]].append(Remark(signature, event))
        return dict(found)

    def of(self, seq: int | None, key: str = "") -> tuple[Remark, ...]:
        """The amendments of an event, or of one key of it."""
        found = self.amended.get(seq, ()) if seq is not None else ()
        return tuple(one for one in found if key in {"", one.event.data.get("key")})

    def accepts(self, deviation: Deviation) -> tuple[Remark, ...]:
        """Who accepted a deviation: for each step whose ending it tells."""
        return tuple(one for nodeid in deviation.steps for one in self.accepted.get(nodeid, ()))
