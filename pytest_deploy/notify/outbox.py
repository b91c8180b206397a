"""What is due is sent and recorded: the outbox is the record itself, so a process that was killed forgets nothing.

A failure here decides nothing: the run is what it is, and what was not told is told by whoever asks next (`pytest-deploy notify`).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from pytest_deploy.errors import DeployError, UsageError
from pytest_deploy.notify import channel
from pytest_deploy.notify.notices import Notice, expiring, of_run, unsent
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.notifications import Route
from pytest_deploy.record.actor import PIPELINE_ACTOR
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import NotificationFailed, NotificationSent
from pytest_deploy.record.plain_text import shortened
from pytest_deploy.record.run_id import NO_RUN
from pytest_deploy.workspace import program_command

NOT_OLDER: Final = timedelta(days=1)
"""What is older is told to nobody any more: a new route is not filled with last year's runs."""
_PART: Final = 12
"""Characters of a part of an address that is cut by itself, at least: shorter ones are words, hosts and ports."""
_KIND: Final = 20
"""Characters of the kind of an address, e.g. `slack`."""
TOLD_BYTES: Final = 1_000


def deliver_run(environment: Environment, run: str, *, say: Callable[[str], None]) -> bool:
    """Tell what there is to tell of one run, on every route of policy; whether all of it was taken.

    In a rehearsal nobody is told. Raises nothing: what fails is said, and recorded where the record can be written.
    """
    if not is_told(environment):
        return True
    try:
        events = environment.log.run(run)
        return _deliver(environment, list(of_run(events, environment.workspace)), events, say)
    except Exception as error:  # noqa: BLE001 -- it is told, or not; the run is what it is
        say(f"nobody was told: {environment.redact(f'{type(error).__name__}: {error}')}")
        return False


def deliver_all(environment: Environment, *, say: Callable[[str], None]) -> bool:
    """The same of everything of the last day that was not told yet, and of approvals that expire soon.

    Raises DeployError where the record cannot be read or written, or Apprise is not installed.
    """
    history = environment.log.history()
    now = environment.system_clock.now()
    by_run: dict[str, list[Event]] = {}
    for event in history:
        if event.run != NO_RUN:
            by_run.setdefault(event.run, []).append(event)
    told = [notice for events in by_run.values() for notice in of_run(events, environment.workspace)]
    notices = [notice for notice in told if now - history[notice.seq].time <= NOT_OLDER]
    notices += expiring(history, environment.workspace, environment.clock.now())
    return _deliver(environment, notices, history, say)


def is_told(environment: Environment) -> bool:
    """Whether policy names anybody; a rehearsal tells nobody."""
    return bool(environment.policy.notify) and not environment.workspace.rehearsal


def address_of(environment: Environment, route: Route) -> str:
    """A route's address, which is cut from every text from now on. Raises UsageError where its variable is empty."""
    address = os.environ.get(route.url_variable, "").strip()
    if not address:
        raise UsageError(
            f"{route.url_variable} is not set: it holds the address of {route.to}, in Apprise's form, e.g. slack://… or mailtos://…"
        )
    try:
        environment.secrets.know(route.url_variable, address)
        # Libraries show parts of it: a web hook's path is what lets anybody write there.
        for part in re.split(r"[/?&@:]+", address):
            if len(part) >= _PART:
                environment.secrets.know(route.url_variable, part)
    except ValueError as error:
        raise UsageError(f"{route.url_variable} is no address: {error}") from None
    return address


def _deliver(
    environment: Environment, notices: Sequence[Notice], events: Sequence[Event], say: Callable[[str], None]
) -> bool:
    all_taken = True
    for route in environment.policy.notify:
        wanted = [notice for notice in notices if notice.occasion in route.occasions]
        for notice in unsent(wanted, route.to, events):
            all_taken = _send(environment, route, notice, say) and all_taken
    return all_taken


def _send(environment: Environment, route: Route, notice: Notice, say: Callable[[str], None]) -> bool:
    began, anchor = time.monotonic(), environment.log.checkpoint()
    kind = "none"
    try:
        address = address_of(environment, route)
        kind = address.partition("://")[0][:_KIND]
        lines = [environment.redact(line) for line in notice.lines]
        reason = channel.send(address, environment.redact(notice.subject), [*lines, f"anchor    {anchor}"])
    except DeployError as error:
        reason = str(error)
    reason = shortened(environment.redact(reason), TOLD_BYTES)
    subject = environment.redact(notice.subject)
    content = (
        NotificationFailed(
            channel=kind, recipients=[route.to], subject=subject, reason=reason, attempts=1, detail=notice.detail
        )
        if reason
        else NotificationSent(
            channel=kind,
            recipients=[route.to],
            subject=subject,
            anchor=anchor,
            detail=notice.detail,
            duration_s=round(time.monotonic() - began, 3),
        )
    )
    environment.log.append(content, run=notice.run, actor=PIPELINE_ACTOR)
    again = program_command("notify", environment.policy.environment)
    say(f"{route.to} was not told ({reason}); again: `{again}`" if reason else f"told {route.to}: {subject}")
    return not reason
