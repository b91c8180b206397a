"""Events in plain words, and values as people read them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from pytest_deploy.pipeline.step import title_of
from pytest_deploy.record.plain_text import escape_hidden
from pytest_deploy.record.event import Event
from pytest_deploy.reports.run_summary import RunStory

OUTCOMES: Mapping[str, str] = {
    "deployed": "Deployed",
    "refused": "Refused",
    "failed": "Failed, nothing was changed",
    "rolled-back": "Rolled back",
    "rollback-failed": "Rollback failed",
    "passed": "Passed",
    "not-passed": "Not passed",
    "abandoned": "Abandoned",
    "in progress": "In progress",
}
"""The outcome of a run as its heading says it."""

_MEANS: Mapping[str, str] = {
    "deployed": "{release} serves in {environment}.",
    "refused": "{release} was not deployed to {environment}: it may not go now. Nothing was changed.",
    "failed": "{release} was not deployed to {environment}. Nothing had been changed.",
    "rolled-back": "{release} was not kept in {environment}: what had been changed was undone. {now}",
    "rollback-failed": "{release} failed in {environment}, and undoing it failed too. A person is needed.",
    "passed": "{pipeline} of {release} in {environment}: every step passed.",
    "not-passed": "{pipeline} of {release} in {environment}: not every step passed.",
    "": "The events end before the run was decided.",
}

_PIPELINES = {"iq": "IQ", "oq": "OQ", "pq": "PQ"}


def meaning(story: RunStory) -> str:
    """What the outcome means, in one or two sentences."""
    started = story.of("rollback.started")
    target = started[-1].data["target"] if started else None
    nothing = target in {None, "none"}
    now = "No release had been deployed before; none serves now." if nothing else f"{escape_hidden(target)} serves again."
    return _MEANS[story.decided.get("outcome", "")].format(
        release=f"Release {story.opened['version']}",
        environment=story.opened["environment"],
        pipeline=_PIPELINES.get(story.opened["pipeline"], story.opened["pipeline"].capitalize()),
        now=now,
    )


def utc(instant: datetime) -> str:
    """`2026-11-22 20:25:07 UTC`."""
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"


def seconds(value: float | None) -> str:
    """`0.04 s`, `12.3 s`, `2 min 05 s`, `10 min`, `1 h 02 min`; a dash for None."""
    if value is None:
        return "—"
    if value < 10:  # noqa: PLR2004  two digits after the point up to here
        return f"{value:.2f} s"
    if value < 60:  # noqa: PLR2004  a minute
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:  # noqa: PLR2004  an hour
        return f"{minutes} min {rest:02d} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def fine(value: float) -> str:
    """The same for answers, which take milliseconds: `0.4 ms`, `31 ms`; from a second on as `seconds`."""
    if value >= 1:
        return seconds(value)
    return f"{value * 1000:.1f} ms" if value < 0.01 else f"{value * 1000:.0f} ms"  # noqa: PLR2004  10 ms


def _split(shares: Mapping[str, Any]) -> str:
    return ", ".join(f"{escape_hidden(revision)} {escape_hidden(percent)} %" for revision, percent in shares.items()) or "nothing"


_SAID: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "request.made": lambda data: f"Request made by {data['requested_by']}, SHA-256 {data['request_sha256'][:16]}…",
    "lease.taken": lambda data: f"Lease {data['name']} taken by {data['holder']}",
    "run.opened": lambda data: f"Run opened by {data['deployer']}: {data['pipeline']} of {data['version']}",
    "gate.refused": lambda data: f"Gate {data['gate']} refused: {data['reason']}",
    "approval.signed": lambda data: f"Signed by {data['signer']} as {data['role']}: {data['meaning']}",
    "approval.refused": lambda data: f"A signature was refused: {data['reason']}",
    "override.signed": lambda data: f"Override signed by {data['signer']}: {data['reason']}",
    "backup.created": lambda data: f"Backup {data['kind']} made, {data['bytes']} bytes",
    "migration.applied": lambda data: f"Migration {data['version']} applied in {seconds(data['duration_s'])}",
    "migration.rolled-back": lambda data: f"Migration {data['version']} rolled back in {seconds(data['duration_s'])}",
    "revision.deployed": lambda data: f"Revision {data['revision']} made, no traffic yet",
    "traffic.moved": lambda data: f"Traffic moved: {_split(data['after'])}; before: {_split(data['before'])}",
    "rollback.started": lambda data: f"Rollback started, back to {data['target'] or 'none'}: {data['cause']}",
    "rollback.finished": lambda data: f"Rollback finished in {seconds(data['duration_s'])}: {data['outcome']}",
    "phase.finished": lambda data: f"Phase {data['phase']}: {data['outcome']} in {seconds(data['duration_s'])}",
    "anchor.made": lambda data: ", ".join(
        [f"Anchored at {data['size']} events: {data['kind']}", *([data["place"]] if data.get("place") else [])]
    ),
    "record.read": lambda data: f"Read by {data['reader']}" + (f": {data['purpose']}" if data.get("purpose") else ""),
    "run.decided": lambda data: f"Decided: {data['outcome']}" + (f", {data['cause']}" if data["cause"] else ""),
}
_COVERED_BY_PHASES = frozenset({"run.planned", "phase.started", "step.started", "step.not-run", "lease.renewed"})
_COVERED_BY_ITS_TABLE = frozenset({"gate.passed"})


def said(event: Event) -> str | None:
    """The event in one sentence; None where its phase, or a table of its own, says enough."""
    if event.type in _COVERED_BY_PHASES | _COVERED_BY_ITS_TABLE:
        return None
    if event.type == "step.finished":
        if event.data["outcome"] == "passed":
            return None
        return escape_hidden(f"Step {event.data['outcome']} in {event.data['phase']}: {title_of(event.data['nodeid'])}")
    sentence = _SAID.get(event.type)
    if sentence is not None:
        return escape_hidden(sentence(event.data))
    reason = next((event.data[key] for key in ("detail", "reason", "cause") if event.data.get(key)), "")
    return escape_hidden(f"{event.type.replace('.', ' ').capitalize()}" + (f": {reason}" if reason else ""))
