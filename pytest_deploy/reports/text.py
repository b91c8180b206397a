"""Runs in words for a terminal or a program: a listing, one run, one moment; each statement with the positions of the events it rests on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Final, NamedTuple

from pytest_deploy.history.history import AsOf, Listed, Listing, RunEvents, Serving
from pytest_deploy.history.runs import Row
from pytest_deploy.pipeline.steps_lock import title_of
from pytest_deploy.record import log_entry as entries
from pytest_deploy.record import meanings
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.countersigned import countersigned_amendments, countersigned_overrides
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import (
    UNSET,
    AnchorMade,
    ApprovalSigned,
    DeviationAccepted,
    GatePassed,
    GateRefused,
    OverrideSigned,
    RecordAmended,
    RecordAnnotated,
    RunOpened,
    SignoffSigned,
    StepFinished,
    given,
)
from pytest_deploy.record.plain_text import escape_cell, escape_hidden
from pytest_deploy.reports.assertions import Answer, answer_object, answer_table
from pytest_deploy.reports.format import aligned, csv_lines, positions, seconds, utc
from pytest_deploy.reports.run_summary import describe_event

FORMATS: Final = ("table", "json", "jsonl", "csv")
KEYS: Final = ("store", *(field.name for field in fields(Row)), "results", "files")
"""What a run has in JSON, and the columns of CSV."""
_EXCEPTION: Final = "passed over"
"""The label of what a run went without."""
_COMMIT_DIGITS: Final = 8
_COLUMNS: Final = (
    *("began", "run", "pipeline", "outcome", "version", "commit"),
    *("deployer", "approvers", "bypassed", "took", "events", "cause"),
)
_CAUSE_CHARS: Final = 120
"""Of a cause in a table; `show` has it whole."""


def listing_lines(listing: Listing, form: str, about: Sequence[Answer] = ()) -> Iterator[str]:
    """The runs, and before them when each assertion that was asked for was exercised last."""
    if form == "table":
        yield from answer_table(about)
        yield from _listing_table(listing)
    elif form == "json":
        asked = {"assertions": [answer_object(answer) for answer in about]} if about else {}
        runs = [_object(listed) for listed in listing.runs]
        yield json.dumps({**asked, "total": listing.total, "runs": runs}, indent=2)
    elif form == "jsonl":
        yield from (json.dumps(_object(listed)) for listed in listing.runs)
    else:
        yield from csv_lines((_object(listed) for listed in listing.runs), KEYS)


def _listing_table(listing: Listing) -> Iterator[str]:
    if not listing.runs:
        yield "no matching run"
        return
    rows = [
        (
            *(row.began[:19] + "Z", row.run, row.pipeline or "-", _outcome(row), row.version or "-", row.commit[:_COMMIT_DIGITS] or "-"),
            *(row.deployer or row.requested_by or "-", ", ".join(row.approvers) or "-", ", ".join(row.bypassed) or "-"),
            *(seconds(row.duration_s), positions(listed.events), _cause_cell(row)),
        )
        for listed in listing.runs
        for row in (listed.row,)
    ]  # fmt: skip
    yield from aligned([_COLUMNS, *(tuple(map(escape_cell, row)) for row in rows)])
    yield ""
    sources = sorted({escape_cell(listed.source) for listed in listing.runs})
    number = "1 run" if listing.total == 1 else f"{listing.total} runs"
    more = "" if listing.total == len(listing.runs) else f", the newest {len(listing.runs)} shown (--limit 0: all)"
    yield f"{number}{more}; times are UTC"
    yield f"events: the positions each line rests on, in {', '.join(f'reports/{source}/log/' for source in sources)}"


def _outcome(row: Row) -> str:
    """As the events say it; what was corrected since, and who rejected its record, is said beside it, and `show` says more."""
    rejected = [review.rpartition(": ")[0] for review in row.reviews if review.endswith(f": {meanings.REJECTED}")]
    beside = [f"{what}: {', '.join(who)}" for what, who in (("amended", row.amended), ("rejected", rejected)) if who]
    return f"{row.outcome} ({'; '.join(beside)})" if beside else row.outcome


def _object(listed: Listed) -> dict[str, Any]:
    files = [entries.name(seq) for seq in listed.events]
    results = [f"{assertion} {result}" for assertion, result in listed.results]
    found = {"events": listed.events, "results": results, "files": files}
    return {"store": listed.source, **asdict(listed.row), **found}


def _cause_cell(row: Row) -> str:
    """Why it ended so, in one line that a table can hold."""
    cause = " ".join(row.cause.split())
    return (cause if len(cause) <= _CAUSE_CHARS else f"{cause[: _CAUSE_CHARS - 1]}…") or "-"


class Sentence(NamedTuple):
    """One statement about a run or a moment."""

    about: str
    text: str
    events: tuple[int, ...]
    """Positions it rests on."""


def describe_run(run: RunEvents) -> tuple[Sentence, ...]:
    """A run from its request to what was said of it after it closed."""
    first, last = run.events[0], run.events[-1]
    sentences = [Sentence("run", f"{first.run}, in {run.source}", (first.seq,))]
    if any(event.type in {"request.made", "run.opened"} for event in run.events):
        row = Row.of(run.events)
        took = f" in {seconds(row.duration_s)}" if row.duration_s is not None else ""
        cause = f": {row.cause}" if row.cause else ""
        ending = {GateRefused.type} if row.refused_by else _ENDS
        ends = tuple(event.seq for event in run.events if event.type in ending)
        sentences.append(Sentence("outcome", f"{row.outcome}{took}{cause}", ends or (last.seq,)))
    countersigned = countersigned_overrides(run.events) | countersigned_amendments(run.events)
    for event in run.events:
        sentences += _sentences(event, countersigned)
    for event in run.anchors:
        if isinstance(made := event.content, AnchorMade):
            line = f"tlog {run.checkpoint.split()[1]} {made.size} {made.root}, {made.kind}"
            sentences.append(Sentence("anchored", line, (event.seq,)))
    sentences.append(Sentence("anchor", run.checkpoint, (last.seq,)))
    return tuple(sentences)


def describe_moment(moment: AsOf) -> tuple[Sentence, ...]:
    """What served then, its run, who approved it, what it went without."""
    sentences = [Sentence("at", f"{moment.instant}, {moment.source}", ())]
    if (last := moment.newest) is not None:
        sentences.append(Sentence("known to", f"{stamp(last.time)}: the record ends before that instant", (last.seq,)))
    if not moment.serving:
        sentences.append(Sentence("served", "nothing that this record knows of", ()))
    for serving in moment.serving:
        sentences += _serving(serving, moment)
    sentences += [
        Sentence("in progress", f"{run}: what served may have been on its way", ()) for run in moment.in_progress
    ]
    return tuple(sentences)


def exceptions(events: Sequence[Event]) -> tuple[Sentence, ...]:
    """What a run went without: gates overridden, deviations accepted, phases left out, an uncommitted tree, values set by hand."""
    return tuple(sentence for event in events for sentence in _exceptions_in(event))


def run_lines(run: RunEvents, form: str) -> Iterator[str]:
    """A run as a table, or as JSON with its events whole."""
    sentences = describe_run(run)
    if form == "table":
        yield from _sentence_table(sentences)
        return
    events = [
        {
            "seq": event.seq, "time": stamp(event.time), "type": event.type, "actor": event.actor, "id": event.id,
            "prev": event.prev, "data": dict(sorted(event.content.as_data().items())), "file": entries.name(event.seq),
        }
        for event in run.events
    ]  # fmt: skip
    yield json.dumps(
        {
            "store": run.source,
            "run": run.events[0].run,
            "told": [sentence._asdict() for sentence in sentences],
            "anchor": run.checkpoint,
            "events": events,
        },
        indent=2,
    )


def moment_lines(moments: Sequence[AsOf], form: str) -> Iterator[str]:
    described = [(moment, describe_moment(moment)) for moment in moments]
    objects: list[dict[str, Any]] = [
        {"store": moment.source, "instant": moment.instant, "told": [sentence._asdict() for sentence in sentences]}
        for moment, sentences in described
    ]
    if form == "table":
        for number, (_, sentences) in enumerate(described):
            yield from ["", *_sentence_table(sentences)] if number else _sentence_table(sentences)
    elif form == "json":
        yield json.dumps(objects, indent=2)
    elif form == "jsonl":
        yield from map(json.dumps, objects)
    else:
        rows = [{**moment, **sentence} for moment in objects for sentence in moment["told"]]
        yield from csv_lines(rows, ("store", "instant", "about", "text", "events"))


def _sentence_table(sentences: Sequence[Sentence]) -> Iterator[str]:
    width = max(len(sentence.about) for sentence in sentences)
    for sentence in sentences:
        rests = f"  [{positions(sentence.events)}]" if sentence.events else ""
        yield f"{sentence.about:<{width}}  {escape_cell(sentence.text)}{rests}"


def _serving(serving: Serving, moment: AsOf) -> Iterator[Sentence]:
    row = serving.row
    moved = (moment.moved.seq,) if moment.moved is not None else ()
    share = "" if serving.percent == 100 else f"{serving.percent} % of the traffic: "  # noqa: PLR2004 -- all of it
    name = f" ({serving.revision})" if serving.revision else ""
    if row is None:
        yield Sentence("served", f"{share}revision {serving.revision}, which no run of this record made", moved)
        return
    yield Sentence(
        "served",
        f"{share}release {row.version}{name}, artefact {row.digest or 'not recorded'}, commit {row.commit}",
        (*row.events[:1], *moved),
    )
    yield Sentence(
        "run",
        f"{row.run}, {row.outcome}, began {row.began}" + (f", closed {row.ended}" if row.ended else ""),
        row.events,
    )
    yield Sentence("deployer", row.deployer, tuple(e.seq for e in serving.events if e.type == "run.opened"))
    approvals = [
        sentence for event in serving.events if event.type == "approval.signed" for sentence in _sentences(event)
    ]
    yield from approvals or [Sentence("approved", "by nobody: policy asked for no approval, or none was recorded", ())]
    countersigned = countersigned_overrides(serving.events)
    for event in serving.events:
        if event.type == OverrideSigned.type:
            yield from _sentences(event, countersigned)
    yield from exceptions(serving.events) or [Sentence(_EXCEPTION, "nothing", ())]


_ENDS: Final = frozenset({"request.voided", "run.decided", "run.closed", "run.abandoned"})
_LABELS: Final[Mapping[str, str]] = {
    "request.made": "request", "request.voided": "voided", "request.rejected": "rejected", "approval.refused": "not counted", "backup.created": "backup",
    "migration.applied": "migration", "migration.rolled-back": "migration", "revision.deployed": "revision", "traffic.moved": "traffic",
    "rollback.started": "rollback", "rollback.finished": "rollback", "run.decided": "decided", "run.closed": "closed",
    "run.abandoned": "abandoned", "environment.frozen": "frozen", "environment.released": "thawed", "alert.raised": "alert",
    "notification.sent": "told", "notification.failed": "not told", "anchor.made": "anchored",
    "record.read": "read", "clock.skewed": "clock",
}  # fmt: skip
"""What the sentence of `describe_event` is about, by event type."""


def _sentences(event: Event, countersigned: frozenset[int] = frozenset()) -> Iterator[Sentence]:  # noqa: C901 - one arm a type
    """What an event says of its run; steps that passed, phases and leases say nothing.

    `countersigned`: the overrides and amendments that two people signed.
    """
    rests_on = (event.seq,)
    match event.content:
        case RunOpened() as opened:
            what = f"{opened.pipeline} of {opened.version}, commit {opened.commit}, to {opened.environment}"
            yield Sentence("who", opened.deployer, rests_on)
            yield Sentence("what", what, rests_on)
            yield Sentence("when", f"opened {utc(event.time)}", rests_on)
            if opened.reason:
                yield Sentence("why", opened.reason, rests_on)
        case ApprovalSigned() as signed:
            name = given(signed.printed_name) or signed.signer
            signed_at = given(signed.signed_at)
            at = stamp(signed_at) if signed_at is not None else utc(event.time)
            comment = f"; {signed.comment}" if given(signed.comment) else ""
            text = f"{name} <{signed.signer}> as {signed.role}, {at}: {signed.meaning}{comment}"
            yield Sentence("approved", text, rests_on)
        case OverrideSigned() as signed:
            yield Sentence("override", _overridden(signed, counts=event.seq in countersigned), rests_on)
        case SignoffSigned() as signed:
            name = given(signed.printed_name) or signed.signer
            found = f"; {signed.comment}" if given(signed.comment) else ""
            text = f"{name} as {signed.role}, {utc(event.time)}: {signed.meaning}{found}"
            yield Sentence("signed off", text, rests_on)
        case RecordAmended() as amended:
            counts = "" if event.seq in countersigned else "; signed by one, counts not yet"
            yield Sentence("amended", f"{_amended(amended)} ({amended.signer}, {utc(event.time)}){counts}", rests_on)
        case RecordAnnotated() as noted:
            about = f"event {noted.annotates} {noted.key}".rstrip()
            yield Sentence("note", f"{about}: {noted.note} ({noted.signer}, {utc(event.time)})", rests_on)
        case StepFinished(outcome=outcome, phase=phase, nodeid=nodeid, message=message):
            if outcome not in {"passed", "not-applicable"}:
                first_line = f": {message.splitlines()[0]}" if message else ""
                yield Sentence("step", f"{outcome} in {phase}: {title_of(nodeid)}{first_line}", rests_on)
        case GateRefused() as refused:
            result = refused.verdict.replace("-", " ")
            yield Sentence(result, f"gate {refused.gate} at {refused.point}: {refused.reason}", rests_on)
        case _:
            if event.type in _LABELS and (described := describe_event(event)) is not None:
                yield Sentence(_LABELS[event.type], described, rests_on)
    yield from _exceptions_in(event)


def _overridden(signed: OverrideSigned, *, counts: bool) -> str:
    incident = f" for {signed.incident}" if given(signed.incident) else ""
    alone = "" if counts else "; signed by one, counts not yet"
    return f"gate {given(signed.gate, 'unnamed')}{incident}, signed by {signed.signer}: {signed.reason}{alone}"


def _amended(amended: RecordAmended) -> str:
    what = "the record"
    if amended.amends is not UNSET:
        what = f"event {amended.amends} {given(amended.key, '')}".rstrip()
    values = ""
    if amended.old is not UNSET and amended.new is not UNSET:
        values = f": {escape_hidden(amended.old)} -> {escape_hidden(amended.new)}"
    return f"{what}{values}; {amended.reason}"


def _exceptions_in(event: Event) -> Iterator[Sentence]:
    texts: list[str] = []
    match event.content:
        case GatePassed() as passed if passed.inputs.get("override"):
            texts.append(f"gate {passed.gate} at {passed.point}: {passed.reason}")
        case DeviationAccepted() as accepted:
            what = given(accepted.deviation) or given(accepted.nodeid) or "deviation"
            texts.append(f"{what}, accepted by {accepted.signer}: {accepted.reason}")
        case RunOpened() as opened:
            texts += ["the tree had uncommitted changes"] * opened.dirty
            replaced = given(opened.substituted, {})
            texts += [
                f"set by hand: {key}={escape_hidden(value)}"
                for key, value in given(opened.sets, {}).items()
                if key not in replaced
            ]
            texts += [
                f"{key}: policy has {escape_hidden(values['policy'])}, used {escape_hidden(values['used'])}"
                for key, values in replaced.items()
            ]
    return (Sentence(_EXCEPTION, text, (event.seq,)) for text in texts)
