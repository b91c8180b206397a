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
from pathlib import Path
from typing import Any, Final

from pytest_deploy.policy import asked_gates
from pytest_deploy.policy.asked_gates import Asked
from pytest_deploy.policy.user_verification import IN_WORDS, LEVELS
from pytest_deploy.record import log_entry as entries
from pytest_deploy.record import preimages, stored_file
from pytest_deploy.record.clock import stamp
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
    StepStarted,
    TrafficMoved,
    given,
)
from pytest_deploy.record.key import ROSTER
from pytest_deploy.record.planned import PLAN_PASSED
from pytest_deploy.record.run_state import lift_rejection, note_rejection
from pytest_deploy.record.signed_roster import read_statement
from pytest_deploy.verify import requested
from pytest_deploy.verify.actors import Involved
from pytest_deploy.verify.cited import Overridden, RunSoFar, filled_by, overridden_by, overriders, uncited, weakest
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
        self._runs: dict[str, RunSoFar] = {}
        self._policies: dict[str, Asked | None] = {}

    def take(self, event: Event) -> None:  # noqa: C901, PLR0912 -- one arm a type
        """An event of one of the types JUDGED, legal in its place."""
        run = self._runs.get(event.run)
        if run is None:  # not setdefault: a million events would each make one
            run = self._runs[event.run] = RunSoFar()
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
                    overridden = overridden_by(run, verdict.gate, event.instant)
                    problems = itertools.chain(
                        uncited(verdict, run, overridden), self._unverified(verdict, run, overridden)
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
                problems = self._asked_back(event, run)
            case RollbackFinished():
                run.rolling_back = False
            case RevisionDeployed() | MigrationApplied() | TrafficMoved() as changed:
                problems = self._unsigned_change(event.run, run, changed)
            case RunClosed() | RunAbandoned():
                self._closed = True
                del self._runs[event.run]
        self.findings += [Finding(10, entries.name(event.seq), problem) for problem in problems]

    def _drop_ended(self, event: Event, run: RunSoFar) -> None:
        """What was signed with a key that ended since counts no more. The roster is asked again once it is another."""
        people = self._people_at(event.seq)
        if run.people is None or people.get("allowed_signers") == run.people.get("allowed_signers"):
            return
        lasting = [one for one in run.counted if requested.still_signs(self.store, one, people, event.time)]
        run.counted, run.approved, run.overridden, run.people = [], {}, {}, people
        for signed in lasting:
            run.count(signed)

    def _unplanned(self, name: str, run: RunSoFar) -> Iterator[str]:
        """A signature that lets a request go whose plan did not, by all that stands before it."""
        if (run.plan, name) not in self._planned:
            yield "counts a signature under a request whose plan did not pass"

    def _asked_back(self, event: Event, run: RunSoFar) -> Iterator[str]:
        """Of a rollback that somebody asked for, and that no step outside its phase was held for: what did not let it go."""
        if run.opened is None or run.opened.pipeline != "rollback" or run.held:
            return
        run.held = True
        if not run.requested:
            yield "leads back, and nobody asked for it: its run has no request"
        if run.rejected:
            yield f"leads back, and {' and '.join(sorted(run.rejected))} rejected the request"
        yield from self._ungated(event, run, changes=True)

    def _ungated(self, event: Event, run: RunSoFar, *, changes: bool) -> Iterator[str]:
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
        pipeline = run.opened.pipeline
        gates, ruled, roles = policy.gates(pipeline), policy.rules(pipeline), asked_gates.slots(policy.asks(pipeline))
        approving = bool(roles) and "approvals" in gates
        involved = self._involved(event.seq, run, request or {})
        if pipeline == "deploy":
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
            yield from _unanswered(verdict, gate, points, ruled=gate in ruled and not (gate == "anchors" and run.first))
            for person in sorted(overriders(verdict)) if verdict is not None else ():
                yield from involved.overriding(person, gate)
        # 4. Each role that it asks is filled; by whom, `uncited` held against the signatures. Not by who has a part in it.
        verdict = run.newest.get("approvals")
        if approving and verdict is not None:
            yield from _unapproved(filled_by(verdict), roles.keys(), involved)

    def _involved(self, seq: int, run: RunSoFar, request: Mapping[str, Any]) -> Involved:
        assert run.opened is not None  # noqa: S101 - see _ungated
        listed = request.get("authors")
        authors = {one for one in listed if isinstance(one, str)} if isinstance(listed, list) else set()
        people, put_in_by = self._people_at(seq), self._put_in_by(seq)
        return Involved(people, put_in_by, run.opened.deployer, run.requested_by, authors)

    def _unverified(self, verdict: GatePassed, run: RunSoFar, overridden: Overridden) -> Iterator[str]:
        """What is wrong with a passed gate whose signatures were not made with what policy asks for."""
        found = weakest(verdict, run, overridden)
        if run.opened is None:
            run.weakest = min(run.weakest, found)
        else:
            yield from self._too_weak(run, found)

    def _too_weak(self, run: RunSoFar, found: int) -> Iterator[str]:
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

    def _request(self, name: str, run: RunSoFar) -> Mapping[str, Any] | None:
        """The request of a run, made before it or by itself; None where none was. Step 10 says that it is the one that was made."""
        if run.opened is None or not run.requested:
            return None
        if run.request is None:
            run.request = requested.read_request(self.store, name)
        return run.request

    def _unsigned_change(self, name: str, run: RunSoFar, changed: requested.Change) -> Iterator[str]:
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
