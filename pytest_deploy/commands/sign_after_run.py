"""`deploy.py sign-off`, `amend`, `accept-deviation`, `thaw`: what is signed is said in words, then signed with an own key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pytest_deploy.approvals.after_run import AcceptedDeviation, Amendment, SignOff, Statement, Thaw, hash_of, put_down
from pytest_deploy.approvals.roster import Person, Roster, in_force
from pytest_deploy.commands.sign import named
from pytest_deploy.commands.signer import signer
from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.platform.environment import record_of
from pytest_deploy.policy.policy import Policy
from pytest_deploy.policy.run_context import policy_of
from pytest_deploy.record import events as event_types
from pytest_deploy.record.clock import SystemClock, stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import Json
from pytest_deploy.record.log import Log
from pytest_deploy.record.open_record import record_store
from pytest_deploy.record.plain_text import escape_line, require_plain
from pytest_deploy.record.run_folder import SUMS
from pytest_deploy.record.run_id import NO_RUN
from pytest_deploy.record.store import Missing
from pytest_deploy.workspace import Workspace

_FOUND: Final = frozenset({"outcome", "verdict"})
"""What steps, gates and runs came to: no signature makes a failure a success."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Signing:
    """One environment's record, a person, the role they sign in, and their key."""

    workspace: Workspace
    policy: Policy
    log: Log
    roster: Roster
    person: Person
    role: str
    key: Path

    @classmethod
    def of(cls, root: Path, environment: str, *, rehearsal: bool, role: str, key: Path | None) -> Signing:
        """Raises UsageError (no record, no key), Refused (nobody's key, no role)."""
        workspace = Workspace(root, environment, rehearsal=rehearsal)
        policy = policy_of(workspace)
        if next(iter(record_store(workspace, policy).names("log/")), None) is None:
            raise UsageError(f"{workspace.store.relative_to(root)} holds no record: nothing was recorded there yet")
        log = record_of(workspace, policy, SystemClock())
        roster = in_force(log.store, log.history())[0]
        roles = policy.approval.roles or policy.thaw.roles
        person, key = signer(workspace, roster, role or roles[0], key)
        role = role or next((one for one in roles if one in person.roles), next(iter(person.roles), ""))
        if not role:
            raise Refused(f"{person.printed_name} holds no role, so nobody can tell what the signature stands for")
        return cls(workspace, policy, log, roster, person, role, key)

    def words(self, meaning: str) -> dict[str, str]:
        """What every statement says of its signer."""
        return {
            "meaning": meaning,
            "printed_name": self.person.printed_name,
            "signer": self.person.email,
            "role": self.role,
            "signed_at": stamp(self.log.clock.now()),
        }

    def sealed(self, run: str) -> tuple[list[Event], str]:
        """A closed run's events and the SHA-256 of its seal, found as the log binds it. Raises Refused."""
        events = [event for event in self.log.history() if event.run == run]
        closed = [event for event in events if event.type == "run.closed"]
        if not events:
            raise Refused(
                f"{run} is not in {self.workspace.store.relative_to(self.workspace.root)}; history lists its runs"
            )
        if not closed:
            raise Refused(f"{run} is not closed ({events[-1].type} was last): only a closed run's record is signed")
        bound: str = closed[0].data["record_sha256"]
        try:
            found = hashlib.sha256(self.log.store.get(f"runs/{run}/{SUMS}")).hexdigest()
        except Missing:
            found = "missing"
        if found != bound:
            raise Refused(
                f"runs/{run}/{SUMS} is not the one the log binds: do not sign; python deploy.py verify tells more"
            )
        return events, bound

    def refuse_deployer(self, events: list[Event], what: str) -> None:
        """Nobody judges their own deployment. Raises Refused, also where nobody can tell whose it was."""
        who = next(event.data["deployer"] for event in events if event.type == "run.opened")
        deployer = self.roster.of_actor(who)
        if deployer is None:
            raise Refused(
                f"{who} deployed it and is nobody in the roster, so it cannot be told who may {what}: enrol them"
            )
        if deployer.email == self.person.email:
            raise Refused(f"{self.person.printed_name} deployed it and cannot {what}: another must")

    def refuse_second(self, events: list[Event], said: Statement, *same: str) -> None:
        """A person says a thing once. Raises Refused."""
        told = said.told()
        for event in events:
            if event.type == said.type and all(event.data.get(key) == told[key] for key in ("signer", *same)):
                raise Refused(f"{said.signer} has signed this already (event {event.seq}, {stamp(event.time)})")

    def sign(self, said: Statement, say: Say) -> Event:
        """Say who signs what, sign, say where it lies."""
        say(f"signing   {said.meaning}, as {self.person.printed_name} <{self.person.email}>, {self.role}")
        event = put_down(self.log, said, person=self.person, key=self.key)
        say(f"signed    {event.data['file']}, counted by event {event.seq}")
        return event


def sign_off(root: Path, run: str, *, role: str, meaning: str, comment: str, key: Path | None, say: Say) -> None:
    """Sign, in a role, for the record of a closed run: not one's own deployment."""
    if not role.strip() or not meaning.strip():
        raise UsageError(
            "deploy.py sign-off: say --role, and --meaning: what the signature stands for, e.g. 'reviewed'"
        )
    require_plain("--meaning", meaning)
    require_plain("--comment", comment)
    environment, rehearsal = named(run)
    signing = Signing.of(root, environment, rehearsal=rehearsal, role=role, key=key)
    events, record_sha256 = signing.sealed(run)
    for line in _run_in_words(run, events, record_sha256):
        say(escape_line(line))
    signing.refuse_deployer(events, "sign it off")
    said = SignOff(**signing.words(meaning), run=run, record_sha256=record_sha256, comment=comment)
    signing.refuse_second(events, said, "role", "meaning")
    signing.sign(said, say)


def accept_deviation(root: Path, run: str, *, step: str, reason: str, role: str, key: Path | None, say: Say) -> None:
    """Sign that a step which did not pass is accepted: by somebody who may approve here, and did not deploy."""
    if not reason.strip():
        raise UsageError("deploy.py accept-deviation: say --reason: it is read by an inspector years later")
    require_plain("--reason", reason)
    environment, rehearsal = named(run)
    signing = Signing.of(root, environment, rehearsal=rehearsal, role=role, key=key)
    events, record_sha256 = signing.sealed(run)
    deviation = _deviation(run, step, events)
    for line in (*_run_in_words(run, events, record_sha256), f"step      {step}", f"deviation {deviation}"):
        say(escape_line(line))
    say(f"reason    {reason}")
    needed = signing.policy.approval.roles
    if needed and signing.role not in needed:
        raise Refused(f"a deviation is accepted by who may approve, {' or '.join(needed)}, not as {signing.role}")
    signing.refuse_deployer(events, "accept its deviations")
    said = AcceptedDeviation(
        **signing.words(AcceptedDeviation.MEANING),
        run=run, record_sha256=record_sha256, nodeid=step, deviation=deviation, reason=reason,
    )  # fmt: skip
    signing.refuse_second(events, said, "nodeid")
    signing.sign(said, say)


def amend(
    root: Path,
    environment: str,
    seq: int,
    *,
    field: str,
    to: str,
    reason: str,
    role: str,
    key: Path | None,
    rehearsal: bool,
    say: Say,
) -> None:
    """Sign a correction of one value of an event of a finished run; the event stays as it is, old and new are recorded."""
    if not reason.strip():
        raise UsageError("deploy.py amend: say --reason: it is read by an inspector years later")
    require_plain("--reason", reason)
    signing = Signing.of(root, environment, rehearsal=rehearsal, role=role, key=key)
    event = _amendable(signing.log.history(), seq, field)
    old = _as_amended(signing.log.history(), event, field)
    require_plain("--to", to, longest=None)  # whether an event can hold it is judged below, old value and all
    new = _new_value(event, field, to)
    if new == old and type(new) is type(old):
        raise Refused(f"{field} of event {seq} is {json.dumps(old)} already; nothing to amend")
    say(f"event     {seq}: {event.type} of {event.run}, {stamp(event.time)}")
    say(f"amends    {field}")
    say(f"old       {json.dumps(old)}")
    say(f"new       {json.dumps(new)}")
    say(f"reason    {reason}")
    said = Amendment(
        **signing.words(Amendment.MEANING),
        run=event.run, amends=seq, event_sha256=hash_of(event), key=field, old=old, new=new, reason=reason,
    )  # fmt: skip
    signing.sign(said, say)


def thaw(root: Path, environment: str, *, reason: str, role: str, key: Path | None, rehearsal: bool, say: Say) -> None:
    """Sign that a frozen environment may be deployed to again; the gate `freeze` then passes."""
    if not reason.strip():
        raise UsageError("deploy.py thaw: say --reason: it is read by an inspector years later")
    require_plain("--reason", reason)
    roles = policy_of(Workspace(root, environment, rehearsal=rehearsal)).thaw.roles
    role = role or (roles[0] if len(roles) == 1 else "")
    signing = Signing.of(root, environment, rehearsal=rehearsal, role=role, key=key)
    events = signing.log.history()
    last = [e for e in events if e.type in {"environment.frozen", "environment.released"}][-1:]
    if not last or last[0].type == "environment.released":
        raise Refused(f"{environment} is not frozen: nothing to release")
    (frozen,) = last
    say(f"frozen    {environment}, since {stamp(frozen.time)}, by event {frozen.seq} of {frozen.run}")
    say(escape_line(f"because   {frozen.data['reason']}"))
    say(f"reason    {reason}")
    if signing.role not in roles:
        raise Refused(f"{environment} is released by {' or '.join(roles)}, not by {signing.role}")
    said = Thaw(
        **signing.words(Thaw.MEANING),
        origin=signing.log.key.origin, frozen=frozen.seq, event_sha256=hash_of(frozen), reason=reason,
    )  # fmt: skip
    signing.sign(said, say)


def _run_in_words(run: str, events: list[Event], record_sha256: str) -> Iterator[str]:
    opened = next(event.data for event in events if event.type == "run.opened")
    decided = next(event.data for event in events if event.type == "run.decided")
    yield f"run       {run}{' (REHEARSAL: nothing here counts for real)' if opened['rehearsal'] else ''}"
    yield f"release   {opened['version']}, commit {opened['commit']}, to {opened['environment']}"
    yield f"deployer  {opened['deployer']}"
    yield f"outcome   {decided['outcome']}{': ' + decided['cause'] if decided['cause'] else ''}"
    yield f"record    SHA-256 {record_sha256}"


def _deviation(run: str, step: str, events: list[Event]) -> str:
    """How a step deviated, in words. Raises Refused where it did not."""
    ended = [e for e in events if e.type in {"step.finished", "step.not-run"} and e.data["nodeid"] == step]
    if not ended:
        raise Refused(f"{run} has no step {step!r}; right is a node id, e.g. suites/smoke/test_api.py::test_it")
    data: dict[str, Any] = dict(ended[-1].data)
    if ended[-1].type == "step.not-run":
        return escape_line(f"not run: {data['cause']}")
    if data["outcome"] == "passed":
        raise Refused(f"{step} passed: there is no deviation to accept")
    said = (data["message"] or "").strip().splitlines()
    return escape_line(f"{data['outcome']}: {said[0] if said else 'no message'}")


def _amendable(events: tuple[Event, ...], seq: int, field: str) -> Event:
    """The event, where it is one of a finished run and its value is a statement. Raises Refused."""
    if not 0 <= seq < len(events):
        raise Refused(f"there is no event {seq}: the log holds 0 to {len(events) - 1}")
    event = events[seq]
    if event.run == NO_RUN:
        raise Refused(f"event {seq} ({event.type}) belongs to no run: state the correction by what it was about")
    if not any(e.run == event.run and e.type in {"run.closed", "run.abandoned"} for e in events):
        raise Refused(f"{event.run} is in progress or waits to be run: only the events of a finished run are amended")
    if "signature_sha256" in event.data:
        raise Refused(
            f"event {seq} ({event.type}) counts what a person signed: that person signs anew, nobody amends it"
        )
    if field not in event.data:
        raise Refused(f"event {seq} ({event.type}) has no {field!r}; it has {', '.join(sorted(event.data))}")
    if field in _FOUND:
        raise Refused(
            f"{field} is what was found, not what somebody stated: nobody amends it; accept the deviation, or say it in a sign-off"
        )
    if "sha256" in _kinds(event, field):
        raise Refused(f"{field} is a digest: it says which bytes were there, and is amended by nobody")
    return event


def _kinds(event: Event, field: str) -> tuple[str, ...]:
    return event_types.fields(event.type)[field].kinds


def _as_amended(events: tuple[Event, ...], event: Event, field: str) -> Json:
    """The value as it stands: the event's own, or the newest amendment's."""
    value = event.data[field]
    for later in events[event.seq :]:
        if later.type == "record.amended" and (later.data["amends"], later.data["key"]) == (event.seq, field):
            value = later.data["new"]
    return value


def _new_value(event: Event, field: str, to: str) -> Json:
    """What --to says: text where the schema has text, else JSON that fits. Raises Refused."""
    text = not {"int", "number", "bool", "object", "array", "any"} & set(_kinds(event, field))
    try:
        new = to if text and not (to == "null" and event.data[field] is None) else json.loads(to)
    except (ValueError, RecursionError):
        raise Refused(f"--to {to[:200]!r} is no JSON, and {field} of {event.type} is no text") from None
    if wrong := event_types.fault(event.type, {**event.data, field: new}):
        raise Refused(f"--to {to!r} does not fit: {wrong}")
    return new
