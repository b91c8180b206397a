"""How fast the environment answered a step: every answer kept, in the step's own event or, where they are many, in a file.

    {"limit_s": 2.0, "watch_s": 900.0, "samples": {"GET /health": [[0.004, 0.0312, 200], ...]}}      at, took, status

`at` counts seconds from the step's beginning; the status is the protocol's own, 0 where no answer came, null where there
is none. Over MOST samples the object is the content of a file, and the event says `"file": name, "count": n` in their place:
the file is bound like any attachment.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from pytest_deploy.record.event import Event

MOST: Final = 1000
"""Samples that an event holds; with their labels they stay well below its 65,535 bytes."""
LABEL: Final = 80
"""Characters of a label that are kept."""
_NAME: Final = 100
"""Characters of a node id that are kept in a file's name."""


class Measured:
    """What one step measured."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._samples: dict[str, list[tuple[float, float, int | None]]] = {}
        self.limit_s: float | None = None
        """What an answer may take, where the step holds them against a limit."""
        self.watch_s: float | None = None
        """How long the step watched over what serves: durations are told with and without it."""

    def add(self, label: str, took_s: float, status: int | None = None) -> None:
        """Keep one answer that has just come (or failed to come) after `took_s` seconds."""
        at = max(0.0, time.monotonic() - self._began - took_s)
        self._samples.setdefault(label[:LABEL], []).append((round(at, 3), round(took_s, 4), status))

    @property
    def count(self) -> int:
        """How many answers were kept."""
        return sum(map(len, self._samples.values()))

    def told(self, name: str, attach: Callable[[str, bytes], str]) -> dict[str, Any] | None:
        """What `step.finished` says of it; None where nothing was measured.

        Many samples go into the file `name` through `attach`, which binds it to the event.
        """
        about = {"limit_s": self.limit_s, "watch_s": self.watch_s}
        known = {name: round(float(seconds), 3) for name, seconds in about.items() if seconds is not None}
        if not self.count:
            return known or None
        told = {**known, "samples": {label: list(map(list, found)) for label, found in self._samples.items()}}
        if self.count <= MOST and len(self._samples) <= MOST // 10:
            return told
        attach(name, json.dumps(told, sort_keys=True, separators=(",", ":")).encode() + b"\n")
        return {**known, "file": name, "count": self.count}


def file_of(nodeid: str) -> str:
    """The file of a step's many samples, in the run folder: readable, and no two steps' the same."""
    readable = re.sub(r"[^a-zA-Z0-9_.-]+", "-", nodeid.removeprefix("suites/"))[:_NAME]
    return f"samples/{readable}-{hashlib.sha256(nodeid.encode()).hexdigest()[:8]}.json"


def watched(events: Iterable[Event]) -> float:
    """Seconds that the finished steps among these events watched over what serves."""
    finished = (event.data.get("measured") or {} for event in events if event.type == "step.finished")
    return round(sum(float(measured.get("watch_s", 0.0)) for measured in finished), 3)
