"""Which gates there are, which of them a pipeline asks, which of them people may override; how they are asked, and when they would pass.

A gate is a module here: NAME, `gather` (binds its facts) and `judge` (pure: values in, a verdict out). A new one is such a
module, a model of its rule in policy/policy.py, a line in GATES and one in POLICY_SECTIONS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, partial
from types import MappingProxyType
from typing import Final

import psycopg

from pytest_deploy.approvals.overrides import OVERRIDE_SIGNERS
from pytest_deploy.approvals.record_signatures import record_signatures
from pytest_deploy.bounded_output import WORDS_BYTES, kept_text
from pytest_deploy.errors import DeployError
from pytest_deploy.gates import (
    administrators,
    anchors,
    approvals,
    blackout,
    build,
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
from pytest_deploy.gates.facts import GateFacts
from pytest_deploy.gates.verdict import Grounds, Judge, Verdict, moment
from pytest_deploy.gates.zone import utc
from pytest_deploy.platform.environment import CLOCK, PEOPLE, Environment
from pytest_deploy.policy.asked_gates import OVERRIDABLE, gates_of
from pytest_deploy.record.clock import stamp
from pytest_deploy.release.candidate import ReleaseCandidate

GATES: Final[Mapping[str, Callable[[GateFacts], Judge]]] = {
    deployer.NAME: deployer.gather,
    approvals.NAME: approvals.gather,
    window.NAME: window.gather,
    blackout.NAME: blackout.gather,
    rate_limit.NAME: rate_limit.gather,
    lease.NAME: lease.gather,
    staging_smoke.NAME: staging_smoke.gather,
    incidents.NAME: incidents.gather,
    build.NAME: build.gather,
    retention.NAME: retention.gather,
    anchors.NAME: anchors.gather,
    administrators.NAME: administrators.gather,
    freeze.NAME: freeze.gather,
    clock.NAME: clock.gather,
}
"""Every gate, in the order in which people read the verdicts: what binds what it is judged by. What that raises blocks."""

POLICY_SECTIONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        deployer.NAME: ("deployer",),
        approvals.NAME: ("approval",),
        window.NAME: ("window",),
        blackout.NAME: ("blackout", "window"),
        rate_limit.NAME: ("rate_limit",),
        lease.NAME: (),
        staging_smoke.NAME: ("staging_smoke",),
        incidents.NAME: ("incidents",),
        build.NAME: ("service.checks",),
        retention.NAME: ("retention", "record.store"),
        anchors.NAME: ("anchors",),
        administrators.NAME: ("administrators",),
        freeze.NAME: ("freeze_after_rollback", "thaw"),
        clock.NAME: (),
    }
)
"""The sections of policy that each gate goes by, as dotted keys: where one was replaced, its pass verifies nothing of policy's.

None where policy has no say: that nothing else runs, and that the clock is right, is asked everywhere.
"""
BESIDES_POLICY: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        **dict.fromkeys((deployer.NAME, approvals.NAME, administrators.NAME), frozenset({PEOPLE})),
        **dict.fromkeys((window.NAME, blackout.NAME), frozenset({CLOCK})),
    }
)
"""What else a gate goes by that a rehearsal replaces: its people are made up, its clock may be set."""


class Gatekeeper:
    """Asks the gates of one environment's policy over one release candidate."""

    def __init__(self, environment: Environment, candidate: ReleaseCandidate, *, deployer: str = "") -> None:
        """`deployer` is the actor of this process, but where somebody else's request is looked at (`approve`)."""
        self.facts = GateFacts(environment, candidate, deployer=deployer)

    @property
    def names(self) -> tuple[str, ...]:
        names = gates_of(self.facts.candidate.pipeline, self.facts.policy.phases.leave_out)
        return names if approvals.NAME in names or not self._unasked_approvals() else (approvals.NAME, *names)

    def _unasked_approvals(self) -> bool:
        """Whether somebody approves by the roster whom policy does not ask; so too where the roster cannot be read."""
        try:
            return bool(self.facts.unasked_roles)
        except (DeployError, OSError):
            return True

    def replaced(self, name: str) -> tuple[str, ...]:
        """What a gate goes by and a rehearsal or a setting replaced: policy's by dotted keys, people, the clock."""
        besides = self.facts.environment.substituted.keys() & BESIDES_POLICY.get(name, frozenset())
        return (*self.facts.policy.replaced(*POLICY_SECTIONS[name]), *sorted(besides))

    def check(self, name: str, at: datetime | None = None) -> Verdict:
        """One gate's verdict at an instant, by default now. What cannot be gathered blocks, with its own cause."""
        return self.judge(name)(at or self.facts.environment.clock.now())

    def check_all(self) -> tuple[Verdict, ...]:
        """Every gate's verdict now: none hides another."""
        now = self.facts.environment.clock.now()
        return tuple(self.check(name, now) for name in self.names)

    def count_signatures(self, *, actor: str) -> None:
        """Record what people signed under the request and no event says yet: no verdict rests on what the log does not count."""
        if self.facts.candidate.request is not None:
            record_signatures(self.facts.environment.log, self.facts.approval_context, actor=actor)

    def judge(self, name: str) -> Judge:
        """One gate, bound to facts that are gathered when it is first asked, and held from then on."""
        return partial(self._ask, name, cache(lambda: GATES[name](self.facts)))

    def judges(self) -> dict[str, Judge]:
        return {name: self.judge(name) for name in self.names}

    def _ask(self, name: str, bound: Callable[[], Judge], at: datetime) -> Verdict:
        # 1. Its own verdict. Facts that cannot be had block: they are no reason to pass.
        try:
            verdict = bound()(at)
            override = self.facts.overrides.get(name) if verdict.blocks else None
        except (DeployError, psycopg.Error, OSError) as error:
            reason = f"{name} cannot be evaluated, so it blocks: {kept_text(str(error), 2 * WORDS_BYTES)}"
            return Grounds(name, {}).needs_action(reason, "mend what it names, then ask again")
        # 2. An override that two people signed.
        if override is not None:
            return overridden(verdict, override.people, override.until, at=at)
        # 3. A refusal that somebody signed an override of says why that does not count yet.
        if verdict.blocks and name in OVERRIDABLE and (why := self.facts.incomplete_override(name)):
            return replace(verdict, reason=f"{verdict.reason} (override: {why})")
        return verdict


def overridden(verdict: Verdict, by: Sequence[str], until: datetime, *, at: datetime) -> Verdict:
    """The verdict under a signed override: passed, carrying who overrode what.

    It stays refused where the gate is none of `OVERRIDABLE`, fewer than two different people signed, or the override has
    run out at `at`. Signatures are verified before, by `approvals/`. A verdict that lets it go stays as it is.
    """
    if not verdict.blocks:
        return verdict
    enough = len({person.strip().casefold() for person in by if person.strip()}) >= OVERRIDE_SIGNERS
    if verdict.gate not in OVERRIDABLE or not enough or at >= until:
        return verdict
    override = {"by": list(by), "until": stamp(until), "refused": verdict.reason}
    reason = f"overridden by {' and '.join(by)} until {moment(until)}; without that: {verdict.reason}"
    return Verdict(verdict.gate, "passed", {**verdict.inputs, "override": override}, reason)


# --- the earliest start: the next instant at which all gates that only wait for time pass

HORIZON: Final = timedelta(days=400)
"""How far ahead the earliest start is looked for."""


@dataclass(frozen=True)
class Earliest:
    """When it can go, and what people must do until then."""

    at: datetime | None
    """UTC; None where time alone opens no instant within the horizon."""
    still_needed: tuple[str, ...]
    """A sentence for each gate that would refuse then until people act."""
    verdicts: Mapping[str, Verdict]
    """Every gate's answer at that instant, or at the last one asked about."""


def earliest(gates: Mapping[str, Judge], now: datetime, horizon: timedelta = HORIZON) -> Earliest:
    """The fixed point: every gate is asked again at the latest instant any of them names, until none names a later one.

    A gate names the *first* instant from the one it was asked at, so nothing earlier is skipped. What it says is what would be
    so if nobody did anything: evidence ages, requests lapse.
    """
    at = now = utc(now)
    first = verdicts = {name: gate(at) for name, gate in gates.items()}
    while later := [
        start for verdict in verdicts.values() if (start := verdict.earliest_start) is not None and start > at
    ]:
        ahead = max(later)
        if ahead > now + horizon:
            return Earliest(None, _still_needed(first, verdicts, at), verdicts)
        at = ahead
        verdicts = {name: gate(at) for name, gate in gates.items()}
    return Earliest(at, _still_needed(first, verdicts, at), verdicts)


def _still_needed(first: Mapping[str, Verdict], then: Mapping[str, Verdict], at: datetime) -> tuple[str, ...]:
    """What people must do, in the words of now; what becomes due only because time passes says so."""
    return tuple(
        first[name].sentence
        if first[name].still_needed == verdict.still_needed
        else f"by {moment(at)}: {verdict.sentence}"
        for name, verdict in then.items()
        if verdict.still_needed in ("approval", "mend")
    )
