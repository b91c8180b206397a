"""The requests that wait to be run: made, not voided, not expired, and no run opened for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.record.clock import parse_stamp, stamp
from pytest_deploy.record.event import Event
from pytest_deploy.release.request import digest

_ENDED = frozenset({"request.voided", "run.opened"})


@dataclass(frozen=True)
class LiveRequest:
    """A request that people may approve and a run may execute."""

    run: str
    commit: str
    sha256: str
    expires: datetime
    """UTC, by the environment's own clock."""
    made: Event

    def __str__(self) -> str:
        """As a list shows it."""
        return (
            f"{self.run}  commit {self.commit[:12]}, by {self.made.data['requested_by']}, until {stamp(self.expires)}"
        )


def live(events: Iterable[Event], at: datetime) -> tuple[LiveRequest, ...]:
    """The requests of a log (in any order) that live at an instant, oldest first."""
    told = list(events)
    ended = {event.run for event in told if event.type in _ENDED}
    made = [event for event in told if event.type == "request.made" and event.run not in ended]
    requests = [
        LiveRequest(e.run, e.data["commit"], e.data["request_sha256"], parse_stamp(e.data["expires"]), e)
        for e in made
        if e.data["expires"] is not None and "commit" in e.data
    ]
    return tuple(sorted((one for one in requests if at < one.expires), key=lambda one: one.made.seq))


def content(store: Path, run: str, events: Iterable[Event]) -> bytes:
    """The bytes of a request as its `request.made` names them. Raises Refused where they are gone, or others."""
    made = next((e for e in events if e.type == "request.made" and e.run == run), None)
    place = f"runs/{run}/request.json"
    try:
        found = (store / place).read_bytes()
    except OSError as error:
        raise Refused(
            f"{place} cannot be read ({error.strerror}); python deploy.py verify tells more; plan again"
        ) from None
    if made is None or made.data["request_sha256"] != digest(found):
        raise Refused(
            f"{place} is not the request that was made: somebody changed it; python deploy.py verify tells more; plan again"
        )
    return found


def choose(requests: Sequence[LiveRequest], *, environment: str, commit: str, asked: str = "") -> LiveRequest:
    """The one request to run: the one `asked` for, else the only one for this commit.

    Raises UsageError with the list: none, or more than one.
    """
    wanted = [one for one in requests if (one.run == asked if asked else one.commit == commit)]
    if len(wanted) == 1:
        return wanted[0]
    what = (
        f"no live request {asked}"
        if asked
        else f"{'no' if not wanted else len(wanted)} live requests for commit {commit[:12]}"
    )
    others = "".join(f"\n  {one}" for one in (wanted or requests)) or "\n  (none is live)"
    remedy = (
        "name one with --deploy-run=RUN"
        if wanted
        else "make one with --deploy-pipeline=plan, have it approved (python deploy.py approve RUN), then run again"
    )
    raise UsageError(f"{environment} deploys what people approved: {what}; {remedy}{others}")
