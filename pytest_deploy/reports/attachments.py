"""Files of a run folder that a report shows, each held against the digest that the record states for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pytest_deploy.errors import RecordTampered
from pytest_deploy.record.event import Event

DIFF: Final = "schema/diff.txt"
PLANNED: Final = "schema/planned.diff"
_SAMPLES: Final = "samples/"
_LINES: Final = 1500
"""Lines of a diff that a page shows; the file holds the rest."""


@dataclass(frozen=True)
class SchemaDiff:
    """What a run did to the schema, or would have done."""

    what: str
    """applied: found by comparing before and after. planned: what the plan's dry run showed."""
    file: str
    """Path in the store."""
    sha256: str
    text: str
    """Its first lines; the file holds them all."""
    more: int
    """How many lines the file holds besides."""


@dataclass(frozen=True)
class Bound:
    """What was read."""

    request: Mapping[str, Any] | None = None
    """request.json, where the run has one."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Attachments that a page draws, by name."""
    diff: SchemaDiff | None = None
    plan: tuple[Event, ...] = ()
    """The events of the plan that made the request."""


RunEvents = Callable[[str], Sequence[Event]]
"""The events of any run of the same log, by its name."""


def read(folder: Path, events: Sequence[Event], of_run: RunEvents) -> Bound:
    """Read what the page of a run shows besides its events. `folder`: runs/<run> of the store.

    A request was planned by another run, and a plan asks for another: their events come from `of_run`. Raises RecordTampered where a file is not what the record says of it, or is gone.
    """
    attached: dict[str, str] = {}
    for event in events:
        if event.type == "step.finished":
            attached |= event.data["attachments"]
    texts = {name: _text(folder / name, sha256) for name, sha256 in attached.items() if name.startswith(_SAMPLES)}
    request = _request(folder, events) or _asked_for(folder, events, of_run)
    plan = (request or {}).get("plan")
    return Bound(
        request,
        texts,
        next(_diffs(folder, attached, plan), None),
        tuple(of_run(plan["run"])) if plan is not None else (),
    )


def _request(folder: Path, events: Sequence[Event]) -> Mapping[str, Any] | None:
    made = next((event.data["request_sha256"] for event in events if event.type == "request.made"), None)
    if made is None:
        return None
    said: Mapping[str, Any] = json.loads(_text(folder / "request.json", made))
    return said


def _asked_for(folder: Path, events: Sequence[Event], of_run: RunEvents) -> Mapping[str, Any] | None:
    """The request that a plan asks for; it lies in the folder of the run that people approve."""
    asked = next((event.data.get("request") for event in events if event.type == "run.decided"), None)
    return None if asked is None else _request(folder.parent / asked, of_run(asked))


def _diffs(folder: Path, attached: Mapping[str, str], plan: Mapping[str, Any] | None) -> Iterator[SchemaDiff]:
    """What was applied, else what was planned."""
    if DIFF in attached:
        yield _diff("applied", folder / DIFF, attached[DIFF])
    if plan is not None:
        yield _diff("planned", folder.parent / plan["run"] / PLANNED, plan["schema_diff_sha256"])


def _diff(what: str, path: Path, sha256: str) -> SchemaDiff:
    lines = _text(path, sha256).splitlines()
    name = path.relative_to(path.parents[3]).as_posix()
    return SchemaDiff(what, name, sha256, "\n".join(lines[:_LINES]), max(0, len(lines) - _LINES))


def _text(path: Path, sha256: str) -> str:
    """The file's text. Raises RecordTampered where it is gone or another."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecordTampered(f"{path} cannot be read, though the record names it: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise RecordTampered(f"{path} is not the file the record names: its SHA-256 is not {sha256}")
    return content.decode("utf-8", "replace")
