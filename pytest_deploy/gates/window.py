"""`window`: the run fits whole into the hours that policy opens (REQ-o00043-J).

    opens <= what the place's clocks show < closes, on the weekdays named, from the run's first instant to its last

That is the whole rule, so no rule is needed for the days on which clocks change: an hour that is skipped is in no window, an
hour that comes twice is in it twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pytest_deploy.gates.facts import GateFacts
from pytest_deploy.gates.verdict import Grounds, Judge, Verdict, moment, not_applicable, span
from pytest_deploy.gates.zone import Spell, judged_in, place, spells, utc
from pytest_deploy.policy.policy import Window
from pytest_deploy.record.clock import stamp

NAME = "window"
_AHEAD = 400
"""Days looked ahead: every date of a year, and a little more."""
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def gather(facts: GateFacts) -> Judge:
    return partial(judge, facts.policy.window, lasts_s=facts.policy.sla_s)


def judge(rule: Window | None, at: datetime, *, lasts_s: float) -> Verdict:
    """Whether a run that starts at `at` and may last `lasts_s` seconds ends before the window closes.

    A refusal names the next instant at which such a run fits.
    """
    if rule is None:
        return not_applicable(NAME)
    at, lasts = utc(at), timedelta(seconds=lasts_s)
    inputs = {
        "at": stamp(at),
        "lasts_s": lasts_s,
        "days": list(rule.days),
        "opens": f"{rule.opens:%H:%M}",
        "closes": f"{rule.closes:%H:%M}",
        "zone": rule.zone,
    }
    grounds = Grounds(NAME, inputs)
    try:
        zone = place(rule.zone)
    except ZoneInfoNotFoundError as error:
        return grounds.needs_action(str(error.args[0]), "name an IANA zone in deploy.yaml")
    inputs |= judged_in(zone, at)
    now: Spell | None = None
    for opens, closes in _open(rule, zone, at):
        if opens <= at:
            now = opens, closes
        start = max(opens, at)
        if start + lasts > closes:
            continue
        if start == at:
            return grounds.passes(f"open until {moment(closes, zone)}, and the run ends within {span(lasts)}")
        return grounds.waits(f"{_why_shut(now, at, lasts, zone)}; it opens {moment(start, zone)}", start)
    return grounds.needs_action(
        f"{_why_shut(now, at, lasts, zone)}; a run of {span(lasts)} fits on none of the next {_AHEAD} days",
        "widen the window or shorten sla_s in deploy.yaml",
    )


def _open(rule: Window, zone: ZoneInfo, at: datetime) -> Iterator[Spell]:
    """The window's spells that end after `at`, in order."""
    today = at.astimezone(zone).date()
    for date in (today + timedelta(days=ahead) for ahead in range(_AHEAD)):
        if _WEEKDAYS[date.weekday()] not in rule.days:
            continue
        for spell in spells(zone, datetime.combine(date, rule.opens), datetime.combine(date, rule.closes)):
            if spell[1] > at:
                yield spell


def _why_shut(now: Spell | None, at: datetime, lasts: timedelta, zone: ZoneInfo) -> str:
    if now is None:
        return f"the window is shut {moment(at, zone)}"
    left = span(now[1] - at)
    return f"the window closes in {left}, {moment(now[1], zone)}, and the run may take {span(lasts)}"
