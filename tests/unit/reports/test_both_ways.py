"""Whatever an event says can be read on the page for people, not in its raw events alone; what cannot is listed here with its reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from jinja2 import UndefinedError

from pytest_deploy.record.event import Event
from pytest_deploy.record.events import TYPES, fields, parse
from pytest_deploy.reports.run_page import render_run
from tests.unit.reports import sample_runs
from tests.unit.reports.sample_runs import CHECKPOINT, RunBuilder

APART = re.compile(
    "<style>.*?</style>|<script>.*?</script>"
    '|<table class="raw".*?</table>|<section aria-labelledby="verify">.*?</section>',
    re.DOTALL,
)
"""What is not for reading, and what prints every event as it is."""

SIGNED = {"file", "sha256", "signature_sha256", "request_sha256"}
"""Of a signed file: what binds it, which the printed commands check."""
RAW_ALONE: Mapping[str, set[str]] = {
    "approval.signed": SIGNED,
    "override.signed": SIGNED | {"expires"},
    "migration.applied": {"sha256"},  # of the file, which the request holds
    "migration.rolled-back": {"sha256"},
    "request.made": {"expires", "image"},  # the run shows its own, which is this one
    "revision.deployed": {"env_names", "url"},
    "rollback.finished": {"target"},  # its beginning says it
    "run.decided": {"watch_s"},  # the steps that watched say it
    "run.planned": {"steps", "conditional", "steps_sha256"},  # each step is shown
    "step.finished": {"image"},  # the cover shows the run's
    "step.started": {"phase"},  # its end says it
}


def odd_ends() -> list[Event]:
    """What the whole runs leave out: a remedy, a phase that says why, a signer's comment, a series of answers."""
    builder = RunBuilder()
    builder.opened(options={"numprocesses": 2})
    builder.add(
        "approval.signed", "q@example.org", file="f", sha256="a1" * 32, signature_sha256="a2" * 32, role="QA Lead",
        signer="q@example.org", meaning="approves", request_sha256="7d" * 32, comment="after the backup is proven",
    )  # fmt: skip
    builder.add(
        "gate.refused", gate="incidents", point="lease", inputs={"open": ["INC-7"]}, verdict="refused", reason="INC-7 is open",
        earliest_start=None, remedy="close it",
    )  # fmt: skip
    builder.add("phase.started", phase="build")
    builder.step("suites/build/test_a.py::test_it", message="it took too long", warnings=["it was slow"])
    builder.add("phase.finished", phase="build", outcome="failed", duration_s=9.0, cause="closed by its budget")
    return builder.events


ALL: Mapping[str, Callable[[], list[Event]]] = {
    "deployed": sample_runs.deployed, "rolled back": sample_runs.rolled_back, "approved": sample_runs.approved, "planned": sample_runs.planned,
    "odd ends": odd_ends,
}  # fmt: skip


def read(events: Sequence[Event]) -> str:
    """The page as a person reads it."""
    return re.sub("<[^>]*>", "\0", APART.sub("", render_run(events, checkpoint=CHECKPOINT)))


def another(value: Any) -> Any:
    """A value of the same kind that says something else."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 7919
    if isinstance(value, list) and value:
        return [another(value[0]), *value[1:]]
    if isinstance(value, dict) and value:
        first = next(iter(value))
        return {**value, first: another(value[first])}
    empty: Mapping[type, Any] = {list: ["otherwise"], dict: {"otherwise": "otherwise"}, str: f"otherwise {value}"}
    return empty.get(type(value), "otherwise")


FITTING: Mapping[str, Any] = {
    "sha256": "77" * 32,
    "time": "2031-01-01T00:00:00.000Z",
    "number": 7919,
    "object": {"a": "b"},
}


def another_that_fits(event: Event, key: str) -> Any:
    """What else may stand under a key of the event."""
    value, kinds = event.data[key], fields(TYPES[event.type])[key].kinds
    if len(kinds) > 1:  # the words it may be
        return next(word for word in kinds if word != value)
    if value is None or kinds[0] in {"sha256", "time"}:
        return FITTING.get(kinds[0], "otherwise")
    return another(value)


def unread(events: Sequence[Event]) -> set[tuple[str, str]]:
    """Type and key of what can be changed in an event without a word of the page changing; each seen at every event that has it."""
    page = read(events)
    found: set[tuple[str, str]] = set()
    shown: set[tuple[str, str]] = set()
    for at, event in enumerate(events):
        for key in event.data:
            if (what := (event.type, key)) in shown:
                continue
            data = {**event.data, key: another_that_fits(event, key)}
            parse(event.type, data)
            try:
                changed = read([*events[:at], replace(event, data=data), *events[at + 1 :]])
            except (KeyError, ValueError, TypeError, UndefinedError):  # the page cannot be made of it: it depends on it
                changed = ""
            (shown if changed != page else found).add(what)
    return found - shown


@pytest.mark.parametrize("name", ALL)
def test_what_an_event_says_is_read_on_the_page_or_listed_as_standing_in_the_raw_events_alone(name: str) -> None:
    found = unread(ALL[name]())

    assert {what for what in found if what[1] not in RAW_ALONE.get(what[0], set())} == set()


def test_what_is_listed_as_standing_in_the_raw_events_alone_is_read_nowhere() -> None:
    found = set.union(*(unread(tell()) for tell in ALL.values()))

    assert {(type_, key) for type_, keys in RAW_ALONE.items() for key in keys} == found
