"""`pytest-deploy amend`, `annotate`: what a person stated is corrected by two others; beside what was observed stands a note.

The set of what was stated is the types' own (`StatedText` in `record/events`): everything else in the record was observed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from pytest_deploy.approvals.after_run import Amendment, Countersignature, Note, event_hash
from pytest_deploy.commands import Env, Key, Rehearse, Role
from pytest_deploy.commands.ask import Question, Show, Yes
from pytest_deploy.commands.sign_off import Signing, require_reason
from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.countersigned import amendments_awaiting, as_amended
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import RequestMade, RunOpened, fields
from pytest_deploy.record.plain_text import escape_line, require_plain, says_something
from pytest_deploy.record.run_id import NO_RUN
from pytest_deploy.record.run_state import FINISHED, LogState
from pytest_deploy.workspace import NOT_SAID, Workspace


def amend(
    env: Env,
    seq: Annotated[int, typer.Argument(metavar="SEQ", help="the event, by its number")],
    *,
    field: Annotated[str, typer.Option(metavar="KEY", help="the key of its data that a person stated, e.g. reason")],
    to: Annotated[str, typer.Option(metavar="VALUE", help="the right text")],
    reason: Annotated[str, typer.Option(help="why; stands in what is signed")],
    role: Role = "",
    key: Key = None,
    rehearse: Rehearse = False,
    yes: Yes = False,
    show: Show = False,
) -> None:
    """Sign a correction of what a person stated; not as the deployer, nor as who stated it. It counts when another person signs the same."""
    question = Question.of("amend", yes=yes, show=show)
    require_reason("amend", reason)
    signing = Signing.of(Workspace(Path.cwd(), env, rehearsal=rehearse), role=role, key=key)
    events = signing.log.history()
    event = _of_finished_run(events, seq, field)
    known = fields(type(event.content))
    if not known[field].stated:
        stated = ", ".join(name for name, each in known.items() if each.stated) or "nothing"
        raise Refused(
            f"{field} of event {seq} ({event.type}) was observed, and is amended by nobody; stated in it: {stated}. Put a note "
            f"beside it: `{signing.workspace.command_line('annotate', str(seq), '--field', field, '--note', NOT_SAID)}`"
        )
    _refuse_interested(signing, events, event)
    old = as_amended(events, event, field)
    require_plain("--to", to, longest=None)  # whether an event can hold it is judged below, old value and all
    if wrong := replace(event, data={**event.content.as_data(), field: to}).fault:
        raise Refused(f"--to {to!r} does not fit: {wrong}")
    if to == old:
        raise Refused(f"{field} of event {seq} is {json.dumps(old)} already; nothing to amend")
    # Another person's same amendment that waits: this one confirms it.
    waiting = amendments_awaiting(events, seq, field, to)
    if any(one.signer == signing.person.email for _, one in waiting):
        raise Refused(f"{signing.person.email} has signed this already: another person must sign the same")
    typer.echo(f"event     {seq}: {event.type} of {event.run}, {stamp(event.time)}")
    typer.echo(f"amends    {field}")
    typer.echo(f"old       {json.dumps(old)}")
    typer.echo(f"new       {json.dumps(to)}")
    typer.echo(f"reason    {reason}")
    for first, one in waiting[:1]:
        typer.echo(escape_line(f"confirms  event {first.seq}, signed by {one.signer}: {one.reason}"))
    amendment = Amendment(
        **signing.signer_fields(Amendment.MEANING),
        run=event.run, amends=seq, event_sha256=event_hash(event), key=field, old=old, new=to, reason=reason,
    )  # fmt: skip
    if waiting:
        said = {**asdict(amendment), "meaning": Countersignature.MEANING}
        signing.sign(Countersignature(**said, countersigns=waiting[0][0].seq), question)
    else:
        typer.echo("counts    once another person, who neither deployed nor stated it, has signed the same")
        signing.sign(amendment, question)


def annotate(
    env: Env,
    seq: Annotated[int, typer.Argument(metavar="SEQ", help="the event, by its number")],
    *,
    note: Annotated[str, typer.Option(help="what is to be known beside it; stands in what is signed")],
    field: Annotated[
        str, typer.Option(metavar="KEY", help="the key of its data that is meant; none: the whole event")
    ] = "",
    role: Role = "",
    key: Key = None,
    rehearse: Rehearse = False,
    yes: Yes = False,
    show: Show = False,
) -> None:
    """Sign a note beside an event of a finished run, or beside one value of it; what the event says stands everywhere."""
    question = Question.of("annotate", yes=yes, show=show)
    if not says_something(note):
        raise UsageError("pytest-deploy annotate: say --note: it is read by an inspector years later")
    require_plain("--note", note)
    signing = Signing.of(Workspace(Path.cwd(), env, rehearsal=rehearse), role=role, key=key)
    event = _of_finished_run(signing.log.history(), seq, field)
    typer.echo(f"event     {seq}: {event.type} of {event.run}, {stamp(event.time)}")
    if field:
        typer.echo(escape_line(f"beside    {field}: {json.dumps(event.content.as_data()[field])}"))
    typer.echo(f"note      {note}")
    statement = Note(
        **signing.signer_fields(Note.MEANING),
        run=event.run, annotates=seq, event_sha256=event_hash(event), key=field, note=note,
    )  # fmt: skip
    signing.sign(statement, question)


def _of_finished_run(events: tuple[Event, ...], seq: int, field: str) -> Event:
    """The event, where it is one of a finished run that says `field`, and counts nobody's signature. Raises Refused."""
    if not 0 <= seq < len(events):
        raise Refused(f"there is no event {seq}: the log holds 0 to {len(events) - 1}")
    event = events[seq]
    if event.run == NO_RUN:
        raise Refused(f"event {seq} ({event.type}) belongs to no run: state the correction by what it was about")
    if LogState.of(events).run(event.run).stage not in FINISHED:
        raise Refused(f"{event.run} is in progress or waits to be run: only the events of a finished run are amended")
    data = event.content.as_data()
    if "signature_sha256" in data:
        raise Refused(
            f"event {seq} ({event.type}) counts what a person signed: that person signs anew, nobody amends it"
        )
    if field and field not in data:
        raise Refused(f"event {seq} ({event.type}) has no {field!r}; it has {', '.join(sorted(data))}")
    return event


def _refuse_interested(signing: Signing, events: tuple[Event, ...], event: Event) -> None:
    """Nobody corrects the record of their own deployment, nor their own statement. Raises Refused, also where they are unknown."""
    own = [each for each in events if each.run == event.run]
    actors = {f"deployed {event.run}": [opened.deployer for _, opened in of_type(own, RunOpened)]}
    actors[f"asked for {event.run}"] = [made.requested_by for _, made in of_type(own, RequestMade)]
    actors["stated it"] = [] if event.actor.startswith("system:") else [event.actor]
    for did, who in ((did, who) for did, all_of_them in actors.items() for who in all_of_them):
        person = signing.roster.of_actor(who)
        if person is None:
            raise Refused(
                f"{who} {did} and is nobody in the roster, so it cannot be told who may amend it: enroll them"
            )
        if person.email == signing.person.email:
            raise Refused(f"{person.printed_name} {did} and cannot amend it: others must")
