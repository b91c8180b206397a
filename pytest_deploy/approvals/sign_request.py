"""Leave a signature under a request: two files, created and never replaced, and the event that counts them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from pytest_deploy.approvals.roster import Key, Person, in_force
from pytest_deploy.approvals.signed_file import Files, able, lay_down, slug
from pytest_deploy.approvals.statement import (
    MEANING,
    MEANING_OF_OVERRIDE,
    Approval,
    OverrideStatement,
    parse_approval,
    parse_override,
    render,
)
from pytest_deploy.errors import Refused
from pytest_deploy.record.clock import parse_stamp, stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.log import Log
from pytest_deploy.release.request import digest


def sign_approval(
    log: Log, store: Path, run: str, *, person: Person, role: str, key: Path, comment: str, now: datetime
) -> Event:
    """Sign a request for one role; returns the `approval.signed` event. `now` is the request's own clock.

    A signature that could never count is not made. Raises Refused (role not held, key not valid, signed already), Failed
    where ssh-keygen does not sign, StoreUnavailable.
    """
    request = (store / "runs" / run / "request.json").read_bytes()
    statement = Approval(MEANING, person.printed_name, person.email, role, stamp(now), digest(request), run, comment)
    return _leave(log, run, statement, said_of_approval, key=key, slot=slug(role), person=person)


def sign_override(
    log: Log,
    store: Path,
    run: str,
    *,
    gate: str,
    person: Person,
    role: str,
    key: Path,
    reason: str,
    incident: str,
    expires: datetime,
    now: datetime,
) -> Event:
    """Sign one person's part of an override; returns the `override.signed` event. Raises as `sign_approval`."""
    request = (store / "runs" / run / "request.json").read_bytes()
    statement = OverrideStatement(
        meaning=MEANING_OF_OVERRIDE,
        printed_name=person.printed_name,
        signer=person.email,
        role=role,
        signed_at=stamp(now),
        request_sha256=digest(request),
        run=run,
        gate=gate,
        incident=incident,
        reason=reason,
        expires=stamp(expires),
    )
    return _leave(log, run, statement, said_of_override, key=key, slot=f"override-{gate}", person=person)


def said_of_approval(files: Files) -> dict[str, Any]:
    """The data of `approval.signed` over these files."""
    said = parse_approval(files.content)
    return {
        **files.bound(),
        "role": said.role,
        "signer": said.signer,
        "meaning": said.meaning,
        "request_sha256": said.request_sha256,
        "printed_name": said.printed_name,
        "signed_at": said.signed_at,
        "comment": said.comment or None,
    }


def said_of_override(files: Files) -> dict[str, Any]:
    """The data of `override.signed` over these files."""
    said = parse_override(files.content)
    return {
        **files.bound(),
        "signer": said.signer,
        "reason": said.reason,
        "gate": said.gate,
        "incident": said.incident,
        "expires": said.expires,
        "request_sha256": said.request_sha256,
        "role": said.role,
        "meaning": said.meaning,
        "printed_name": said.printed_name,
        "signed_at": said.signed_at,
    }


def _leave(
    log: Log,
    run: str,
    statement: Approval | OverrideStatement,
    told: Callable[[Files], dict[str, Any]],
    *,
    key: Path,
    slot: str,
    person: Person,
) -> Event:
    """Sign, put both files down under the first free name of the slot, count them."""
    roster, _ = in_force(log.store, log.events())
    at = log.clock.now()
    known = able(roster, person, statement.role, key, at)
    type_ = _type(statement)
    _refuse_second(log, run, statement, known)
    files = lay_down(
        log.store,
        f"runs/{run}/approvals",
        slot,
        render(statement),
        key=key,
        known=known,
        roster=roster,
        at=at,
        may=lambda laid: log.may(type_, told(laid), run=run, actor=person.email),
    )
    return log.append(type_, told(files), run=run, actor=person.email)


def _type(statement: Approval | OverrideStatement) -> str:
    return "approval.signed" if isinstance(statement, Approval) else "override.signed"


def _refuse_second(log: Log, run: str, statement: Approval | OverrideStatement, key: Key) -> None:
    """Refuse what would count no more than it does; an override may follow one that ran out or names another incident."""
    for event in log.run(run):
        said = event.data
        same = (
            event.type == _type(statement) and said["signer"] == statement.signer and said.get("role") == statement.role
        )
        if isinstance(statement, OverrideStatement):
            same = same and (said.get("gate"), said.get("incident")) == (statement.gate, statement.incident)
            same = same and parse_stamp(said["expires"]) > statement.at
        if same:
            raise Refused(f"{key.email} has signed this already, at {stamp(event.time)}; nothing was added")
