"""What a step says of itself while it runs, and how fast the environment answered it.

Every answer is kept, in the step's own event or, where they are many, in a file:

    {"limit_s": 2.0, "watch_s": 900.0, "samples": {"GET /health": [[0.004, 0.0312, 200], ...]}}      at, took, status

`at` counts seconds from the step's beginning; the status is the protocol's own, 0 where no answer came, null where there
is none. Over MAX_INLINE_SAMPLES samples the object is the content of a file, and the event says `"file": name, "count": n` in their place:
the file is bound like any attachment.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
import unittest
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

from pytest_deploy.errors import UsageError
from pytest_deploy.pipeline.steps_lock import Step
from pytest_deploy.platform.environment import Environment
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import AlertRaised, EventContent, RunOpened, StepFinished, given, parse
from pytest_deploy.record.plain_text import STATED_BYTES, shortened, stated, words_of
from pytest_deploy.record.redaction import redacted
from pytest_deploy.record.run_folder import OWN, RunFolder, encodable_name

STEP_ACTOR: Final = "system:step"
MAX_INLINE_SAMPLES: Final = 1000
"""Samples that an event holds; with their labels they stay well below its 65,535 bytes."""
MAX_LABEL_CHARS: Final = 80
"""Characters of a label that are kept."""
ATTACHED_BYTES: Final = 20_000
"""Of an event's line, of 65,535, at most for the names and digests of a step's files."""
_DIGEST: Final = 70
_NAME: Final = 100
"""Characters of a node id that are kept in a file's name."""


class StepEnded(unittest.SkipTest):
    """The running step ends here, neither passed nor failed: pytest's reports call it skipped, with the reason."""


STEP_EVENTS: Final = frozenset(
    {
        *("migration.applied", "migration.rolled-back", "revision.deployed", "traffic.moved"),
        *("backup.created", "alert.raised"),
    }
)
"""What a step may write into the log: what it did. Verdicts, decisions and signatures are written by who makes them."""


class StepRecord:
    """What one running step says of itself; the `record` fixture."""

    def __init__(self, environment: Environment, step: Step) -> None:
        self._redact = environment.redact
        self._redact_file = environment.redact_file
        self._log = environment.log
        self._run = environment.run
        self.step = step
        self._stated = False
        self.expected: Any = None
        self.actual: Any = None
        self.image: str | None = None
        self.attachments: dict[str, str] = {}
        self.warnings: list[str] = []
        self.credited: list[str] = []
        """The assertions that the step says it exercised."""
        self.ended: tuple[Literal["still-needed", "not-applicable"], str] | None = None
        """How the step ended itself, and why; None where it did not."""
        self.timings = Timings()

    def expect(self, expected: object, actual: object) -> None:
        """State what was expected and what was found; both go into `step.finished`, as JSON: what is none, by its repr."""
        self.expected, self.actual = stated(expected, self._redact), stated(actual, self._redact)
        self._stated = True

    def verified(self, *assertions: str) -> None:
        """State that the step has exercised assertions of the specification, in the branch that judged them.

        A mark says what a step can exercise; only what is stated here is credited, and only where the step passes. The
        evidence is what `expect` stated.

        Args:
            assertions: ids that the step's `requirement` marks name; none: all of them.

        Raises:
            UsageError: an id that no mark of the step names, or nothing stated that could be evidence.
        """
        unclaimed = [assertion for assertion in assertions if assertion not in self.step.verifies]
        if unclaimed:
            marks = ", ".join(self.step.verifies) or "none"
            raise UsageError(
                f"{', '.join(unclaimed)}: no requirement mark of this step names it here; its marks: {marks}"
            )
        if not self._stated:
            raise UsageError("record.verified: state first what was expected and found, with record.expect")
        self.credited += [one for one in assertions or self.step.verifies if one not in self.credited]

    def not_applicable(self, reason: str) -> NoReturn:
        """End the step here: there is nothing to do, or no rule asks for it. It counts neither as passed nor as failed."""
        self._end("not-applicable", reason)

    def still_needed(self, reason: str) -> NoReturn:
        """End the step here: time or signatures will lift what stands against it. Only a plan goes on after that."""
        self._end("still-needed", reason)

    def _end(self, outcome: Literal["still-needed", "not-applicable"], reason: str) -> NoReturn:
        self.ended = (outcome, self._redact(reason))
        raise StepEnded(f"{outcome.replace('-', ' ')}: {self.ended[1]}")

    def answered(self, label: str, took_s: float, status: int | None = None) -> None:
        """State how long one answer took, in seconds; status 0 where none came. Every one is kept and drawn."""
        self.timings.add(self._redact(words_of(label)), _seconds("took_s", took_s), stated(status))

    def within(self, limit_s: float) -> None:
        """State what an answer may take; it is drawn beside them."""
        self.timings.limit_s = _seconds("limit_s", limit_s)

    def watched(self, seconds: float) -> None:
        """State how long the step watched over what serves: durations are told with and without the watch."""
        self.timings.watch_s = _seconds("seconds", seconds)

    def built(self, image: str) -> None:
        """State the artefact this step built or found."""
        self.image = self._redact(words_of(image))

    def event(self, content: EventContent | str, **data: object) -> Event:
        """Append one event of this run: its typed content, or its type and its keys by name.

        Raises UsageError for a type that no step writes (a verdict is a gate's, a freeze a rollback's), IllegalEvent where it is
        not legal now.
        """
        event_type, data = (content, data) if isinstance(content, str) else (content.type, content.as_data())
        if event_type not in STEP_EVENTS:
            raise UsageError(f"{event_type} is not written by a step: right is one of {', '.join(sorted(STEP_EVENTS))}")
        return self._append(event_type, data)

    def _append(self, event_type: str, data: Mapping[str, object]) -> Event:
        return self._log.append(parse(event_type, redacted(data, self._redact)), run=self._run, actor=STEP_ACTOR)

    def alert(self, alert: str, detail: str) -> None:
        """Raise an alert while the step still runs."""
        self.event(AlertRaised(alert=alert, detail=shortened(self._redact(words_of(detail)), STATED_BYTES)))

    @property
    def pipeline(self) -> str:
        """The pipeline of this run, as its `run.opened` says."""
        return next(content.pipeline for _, content in of_type(self.events(), RunOpened))

    @property
    def store(self) -> Path:
        """The record's store, as `pytest-deploy verify` takes it."""
        return self._log.store.folder()

    def attach(self, name: str, content: bytes) -> str:
        """Write a file into the run folder, once; its SHA-256 hex goes into `step.finished`. It and its name are cut of secrets.

        Raises UsageError for a name that the run itself writes, and for more or longer names than the event can hold.
        """
        name, content = self._redact(encodable_name(name)), self._redact_file(content)
        if name.partition("/")[0] in OWN:
            raise UsageError(f"{name!r} is not attached: the run writes that itself, give the file another name")
        if sum(len(json.dumps(one)) + _DIGEST for one in (*self.attachments, name)) > ATTACHED_BYTES:
            raise UsageError(
                f"{name[:100]!r} is not attached: this step's files are too many to be named, pack them into one"
            )
        self.folder.create(name, content)
        self.attachments[name] = hashlib.sha256(content).hexdigest()
        import allure

        allure.attach(content, name=name, attachment_type=allure.attachment_type.TEXT if _is_text(content) else None)
        return self.attachments[name]

    @property
    def folder(self) -> RunFolder:
        """The run's folder; what a step attached is read by a later one from `record.folder.path / name`."""
        return RunFolder(self._log.store, self._run)

    def events(self) -> list[Event]:
        """The run's events so far."""
        return self._log.run(self._run)

    def history(self) -> tuple[Event, ...]:
        """Every event of the environment's record so far, oldest first."""
        return self._log.history()


def append_verdict(record: StepRecord, verdict: EventContent) -> Event:
    """Append what a gate answered within a step; for the fixture `gates` alone. Raises IllegalEvent."""
    return record._append(verdict.type, verdict.as_data())  # noqa: SLF001 -- no step is to find it on its record


def _seconds(name: str, value: object) -> float:
    """Raises UsageError for what is no number of seconds: NaN can be neither recorded nor drawn."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"{name} is {words_of(value)}: right is a number of seconds")
    return float(value)


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


class Timings:
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
        self._samples.setdefault(label[:MAX_LABEL_CHARS], []).append((round(at, 3), round(took_s, 4), status))

    @property
    def count(self) -> int:
        """How many answers were kept."""
        return sum(map(len, self._samples.values()))

    def summary(self, name: str, attach: Callable[[str, bytes], str]) -> dict[str, Any] | None:
        """What `step.finished` says of it; None where nothing was measured.

        Many samples go into the file `name` through `attach`, which binds it to the event.
        """
        about = {"limit_s": self.limit_s, "watch_s": self.watch_s}
        durations = {name: round(float(seconds), 3) for name, seconds in about.items() if seconds is not None}
        if not self.count:
            return durations or None
        summary = {
            **durations,
            "samples": {label: list(map(list, samples)) for label, samples in self._samples.items()},
        }
        if self.count <= MAX_INLINE_SAMPLES and len(self._samples) <= MAX_INLINE_SAMPLES // 10:
            return summary
        attach(name, json.dumps(summary, sort_keys=True, separators=(",", ":")).encode() + b"\n")
        return {**durations, "file": name, "count": self.count}


def file_of(nodeid: str) -> str:
    """The file of a step's many samples, in the run folder: readable, and no two steps' the same."""
    readable = re.sub(r"[^a-zA-Z0-9_.-]+", "-", nodeid.removeprefix("suites/"))[:_NAME]
    return f"samples/{readable}-{hashlib.sha256(nodeid.encode()).hexdigest()[:8]}.json"


def watched(events: Iterable[Event]) -> float:
    """Seconds that the finished steps among these events watched over what serves."""
    measured = (given(content.measured, {}) for _, content in of_type(events, StepFinished))
    return round(sum(float(measurement.get("watch_s", 0.0)) for measurement in measured), 3)
