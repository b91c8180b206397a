"""What each gate is judged by, gathered where it lies: log, roster, git, the staging record, the database's clock.

The gates themselves are pure functions of `gate/`; this binds them to the facts of one environment and one release.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path

import psycopg

from pytest_deploy.anchors import anchoring
from pytest_deploy.approvals import evaluate
from pytest_deploy.approvals.after_run import why_not_thawed
from pytest_deploy.approvals.evaluate import ApprovalContext, Evaluation, Override
from pytest_deploy.approvals.roster import Roster, in_force
from pytest_deploy.errors import DeployError
from pytest_deploy.gates import (
    anchors,
    approvals,
    blackout,
    build,
    calendar,
    clock,
    deployer,
    freeze,
    incidents,
    lease,
    rate_limit,
    retention,
    staging_smoke,
    window,
)
from pytest_deploy.gates.incident_source import IncidentCommand, IncidentSource, RecordedIncidents
from pytest_deploy.gates.registry import OVERRIDABLE, gates_of
from pytest_deploy.gates.run_history import RunHistory
from pytest_deploy.gates.staging_record import evidence_of
from pytest_deploy.gates.verdict import Gate, Unavailable, Verdict, overridden, to_mend
from pytest_deploy.platform.environment import Environment
from pytest_deploy.record.actor import local_actor
from pytest_deploy.record.bucket_retention import Holding
from pytest_deploy.record.event import Event
from pytest_deploy.record.mirrored_store import CopiedStore
from pytest_deploy.record.run_state import RunClaim
from pytest_deploy.record.store import Store
from pytest_deploy.release import source
from pytest_deploy.release.candidate import ReleaseCandidate


class Gates:
    """The gates of one environment's policy over one subject. Facts are gathered when first asked for, and once."""

    def __init__(self, environment: Environment, subject: ReleaseCandidate, *, who: str = "") -> None:
        """`who` deploys: the actor of this process, but where somebody else's request is looked at (`approve`)."""
        self._who = who or local_actor()
        self._environment = environment
        self._workspace = environment.workspace
        self._policy = environment.policy
        self._subject = subject

    @property
    def names(self) -> tuple[str, ...]:
        """The gates that apply, in order."""
        return gates_of(self._subject.pipeline, self._policy)

    def all(self) -> dict[str, Gate]:
        """Every gate that applies, bound to its facts."""
        return {name: self.gate(name) for name in self.names}

    def gate(self, name: str) -> Gate:
        """One gate, bound to its facts. What cannot be gathered blocks, with its own cause."""
        return partial(self._ask, name)

    def verdicts(self) -> tuple[Verdict, ...]:
        """Every gate's verdict now: none hides another."""
        now = self._environment.clock.now()
        return tuple(gate(now) for gate in self.all().values())

    def _ask(self, name: str, at: datetime) -> Verdict:
        bound: Mapping[str, Callable[[datetime], Verdict]] = {
            "deployer": self._deployer,
            "approvals": self._approvals,
            "window": lambda at: window.window(self._policy.window, at, lasts_s=self._policy.sla_s),
            "blackout": self._blackout,
            "rate-limit": lambda at: rate_limit.rate_limit(
                self._policy.rate_limit, at, self._claims, own=self._subject.run
            ),
            "lease": lambda _: lease.lease(self._environment.system.now(), self._history.held(), own=self._own),
            "staging-smoke": self._staging_smoke,
            "incidents": lambda at: incidents.incidents(self._policy.incidents, at, self._incidents),
            "build": self._build,
            "retention": self._retention,
            "anchors": self._anchors,
            "freeze": lambda _: freeze.freeze(self._history.frozen(self._refuses_thaw)),
            "clock": self._clock,
        }
        try:
            verdict = bound[name](at)
            by = self.overrides.get(name) if not verdict.passed else None
        except (DeployError, psycopg.Error, OSError) as error:
            reason = f"{name} cannot be evaluated, so it blocks: {error}"
            return to_mend(name, {}, reason, "mend what it names, then ask again")
        return self._not_yet(verdict) if by is None else overridden(verdict, by.people, by.until, at=at)

    def _not_yet(self, verdict: Verdict) -> Verdict:
        """A refusal that somebody signed an override of says why that does not count yet."""
        owed = "" if verdict.passed else self._overrides_owed.get(verdict.gate, "")
        return replace(verdict, reason=f"{verdict.reason} (override: {owed})") if owed else verdict

    @property
    def _own(self) -> str:
        """The run that must hold the lease by now; empty before it took one."""
        return self._subject.run if self._subject.holds_lease else ""

    # --- facts

    @cached_property
    def _history(self) -> RunHistory:
        return RunHistory(self._environment.log)

    @cached_property
    def roster(self) -> Roster:
        """The roster in force."""
        return in_force(self._environment.log.store, self._history.events)[0]

    @cached_property
    def authors(self) -> tuple[str, ...]:
        """Who wrote, committed or co-wrote what is deployed since this environment's last release."""
        return source.authors(self._workspace.root, self._subject.commit, self._history.state.deployed_commit)

    @cached_property
    def approval_context(self) -> ApprovalContext:
        """What signatures are judged against; without a request, of what can be signed at all."""
        run = self._subject.request
        place = self._workspace.store / "runs" / (run or "-") / "request.json"
        return ApprovalContext(
            store=self._environment.log.store.folder(f"runs/{run or '-'}/"),
            run=run or "",
            request=b"" if run is None else place.read_bytes(),
            events=() if run is None else self._history.of(run),
            roster=self.roster,
            now=self._environment.clock.now(),
            at=self._environment.system.now(),
            roles=self._needed,
            expires_h=self._policy.approval.expires_h,
            who=self._who,
            authors=self.authors,
            outside=self._policy.approval.outside,
        )

    @cached_property
    def evaluation(self) -> Evaluation | None:
        """The signatures under the request, counted and refused; None where no request lives."""
        return None if self._subject.request is None else evaluate.evaluate(self.approval_context)

    @cached_property
    def overrides(self) -> Mapping[str, Override]:
        """The gates that two people pass over for this request."""
        return {} if self._subject.request is None else evaluate.overrides(self.approval_context)

    @cached_property
    def _overrides_owed(self) -> Mapping[str, str]:
        """Why what was signed to pass over a gate does not count, by gate."""
        if self._subject.request is None:
            return {}
        return {gate: evaluate.incomplete_override(self.approval_context, gate) for gate in OVERRIDABLE}

    @cached_property
    def _claims(self) -> tuple[RunClaim, ...]:
        return self._history.state.claims()

    @cached_property
    def _evidence(self) -> tuple[staging_smoke.Evidence, ...]:
        rule = self._policy.staging_smoke
        if rule is None:
            return ()
        return evidence_of(replace(self._workspace, environment=rule.environment))

    @cached_property
    def _incidents(self) -> tuple[incidents.Incident, ...] | Unavailable:
        rule = self._policy.incidents
        source: IncidentSource = RecordedIncidents(self._history.events)
        if rule is not None and rule.command is not None:
            source = IncidentCommand(rule.command, self._workspace.root, rule.command_timeout_s)
        known = source.read()
        return known if isinstance(known, Unavailable) else tuple(known)

    # --- gates whose facts take more than a word

    def _deployer(self, _: datetime) -> Verdict:
        rule, who = self._policy.deployer, self._who
        if rule is None:
            return deployer.deployer(None, who, None, frozenset(), ())
        person = self.roster.of_actor(who)
        now = self._environment.system.now()
        return deployer.deployer(
            rule,
            who,
            person.email if person is not None else None,
            frozenset(person.roles) if person is not None else frozenset(),
            [one.printed_name for one in self.roster.holders(rule.role, now)],
        )

    def _approvals(self, at: datetime) -> Verdict:
        needed, judged, unsaid = self._needed, self.evaluation, self._unsaid
        if judged is None:
            can, why_not = evaluate.quorum_possible(self.approval_context)
            return approvals.approvals(
                approvals.Quorum(needed, at, missing=needed, possible=can, why_not=why_not, unsaid=unsaid)
            )
        return approvals.approvals(
            approvals.Quorum(
                needed,
                at,
                filled=judged.filled,
                missing=judged.missing,
                refused=[f"{one.file.rpartition('/')[2]}: {one.reason}" for one in judged.refused],
                possible=judged.possible,
                why_not=judged.why_not,
                expires=judged.expires,
                run=self._subject.request or "",
                unsaid=unsaid,
            )
        )

    @property
    def _needed(self) -> tuple[str, ...]:
        """The roles that must sign: the way back has a policy of its own."""
        rollback = self._subject.pipeline == "rollback"
        return self._policy.rollback.roles if rollback else self._policy.approval.roles

    @property
    def _unsaid(self) -> tuple[str, ...]:
        """What a rollback by hand must say and does not."""
        if self._subject.pipeline != "rollback" or not self._policy.rollback.ticket:
            return ()
        said = {"reason": self._subject.reason, "ticket": self._subject.ticket}
        return tuple(what for what, text in said.items() if not text.strip())

    def _blackout(self, at: datetime) -> Verdict:
        rule = self._policy.blackout
        if rule is None:
            return blackout.blackout(None, None, at, lasts_s=self._policy.sla_s)
        known = calendar.read_calendar(self._workspace.root / rule.calendar) if rule.calendar is not None else None
        zone = self._policy.window.zone if self._policy.window is not None else ""
        return blackout.blackout(rule, known, at, lasts_s=self._policy.sla_s, zone=zone)

    def _staging_smoke(self, at: datetime) -> Verdict:
        subject = self._subject
        wanted = staging_smoke.Wanted(subject.commit, subject.digest or "", subject.migrations_sha256)
        return staging_smoke.staging_smoke(self._policy.staging_smoke, at, wanted, self._evidence)

    def _build(self, _: datetime) -> Verdict:
        subject = self._subject
        return build.build(build.Built(not subject.failed, subject.failed, subject.built, subject.approved))

    def _refuses_thaw(self, released: Event, frozen: Event) -> str:
        return why_not_thawed(self._environment.log.store, self.roster, self._policy.thaw.roles, released, frozen)

    def _retention(self, at: datetime) -> Verdict:
        """Read back each time it is asked."""
        return retention.retention(self._policy.retention, at, *held(self._environment.log.store, self._workspace.root))

    def _anchors(self, _: datetime) -> Verdict:
        log = self._environment.log
        seen = anchoring.read_back(anchoring.anchors_of(self._workspace, self._policy, log.store))
        return anchors.anchors(self._policy.anchors, anchoring.record_state(log, seen), seen)

    def _clock(self, _: datetime) -> Verdict:
        """The real clock, whatever a rehearsal's is: the log's newest event and the database's own time."""
        head = self._environment.log.head()
        newest = None if head is None else head.time
        references = [clock.Reference("the record's newest event", newest, lower_bound=True)]
        try:
            with psycopg.connect(self._environment.platform.database.owner, autocommit=True) as connection:
                row = connection.execute("select clock_timestamp()").fetchone()
            references.append(clock.Reference("the database", None if row is None else row[0], ""))
        except psycopg.Error as error:
            references.append(clock.Reference("the database", None, str(error)))
        return clock.clock(self._environment.system.now(), references)


def held(store: Store, root: Path) -> tuple[str, Holding | Unavailable | None]:
    """Where a record lies, and how that place keeps it, read back now; None for a folder."""
    if not isinstance(store, CopiedStore):
        return store.path.relative_to(root).as_posix(), None
    try:
        return store.bucket.url, store.bucket.holding()
    except DeployError as error:
        return store.bucket.url, Unavailable(str(error))
