"""One run, or one moment, in words for a terminal: each statement with the positions of the events it rests on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from pytest_deploy.history.answers import Shown
from pytest_deploy.history.as_of import Moment, Serving
from pytest_deploy.history.row import Row
from pytest_deploy.pipeline.step import title_of
from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.plain_text import escape_cell, escape_hidden
from pytest_deploy.reports.listing import csv_lines, positions
from pytest_deploy.reports.wording import said, seconds, utc


class Said(NamedTuple):
    """One statement."""

    about: str
    """Who, what, when: what it is about, in a word or two."""
    text: str
    events: tuple[int, ...]
    """Positions it rests on."""


def tell_run(run: Shown) -> tuple[Said, ...]:
    """A run from its request to what was said of it after it closed."""
    row = Row.of(run.events) if any(event.type in {"request.made", "run.opened"} for event in run.events) else None
    first, last = run.events[0], run.events[-1]
    told = [Said("run", f"{first.run}, in {run.source}", (first.seq,))]
    if row is not None:
        took = f" in {seconds(row.duration_s)}" if row.duration_s is not None else ""
        cause = f": {row.cause}" if row.cause else ""
        ends = tuple(event.seq for event in run.events if event.type in _ENDS)
        told.append(Said("outcome", f"{row.outcome}{took}{cause}", ends or (last.seq,)))
    for event in run.events:
        told += _said(event)
    told += [
        Said(
            "anchored",
            f"tlog {run.checkpoint.split()[1]} {event.data['size']} {event.data['root']}, {event.data['kind']}",
            (event.seq,),
        )
        for event in run.anchors
    ]
    told.append(Said("anchor", run.checkpoint, (last.seq,)))
    return tuple(told)


def tell_moment(moment: Moment) -> tuple[Said, ...]:
    """What served then, its run, who approved it, what was passed over."""
    told = [Said("at", f"{moment.instant}, {moment.source}", ())]
    if (last := moment.newest) is not None:
        told.append(Said("known to", f"{stamp(last.time)}: the record ends before that instant", (last.seq,)))
    if not moment.serving:
        told.append(Said("served", "nothing that this record knows of", ()))
    for serving in moment.serving:
        told += _served(serving, moment)
    told += [Said("in progress", f"{run}: what served may have been on its way", ()) for run in moment.in_progress]
    return tuple(told)


def passed_over(events: Sequence[Event]) -> tuple[Said, ...]:
    """What a run went without: gates overridden, deviations accepted, phases left out, an uncommitted tree, values set by hand."""
    return tuple(statement for event in events for statement in _passed_over(event))


def run_lines(run: Shown, form: str) -> Iterator[str]:
    """A run as a table, or as JSON with its events whole."""
    told = tell_run(run)
    if form == "table":
        yield from _table(told)
        return
    events = [{**_event(event), "file": entries.name(event.seq)} for event in run.events]
    yield json.dumps(
        {
            "store": run.source,
            "run": run.events[0].run,
            "told": _objects(told),
            "anchor": run.checkpoint,
            "events": events,
        },
        indent=2,
    )


def moments(found: Sequence[Moment], form: str) -> Iterator[str]:
    """Moments of several environments, in one of listing's formats."""
    told = [(moment, tell_moment(moment)) for moment in found]
    objects = [{"store": moment.source, "instant": moment.instant, "told": _objects(said)} for moment, said in told]
    if form == "table":
        for number, (_, statements) in enumerate(told):
            yield from ["", *_table(statements)] if number else _table(statements)
    elif form == "json":
        yield json.dumps(objects, indent=2)
    elif form == "jsonl":
        yield from map(json.dumps, objects)
    else:
        rows = [
            {"store": moment.source, "instant": moment.instant, **one}
            for moment, said in told
            for one in _objects(said)
        ]
        yield from csv_lines(rows, ("store", "instant", "about", "text", "events"))


def _event(event: Event) -> dict[str, Any]:
    return {
        "seq": event.seq, "time": stamp(event.time), "type": event.type, "actor": event.actor, "id": event.id,
        "prev": event.prev, "data": event.data,
    }  # fmt: skip


def _objects(told: Sequence[Said]) -> list[dict[str, Any]]:
    return [{"about": one.about, "text": one.text, "events": list(one.events)} for one in told]


def _table(told: Sequence[Said]) -> Iterator[str]:
    """What it is about, the words, the positions of the events they rest on."""
    width = max(len(one.about) for one in told)
    for one in told:
        rests = f"  [{positions(one.events)}]" if one.events else ""
        yield f"{one.about:<{width}}  {escape_cell(one.text)}{rests}"


def _served(serving: Serving, moment: Moment) -> Iterator[Said]:
    row = serving.row
    moved = (moment.moved.seq,) if moment.moved is not None else ()
    share = "" if serving.percent == 100 else f"{serving.percent} % of the traffic: "  # noqa: PLR2004 -- all of it
    name = f" ({serving.revision})" if serving.revision else ""
    if row is None:
        yield Said("served", f"{share}revision {serving.revision}, which no run of this record made", moved)
        return
    yield Said(
        "served",
        f"{share}release {row.version}{name}, artefact {row.digest or 'not recorded'}, commit {row.commit}",
        (*row.events[:1], *moved),
    )
    yield Said(
        "run",
        f"{row.run}, {row.outcome}, began {row.began}" + (f", closed {row.ended}" if row.ended else ""),
        row.events,
    )
    yield Said("deployer", row.deployer, tuple(e.seq for e in serving.events if e.type == "run.opened"))
    approvals = [statement for event in serving.events if event.type == "approval.signed" for statement in _said(event)]
    yield from approvals or [Said("approved", "by nobody: policy asked for no approval, or none was recorded", ())]
    yield from passed_over(serving.events) or [Said("passed over", "nothing", ())]


def _opened(event: Event) -> Iterator[Said]:
    data = event.data
    yield Said("who", data["deployer"], (event.seq,))
    yield Said(
        "what",
        f"{data['pipeline']} of {data['version']}, commit {data['commit']}, to {data['environment']}",
        (event.seq,),
    )
    yield Said("when", f"opened {utc(event.time)}", (event.seq,))
    if data["reason"]:
        yield Said("why", data["reason"], (event.seq,))
    yield from _passed_over(event)


def _approved(event: Event) -> Iterator[Said]:
    data = event.data
    name = data.get("printed_name") or data["signer"]
    at = data.get("signed_at") or utc(event.time)
    comment = f"; {data['comment']}" if data.get("comment") else ""
    yield Said(
        "approved", f"{name} <{data['signer']}> as {data['role']}, {at}: {data['meaning']}{comment}", (event.seq,)
    )


def _signed_off(event: Event) -> Iterator[Said]:
    data = event.data
    yield Said(
        "signed off",
        f"{data.get('printed_name') or data['signer']} as {data['role']}, {utc(event.time)}: {data['meaning']}",
        (event.seq,),
    )


def _amended(event: Event) -> Iterator[Said]:
    data = event.data
    what = f"event {data['amends']} {data.get('key', '')}".rstrip() if "amends" in data else "the record"
    values = f": {escape_hidden(data['old'])} -> {escape_hidden(data['new'])}" if "old" in data and "new" in data else ""
    yield Said("amended", f"{what}{values}; {data['reason']} ({data['signer']}, {utc(event.time)})", (event.seq,))


def _step(event: Event) -> Iterator[Said]:
    data = event.data
    if data["outcome"] != "passed":
        message = f": {data['message'].splitlines()[0]}" if data["message"] else ""
        yield Said("step", f"{data['outcome']} in {data['phase']}: {title_of(data['nodeid'])}{message}", (event.seq,))


def _gate(event: Event) -> Iterator[Said]:
    if event.type == "gate.refused":
        yield Said(
            "refused", f"gate {event.data['gate']} at {event.data['point']}: {event.data['reason']}", (event.seq,)
        )
    yield from _passed_over(event)


def _passed_over(event: Event) -> Iterator[Said]:
    data, seq = event.data, (event.seq,)
    match event.type:
        case "override.signed":
            incident = f" for {data['incident']}" if data.get("incident") else ""
            yield Said(
                "passed over",
                f"gate {data.get('gate', 'unnamed')}{incident}, signed by {data['signer']}: {data['reason']}",
                seq,
            )
        case "gate.passed" if data["inputs"].get("override"):
            yield Said("passed over", f"gate {data['gate']} at {data['point']}: {data['reason']}", seq)
        case "deviation.accepted":
            what = data.get("deviation") or data.get("nodeid") or "deviation"
            yield Said("passed over", f"{what}, accepted by {data['signer']}: {data['reason']}", seq)
        case "run.planned":
            for phase, why in data.get("omitted", {}).items():
                yield Said("passed over", f"phase {phase}: {escape_hidden(why)}", seq)
        case "run.opened":
            if data["dirty"]:
                yield Said("passed over", "the tree had uncommitted changes", seq)
            for key, value in data.get("sets", {}).items():
                yield Said("passed over", f"set by hand: {key}={escape_hidden(value)}", seq)


_ENDS: Final = frozenset({"request.voided", "run.decided", "run.closed", "run.abandoned"})
_HEADINGS: Final[Mapping[str, str]] = {
    "request.made": "request", "request.voided": "voided", "approval.refused": "not counted", "backup.created": "backup",
    "migration.applied": "migration", "migration.rolled-back": "migration", "revision.deployed": "revision", "traffic.moved": "traffic",
    "rollback.started": "rollback", "rollback.finished": "rollback", "run.decided": "decided", "run.closed": "closed",
    "run.abandoned": "abandoned", "environment.frozen": "frozen", "environment.released": "thawed", "alert.raised": "alert",
    "incident.opened": "incident", "notification.sent": "told", "notification.failed": "not told", "anchor.made": "anchored",
    "record.read": "read", "clock.skewed": "clock",
}  # fmt: skip
_OWN: Final[Mapping[str, Callable[[Event], Iterator[Said]]]] = {
    "run.opened": _opened, "approval.signed": _approved, "signoff.signed": _signed_off, "record.amended": _amended,
    "step.finished": _step, "gate.passed": _gate, "gate.refused": _gate, "override.signed": _passed_over,
    "deviation.accepted": _passed_over, "run.planned": _passed_over,
}  # fmt: skip


def _said(event: Event) -> Iterator[Said]:
    """What an event says in a run's telling; steps that passed, phases and leases say nothing."""
    own = _OWN.get(event.type)
    if own is not None:
        yield from own(event)
    elif event.type in _HEADINGS:
        sentence = said(event)
        if sentence is not None:
            yield Said(_HEADINGS[event.type], sentence, (event.seq,))
