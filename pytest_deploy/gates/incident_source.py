"""Where incidents are known: the environment's own record, or a program that asks the team's tracker.

A source that does not answer, or not as it must, is Unavailable: the gate blocks on it and says why.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from pytest_deploy.gates.incidents import Incident
from pytest_deploy.gates.verdict import Unavailable
from pytest_deploy.record.event import Event

_WANTED = 'a list like [{"id": "INC-7", "severity": "critical", "opened": "2026-11-22T20:25:07Z", "closed": null, "url": null}]'


class IncidentSource(Protocol):
    """Whoever knows of incidents."""

    def read(self) -> Sequence[Incident] | Unavailable:
        """Every incident that is open or was opened lately, or why that is not known."""


class RecordedIncidents:
    """The incidents in the environment's own record (`incident.opened`); it knows of no closing, so their age counts."""

    def __init__(self, events: Iterable[Event]) -> None:
        self._events = tuple(event for event in events if event.type == "incident.opened")

    def read(self) -> Sequence[Incident]:
        """Each as opened and closed at once: within policy's hours it blocks, later it does not."""
        return [
            Incident(e.data["incident"], e.data["severity"], e.instant, e.instant, e.data.get("url"))
            for e in self._events
        ]


class IncidentCommand:
    """A program that prints the tracker's incidents as JSON: the tracker's own tool, or a few lines around it."""

    def __init__(self, words: Sequence[str], folder: Path, timeout_s: float) -> None:
        """`words` run in `folder`; no answer within `timeout_s` seconds blocks."""
        self._words = list(words)
        self._folder = folder
        self._timeout_s = timeout_s

    def read(self) -> Sequence[Incident] | Unavailable:
        """What it printed, or why that cannot be used."""
        name = self._words[0]
        try:
            ran = subprocess.run(
                self._words, cwd=self._folder, capture_output=True, text=True, timeout=self._timeout_s, check=False
            )
        except OSError as error:
            return Unavailable(f"incidents.command {name} cannot be run: {error.strerror}")
        except subprocess.TimeoutExpired:
            return Unavailable(f"incidents.command {name} gave no answer in {self._timeout_s:g} s")
        if ran.returncode:
            said = (ran.stderr.strip().splitlines() or ["it said nothing"])[-1]
            return Unavailable(f"incidents.command {name} failed with {ran.returncode}: {said}")
        try:
            return [_incident(one) for one in json.loads(ran.stdout)]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return Unavailable(f"incidents.command {name} did not print {_WANTED}: {error!r}")


def _incident(said: Mapping[str, Any]) -> Incident:
    closed = said.get("closed")
    return Incident(
        str(said["id"]),
        str(said["severity"]),
        _instant(said["opened"]),
        None if closed is None else _instant(closed),
        said.get("url"),
    )


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no zone")
    return instant
