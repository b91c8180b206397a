"""Step 10, second half: what gates answered is held against what they cite, and a deployment against what its policy asks.

Whoever holds the log's key can go on with the log, and write into it that a gate passed. So no verdict stands by itself: an
approval needs the counted signatures of that run, an override those of two people, and a change every gate of the policy
that the run was judged by.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pytest_deploy.policy import asked_gates
from pytest_deploy.policy.asked_gates import Asked
from pytest_deploy.policy.user_verification import IN_WORDS, LEVELS
from pytest_deploy.record import log_entry as entries
from pytest_deploy.record import preimages, stored_file
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.countersigned import SIGNERS
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import (
    ApprovalSigned,
    GateNotApplicable,
    GatePassed,
    GateVerdict,
    MigrationApplied,
    OverrideSigned,
    RequestMade,
    RequestRejected,
    RevisionDeployed,
    RollbackFinished,
    RollbackStarted,
    RunAbandoned,
    RunClosed,
    RunDecided,
    RunOpened,
    Signed,
    StepStarted,
    TrafficMoved,
    given,
)
from pytest_deploy.record.key import ROSTER
from pytest_deploy.record.meanings import TOLERANCE
from pytest_deploy.record.planned import PLAN, PLAN_PASSED
from pytest_deploy.record.run_state import lift_rejection, note_rejection
from pytest_deploy.record.signed_roster import read_statement
from pytest_deploy.verify import requested
from pytest_deploy.verify.actors import Involved
from pytest_deploy.verify.findings import Finding

JUDGED: Final = frozenset(
    {"request.made", "request.rejected", "approval.signed", "override.signed"}
    | {"gate.passed", "gate.refused", "gate.not-applicable"}
    | {"revision.deployed", "migration.applied", "traffic.moved", "rollback.started", "rollback.finished"}
    | {"run.opened", "run.decided", "run.closed", "run.abandoned", "step.started"}
)
"""The types of events that `Verdicts` looks at."""
POLICY: Final = "policy.json"
"""Among what a run was judged by: the policy that was in force."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_STRONGEST: Final = len(LEVELS) - 1
_Overridden = list[dict[str, int]]
"""See `_overridden`."""
_SECOND = re.compile(r" \([0-9]+\)\Z")
"""Of a role that is asked for more than once: `QA Lead (2)`."""


@dataclass(frozen=True)
class _OverridePart:
    """One person's signature over an override."""

    made_with: int
    """As an index of LEVELS."""
    until: datetime | None
    """None where its event does not say it; the file it counts has to."""


@dataclass
class _Run:
    counted: list[ApprovalSigned | OverrideSigned] = field(default_factory=list)
    """The signatures under its request that count still, in the order of their events."""
    people: Mapping[str, bytes] | None = None
    """The trust set that these were last held against."""
    approved: dict[tuple[str, str], int] = field(default_factory=dict)
    """Role and person of each approval counted so far, and the most that one was made with, as an index of LEVELS."""
    overridden: dict[tuple[str, str], dict[str, list[_OverridePart]]] = field(default_factory=dict)
    """Gate and incident: the people whose signatures were counted so far, each with all of theirs."""
    weakest: int = _STRONGEST
    """The least that a signature was made with which a passed gate cites before the run is opened, and its policy known."""
    newest: dict[str, GateVerdict] = field(default_factory=dict)
    """Of each gate."""
    opened: RunOpened | None = None
    first: bool = False
    """Whether no run had been closed before it opened: then there is nothing that an anchor could hold."""
    held: bool = False
    """Whether its gates were held against its policy."""
    requested: bool = False
    """Whether a request was made for it, before it or by itself."""
    requested_by: str = ""
    expires: datetime | None = None
    """Until when the request lives, by its own clock."""
    request: Mapping[str, Any] | None = None
    """What it says, once it was looked at; empty where it cannot be read."""
    plan: str = ""
    """The plan that the request names."""
    rejected: dict[str, datetime] = field(default_factory=dict)
    """Who rejects the request, when they signed that, and signed no approval later."""
    rolling_back: bool = False

    def count(self, signed: ApprovalSigned | OverrideSigned) -> None:
        self.counted.append(signed)
        if isinstance(signed, ApprovalSigned):
            key = signed.role, signed.signer
            self.approved[key] = max(self.approved.get(key, 0), _made_with(signed))
        else:
            people = self.overridden.setdefault((given(signed.gate, ""), given(signed.incident, "")), {})
            people.setdefault(signed.signer, []).append(_OverridePart(_made_with(signed), given(signed.expires)))

    @property
    def is_passing_plan(self) -> bool:
        """Whether it is a plan of which no gate answered `refused` last."""
        is_plan = self.opened is not None and self.opened.pipeline == PLAN
        return is_plan and all(verdict.verdict != "refused" for verdict in self.newest.values())


class Verdicts:
    """Takes in a log's events in order. Of a run that has ended it keeps nothing: a log may hold a hundred thousand."""

    def __init__(
        self,
        store: Path,
        people_at: Callable[[int], Mapping[str, bytes]],
        put_in_by: Callable[[int], Mapping[str, Collection[str]]],
    ) -> None:
        """`people_at`: the files of the trust set in force at an event; `put_in_by`: who signed what it says of each person."""
        self.store = store
        self._people_at, self._put_in_by = people_at, put_in_by
        self.findings: list[Finding] = []
        self.unapproved: list[str] = []
        """Runs that deployed under a policy that asks nobody to approve."""
        self._closed = False
        self._planned: set[tuple[str, str]] = set()
        """Plans that passed, each with the run whose request people may sign."""
        self._runs: dict[str, _Run] = {}
        self._policies: dict[str, Asked | None] = {}

    def take(self, event: Event) -> None:  # noqa: C901, PLR0912 -- one arm a type
        """An event of one of the types JUDGED, legal in its place."""
        run = self._runs.get(event.run)
        if run is None:  # not setdefault: a million events would each make one
            run = self._runs[event.run] = _Run()
        problems: Iterator[str] = iter(())
        match event.content:
            case RequestMade(expires=expires, plan=plan, requested_by=asked_by):
                run.requested, run.expires, run.plan, run.requested_by = True, expires, given(plan, ""), asked_by
            case ApprovalSigned() | OverrideSigned() as signed:
                problems = self._unplanned(event.run, run)
                run.count(signed)
                run.people = run.people or self._people_at(event.seq)
                if isinstance(signed, ApprovalSigned):
                    lift_rejection(run.rejected, signed.signer, given(signed.signed_at))
            case RequestRejected(signer=signer, signed_at=signed_at):
                note_rejection(run.rejected, signer, signed_at)
            case GateVerdict() as verdict:
                run.newest[verdict.gate] = verdict
                # What a plan says lets nothing go, and it may look at signatures that nothing counts yet.
                if isinstance(verdict, GatePassed) and verdict.point != "plan":
                    self._drop_ended(event, run)
                    overridden = _overridden(run, verdict.gate, event.instant)
                    problems = itertools.chain(
                        _uncited(verdict, run, overridden), self._unverified(verdict, run, overridden)
                    )
            case RunOpened() as opened:
                run.opened, run.first = opened, not self._closed
                if run.expires is not None and event.instant >= run.expires:
                    problems = iter([f"opens on a request that ran out at {stamp(run.expires)}"])
                problems = itertools.chain(problems, self._too_weak(run, run.weakest))
            case StepStarted(changes=True, phase=phase) if phase != "rollback" and not run.held:
                run.held = True
                problems = self._ungated(event, run, changes=True)
            case RunDecided(outcome="deployed") if not run.held:
                problems = self._ungated(event, run, changes=False)
            case RunDecided(outcome=outcome, request=str(asked)) if outcome in PLAN_PASSED and run.is_passing_plan:
                self._planned.add((event.run, asked))
            case RollbackStarted():
                run.rolling_back = True
            case RollbackFinished():
                run.rolling_back = False
            case RevisionDeployed() | MigrationApplied() | TrafficMoved() as changed:
                problems = self._unsigned_change(event.run, run, changed)
            case RunClosed() | RunAbandoned():
                self._closed = True
                del self._runs[event.run]
        self.findings += [Finding(10, entries.name(event.seq), problem) for problem in problems]

    def _drop_ended(self, event: Event, run: _Run) -> None:
        """What was signed with a key that ended since counts no more. The roster is asked again once it is another."""
        people = self._people_at(event.seq)
        if run.people is None or people.get("allowed_signers") == run.people.get("allowed_signers"):
            return
        lasting = [one for one in run.counted if requested.still_signs(self.store, one, people, event.time)]
        run.counted, run.approved, run.overridden, run.people = [], {}, {}, people
        for signed in lasting:
            run.count(signed)

    def _unplanned(self, name: str, run: _Run) -> Iterator[str]:
        """A signature that lets a request go whose plan did not, by all that stands before it."""
        if (run.plan, name) not in self._planned:
            yield "counts a signature under a request whose plan did not pass"

    def _ungated(self, event: Event, run: _Run, *, changes: bool) -> Iterator[str]:
        """What its policy asks of a run and was not answered, when it changes something, or is `deployed` without that."""
        assert run.opened is not None  # noqa: S101 - steps and decisions are legal in an opened run alone
        name = event.run
        # 1. The policy: its text lies in the store, and is the one that the request was signed under.
        sha256 = given(run.opened.preimages, {}).get(POLICY)
        policy = self._policy(sha256)
        if policy is None:
            yield f"goes on under a policy whose text is not in the record: {POLICY} of what the run was judged by"
            return
        request = self._request(name, run)
        if request is not None:
            yield from requested.another_release(run.opened, sha256, request, requested.place(name))
        gates, roles = policy.gates(run.opened.pipeline), asked_gates.slots(policy.roles)
        approving = bool(roles) and "approvals" in gates
        involved = self._involved(event.seq, run, request or {})
        if run.opened.pipeline == "deploy":
            if not approving:
                self.unapproved.append(name)
            yield from _unasked(policy.roles if approving else (), self._people_at(event.seq))
            yield from involved.deploying()
        # 2. Where nothing is changed and nobody has to approve, no gate stands before anything.
        if not changes and not approving:
            return
        # 3. Each gate that it asks answered last, right before the change, and let it go.
        points = ("change",) if changes else ("lease", "change")
        for gate in gates:
            verdict = run.newest.get(gate)
            yield from _unanswered(
                verdict, gate, points, ruled=gate in policy.ruled and not (gate == "anchors" and run.first)
            )
            for person in sorted(_overriders(verdict)) if verdict is not None else ():
                yield from involved.overriding(person, gate)
        # 4. Each role that it asks is filled; by whom, `_uncited` held against the signatures. Not by who has a part in it.
        verdict = run.newest.get("approvals")
        if approving and verdict is not None:
            yield from _unapproved(_filled(verdict), roles.keys(), involved)

    def _involved(self, seq: int, run: _Run, request: Mapping[str, Any]) -> Involved:
        assert run.opened is not None  # noqa: S101 - see _ungated
        listed = request.get("authors")
        authors = {one for one in listed if isinstance(one, str)} if isinstance(listed, list) else set()
        people, put_in_by = self._people_at(seq), self._put_in_by(seq)
        return Involved(people, put_in_by, run.opened.deployer, run.requested_by, authors)

    def _unverified(self, verdict: GatePassed, run: _Run, overridden: _Overridden) -> Iterator[str]:
        """What is wrong with a passed gate whose signatures were not made with what policy asks for."""
        weakest = _weakest(verdict, run, overridden)
        if run.opened is None:
            run.weakest = min(run.weakest, weakest)
        else:
            yield from self._too_weak(run, weakest)

    def _too_weak(self, run: _Run, found: int) -> Iterator[str]:
        policy = None if run.opened is None else self._policy(given(run.opened.preimages, {}).get(POLICY))
        if policy is not None and found < LEVELS.index(policy.user_verification):
            asked = IN_WORDS[policy.user_verification]
            yield f"rests on a signature that was made with {IN_WORDS[LEVELS[found]]}, and policy asks for {asked}"

    def _policy(self, sha256: object) -> Asked | None:
        """What a policy asks; None where its text is not there, or is none."""
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            return None
        if sha256 not in self._policies:
            asked = None
            with suppress(OSError, ValueError):
                asked = Asked.of(stored_file.read(stored_file.file_of(self.store, preimages.place(sha256))))
            self._policies[sha256] = asked
        return self._policies[sha256]

    def _request(self, name: str, run: _Run) -> Mapping[str, Any] | None:
        """The request of a run, made before it or by itself; None where none was. Step 10 says that it is the one that was made."""
        if run.opened is None or not run.requested:
            return None
        if run.request is None:
            run.request = requested.read_request(self.store, name)
        return run.request

    def _unsigned_change(self, name: str, run: _Run, changed: requested.Change) -> Iterator[str]:
        """A revision of another artefact than people signed, or traffic to it; a migration that they did not sign."""
        if isinstance(changed, RevisionDeployed | MigrationApplied) and (
            run.opened is not None and run.opened.pipeline not in {"deploy", "rollback"}
        ):
            yield f"changes what serves in a run of {run.opened.pipeline}, which changes nothing"
        elif isinstance(changed, RevisionDeployed | MigrationApplied) and not run.requested:
            yield "changes what serves, and nobody asked for it: its run has no request"
        request = self._request(name, run)
        if request is not None and not (isinstance(changed, TrafficMoved) and run.rolling_back):
            yield from requested.another_change(changed, request, requested.place(name))


def _unasked(asked: Sequence[str], people: Mapping[str, bytes]) -> Iterator[str]:
    """The roles that approve by a roster that administrators signed, and that a policy does not ask."""
    if ROSTER not in people:
        return
    with suppress(ValueError):  # what is no roster is told where its set comes into force
        if missing := asked_gates.missing_roles(read_statement(people[ROSTER]).approvers, asked):
            yield f"goes on under a policy that does not ask {', '.join(missing)}, who approve by the roster in force"


def _unanswered(verdict: GateVerdict | None, gate: str, points: Collection[str], *, ruled: bool) -> Iterator[str]:
    """Why a gate did not let a run go on at its newest verdict. `ruled`: whether it may not be `not-applicable`."""
    if verdict is None or verdict.point not in points:
        yield f"goes on, and the gate {gate} was not asked right before"
    elif not isinstance(verdict, GatePassed | GateNotApplicable):
        yield f"goes on, though the gate {gate} answered last: {verdict.verdict}"
    elif isinstance(verdict, GateNotApplicable) and ruled:
        yield f"goes on, though the gate {gate} answered not-applicable and policy has a rule for it"


def _unapproved(filled: Mapping[str, str], roles: Collection[str], involved: Involved) -> Iterator[str]:
    if lacking := set(roles) - filled.keys():
        yield f"goes on, and nobody approved as {', '.join(sorted(lacking))}"
    for person in sorted(set(filled.values())):
        yield from involved.approving(person)


def _made_with(signed: Signed) -> int:
    """As an index of LEVELS. What an event says of it is held against the signature itself elsewhere."""
    return LEVELS.index(given(signed.user_verification, "none"))


def _overridden(run: _Run, gate: str, at: datetime) -> _Overridden:
    """Who overrides a gate at an instant, for each incident, and the most that each of them signed that with."""
    return [
        {
            person: max(part.made_with for part in lasting)
            for person, parts in people.items()
            if (lasting := [part for part in parts if part.until is not None and at < part.until + TOLERANCE])
        }
        for (overridden, _), people in run.overridden.items()
        if overridden == gate
    ]


def _weakest(verdict: GatePassed, run: _Run, overridden: _Overridden) -> int:
    """The least that a signature was made with which a passed gate cites; who signed nothing is named by `_uncited`."""
    found = [_STRONGEST]
    for slot, person in _filled(verdict).items() if verdict.gate == "approvals" else ():
        signed = [run.approved[one] for one in ((slot, person), (_SECOND.sub("", slot), person)) if one in run.approved]
        found += [max(signed)] if signed else []
    if "override" in verdict.inputs and (by := _overriders(verdict)):
        signed = [min(people[person] for person in by) for people in overridden if by <= people.keys()]
        found += [max(signed)] if signed else []
    return min(found)


def _uncited(verdict: GatePassed, run: _Run, overridden: _Overridden) -> Iterator[str]:
    """What a passed gate says that people signed, and no signature counted before it says."""
    # 1. Approvals: each role by a person of its own, who signed as that.
    filled = _filled(verdict) if verdict.gate == "approvals" else {}
    if verdict.gate == "approvals" and run.rejected:
        yield f"says that it was approved, and {' and '.join(sorted(run.rejected))} rejected the request"
    if verdict.gate == "approvals" and not filled:
        yield "says that it was approved, and by nobody"
    for slot, person in filled.items():
        if not {(slot, person), (_SECOND.sub("", slot), person)} & run.approved.keys():
            yield f"says that {person} approved as {slot}, and no signature counted before it does"
    if len(set(filled.values())) < len(filled):
        yield "says that one person approved in two roles"
    # 2. An override: two people signed that they answer for this gate, over the same incident.
    if "override" in verdict.inputs:
        by = _overriders(verdict)
        if verdict.gate not in asked_gates.OVERRIDABLE:
            yield f"says that {verdict.gate} was overridden, which nobody can"
        if len({person.casefold() for person in by}) < SIGNERS or not any(by <= people.keys() for people in overridden):
            yield f"says that {' and '.join(sorted(by)) or 'nobody'} overrode {verdict.gate}; no two signatures counted before it do"


def _overriders(verdict: GateVerdict) -> set[str]:
    """Who overrode a gate, as its verdict says."""
    override = verdict.inputs.get("override")
    named = override.get("by") if isinstance(override, dict) else None
    return {person for person in named if isinstance(person, str)} if isinstance(named, list) else set()


def _filled(verdict: GateVerdict) -> dict[str, str]:
    """Role -> person, as a verdict of `approvals` says."""
    filled = verdict.inputs.get("filled")
    return {str(role): str(person) for role, person in filled.items()} if isinstance(filled, dict) else {}
