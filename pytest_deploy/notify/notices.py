"""What there is to tell of a run, from its events alone, in a few lines: what, where, who, why, and what to do.

Pure, so that what was not told because a process was killed or a channel was down is told later, in the same words.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pytest_deploy.policy.notifications import Occasion
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import (
    AlertRaised,
    ApprovalSigned,
    EnvironmentFrozen,
    NotificationFailed,
    NotificationSent,
    RequestMade,
    RollbackStarted,
    RunDecided,
    RunOpened,
    given,
)
from pytest_deploy.record.plain_text import shortened
from pytest_deploy.record.run_state import LogState
from pytest_deploy.reports.format import seconds, utc
from pytest_deploy.workspace import Workspace, program_command

EXPIRES_SOON: Final = timedelta(hours=4)
"""An approval that nobody used is told of so long before it expires."""
MOST_FAILURES: Final = 3
"""A notice that failed so often is not sent again: a channel that is gone fills no record."""
_LINE_BYTES: Final = 600

_OCCASIONS: Final[Mapping[str, Occasion]] = {
    "deployed": "succeeded",
    "passed": "succeeded",
    "still-needed": "approval-needed",
    "refused": "failed",
    "failed": "failed",
    "not-passed": "failed",
    "rolled-back": "rolled-back",
    "rollback-failed": "needs-a-person",
}
"""By the outcome of a run."""


@dataclass(frozen=True)
class Notice:
    """One thing that people are told."""

    occasion: Occasion
    run: str
    seq: int
    """The position of the event that it tells of."""
    subject: str
    lines: tuple[str, ...]

    @property
    def detail(self) -> str:
        """What its events in the record know it by."""
        return f"{self.occasion}: event {self.seq}"


def of_run(events: Sequence[Event], workspace: Workspace) -> Iterator[Notice]:
    """What there is to tell of one run, given its own events: that it started, its alerts, how it ended."""
    opened = next((content for _, content in of_type(events, RunOpened)), None)
    if opened is None:
        return
    what = f"{opened.pipeline} of {opened.version} to {workspace.environment}"
    for event in events:
        about: tuple[str, ...] = ()
        occasion: Occasion
        match event.content:
            case RunOpened() if opened.pipeline != "plan":
                occasion, subject = "started", f"started: {what}"
                about = (f"commit    {opened.commit[:12]}", *_reason(opened))
            case AlertRaised(alert=alert, detail=detail):
                occasion, subject = "alert", f"alert: {alert}, {what}"
                about = (f"alert     {_line(detail)}",)
            case RunDecided() as decided if decided.outcome in _OCCASIONS:
                occasion, subject = _OCCASIONS[decided.outcome], f"{decided.outcome}: {what}"
                about = tuple(_ending(events, opened, decided, workspace))
            case _:
                continue
        who = f"by        {opened.deployer}, {utc(event.time)}"
        yield Notice(
            occasion, event.run, event.seq, subject, (*about, who, f"report    {_report(workspace, event.run)}")
        )


def expiring(history: Sequence[Event], workspace: Workspace, at: datetime) -> Iterator[Notice]:
    """Of each request that somebody approved, that nobody ran, and that expires soon."""
    signed = {event.run for event, _ in of_type(history, ApprovalSigned)}
    for event in LogState.of(history).pending_requests():
        made = event.read(RequestMade)
        if made.expires is None or event.run not in signed or not at < made.expires <= at + EXPIRES_SOON:
            continue
        version = given(made.version) or ""
        words = ["pytest", f"--deploy-env={workspace.environment}", f"--deploy-run={event.run}"]
        yield Notice(
            "approval-expires",
            event.run,
            event.seq,
            f"approved and not run: {version} to {workspace.environment} expires {utc(made.expires)}",
            (
                f"request   {event.run}, by {made.requested_by}",
                f"do        run it before then, or plan again later: `{shlex.join(words)}`",
            ),
        )


def unsent(notices: Sequence[Notice], to: str, events: Sequence[Event]) -> Iterator[Notice]:
    """Those that the record does not say were sent to this channel, nor given up."""
    sent = {(e.run, given(c.detail)) for e, c in of_type(events, NotificationSent) if given(c.recipients) == [to]}
    failed = [(e.run, given(c.detail)) for e, c in of_type(events, NotificationFailed) if given(c.recipients) == [to]]
    for notice in notices:
        known_by = (notice.run, notice.detail)
        if known_by not in sent and failed.count(known_by) < MOST_FAILURES:
            yield notice


def _ending(events: Sequence[Event], opened: RunOpened, decided: RunDecided, workspace: Workspace) -> Iterator[str]:
    if decided.cause:
        yield f"cause     {_line(decided.cause)}"
    for _, started in of_type(events, RollbackStarted):
        if decided.outcome == "rolled-back":
            serves = "none serves: no release had been deployed before" if started.target == "none" else started.target
            yield f"serving   {serves}"
    yield f"took      {seconds(decided.duration_s)}"
    if decided.outcome == "still-needed":
        yield from (f"needed    {_line(str(each))}" for each in given(decided.owed) or ())
        if run := given(decided.request):
            yield f"do        read it, then: `{program_command('approve', run)}`"
    elif decided.outcome == "rollback-failed":
        yield f"do        a person is needed: see the report's rollback section, then `{workspace.command_line('recover')}`"
    elif frozen := next((content for _, content in of_type(events, EnvironmentFrozen)), None):
        commit = given(frozen.commit) or opened.commit
        yield f"do        mend {commit[:12]}: nothing goes here until somebody signs the thaw"


def _reason(opened: RunOpened) -> Iterator[str]:
    reason, ticket = given(opened.reason) or "", given(opened.ticket) or ""
    if reason or ticket:
        yield f"why       {_line(', '.join(part for part in (reason, ticket) if part))}"


def _report(workspace: Workspace, run: str) -> str:
    return f"{workspace.store.relative_to(workspace.root).as_posix()}/runs/{run}/report.html"


def _line(text: str) -> str:
    return shortened(" ".join(text.split()), _LINE_BYTES)
