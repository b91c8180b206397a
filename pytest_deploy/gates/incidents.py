"""`incidents`: no critical incident is open, and none was opened lately."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from pytest_deploy.bounded_output import WORDS_BYTES, kept_text, run_bounded
from pytest_deploy.gates.facts import GateFacts
from pytest_deploy.gates.verdict import Grounds, Judge, Unavailable, Verdict, moment, not_applicable, span
from pytest_deploy.policy.policy import Incidents
from pytest_deploy.record.clock import stamp

NAME = "incidents"
_WANTED = 'a list like [{"id": "INC-7", "severity": "critical", "opened": "2026-11-22T20:25:07Z", "closed": null, "url": null}]'
_ANSWER_BYTES = 4_000_000
"""Of what the program prints, at most."""
_COUNTS = frozenset({"critical", ""})
"""A severity nobody has given yet counts as the worst."""


@dataclass(frozen=True)
class Incident:
    id: str
    severity: str
    """`critical` counts, in any case; other words do not."""
    opened: datetime
    """UTC."""
    closed: datetime | None = None
    """UTC; None while it is open."""
    url: str | None = None


def gather(facts: GateFacts) -> Judge:
    """What the program says that policy names; without a rule nobody is asked."""
    rule = facts.policy.incidents
    if rule is None or rule.command is None:
        return partial(judge, None, incidents=())
    return partial(
        judge, rule, incidents=IncidentCommand(rule.command, facts.workspace.root, rule.command_timeout_s).read()
    )


def judge(rule: Incidents | None, at: datetime, incidents: Sequence[Incident] | Unavailable) -> Verdict:
    """Whether no critical incident is open at `at`, nor was opened less than `within_h` hours before.

    A closed one passes by itself when those hours are over; a source that does not answer blocks.
    """
    if rule is None:
        return not_applicable(NAME)
    length = timedelta(hours=rule.within_h)
    grounds = Grounds(NAME, {"at": stamp(at), "within_h": rule.within_h, "command": list(rule.command or ())})
    if isinstance(incidents, Unavailable):
        grounds.inputs["source"] = incidents.problem
        return grounds.needs_action(
            f"incidents cannot be asked about: {incidents.problem}", "make the incident source answer, then ask again"
        )
    critical = sorted(
        (incident for incident in incidents if incident.severity.strip().casefold() in _COUNTS),
        key=lambda incident: incident.opened,
    )
    ends = [
        None if incident.closed is None else max(incident.closed, incident.opened + length) for incident in critical
    ]
    counting = [(incident, over) for incident, over in zip(critical, ends, strict=True) if over is None or over > at]
    grounds.inputs["known"] = len(incidents)
    grounds.inputs["critical"] = [
        {
            "id": incident.id,
            "opened": stamp(incident.opened),
            "closed": None if incident.closed is None else stamp(incident.closed),
            "url": incident.url,
        }
        for incident, _ in counting
    ]
    if still := [incident for incident, over in counting if over is None]:
        named = ", ".join(f"{_shown(incident)} since {moment(incident.opened)}" for incident in still)
        return grounds.needs_approval(
            f"critical and open: {named}", "resolve and close it, or have two people override it"
        )
    if counting:
        free = max(over for _, over in counting if over is not None)
        named = ", ".join(f"{_shown(incident)}, {moment(incident.opened)}" for incident, _ in counting)
        return grounds.waits(f"critical, opened within {span(length)}: {named}; over {moment(free)}", free)
    return grounds.passes(
        f"no critical incident is open, and none was opened within {span(length)}, says `{shlex.join(rule.command or ())}`"
    )


def _shown(incident: Incident) -> str:
    return f"{incident.id} ({incident.url})" if incident.url else incident.id


# --- where incidents are known


@dataclass(frozen=True)
class IncidentCommand:
    """A program that prints the tracker's incidents as JSON: the tracker's own tool, or a few lines around it."""

    words: Sequence[str]
    folder: Path
    timeout_s: float
    """No answer within it blocks."""

    def read(self) -> Sequence[Incident] | Unavailable:
        name = self.words[0]
        try:
            ran = run_bounded(self.words, cwd=self.folder, timeout_s=self.timeout_s, limit=_ANSWER_BYTES)
        except OSError as error:
            return Unavailable(f"incidents.command {name} cannot be run: {error.strerror}")
        except subprocess.TimeoutExpired:
            return Unavailable(f"incidents.command {name} gave no answer in {self.timeout_s:g} s")
        if ran.code:
            last = (ran.stderr.text.strip().splitlines() or ["it said nothing"])[-1]
            return Unavailable(f"incidents.command {name} failed with {ran.code}: {kept_text(last, WORDS_BYTES)}")
        if ran.stdout.cut:
            return Unavailable(
                f"incidents.command {name} printed {ran.stdout.length:,} bytes (SHA-256 {ran.stdout.sha256}), "
                f"{_ANSWER_BYTES:,} are read at most: let it leave out what was closed long ago"
            )
        try:
            return [_incident(incident) for incident in json.loads(ran.stdout.text)]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            return Unavailable(
                f"incidents.command {name} did not print {_WANTED}: {kept_text(repr(error), WORDS_BYTES)}"
            )


def _incident(value: Mapping[str, Any]) -> Incident:
    closed = value.get("closed")
    return Incident(
        str(value["id"]),
        str(value["severity"]),
        _instant(value["opened"]),
        None if closed is None else _instant(closed),
        value.get("url"),
    )


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no zone")
    return instant
