"""What the log says of one run so far, and what a gate of it that passed says that people signed.

An approval needs the counted signatures of that run, an override those of two people. What is not there is named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from pytest_deploy.policy import asked_gates
from pytest_deploy.policy.user_verification import LEVELS
from pytest_deploy.record.countersigned import SIGNERS
from pytest_deploy.record.events import (
    ApprovalSigned,
    GatePassed,
    GateVerdict,
    OverrideSigned,
    RunOpened,
    Signed,
    given,
)
from pytest_deploy.record.meanings import TOLERANCE
from pytest_deploy.record.planned import PLAN

_STRONGEST: Final = len(LEVELS) - 1
Overridden = list[dict[str, int]]
"""See `overridden_by`."""
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
class RunSoFar:
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


def _made_with(signed: Signed) -> int:
    """As an index of LEVELS. What an event says of it is held against the signature itself elsewhere."""
    return LEVELS.index(given(signed.user_verification, "none"))


def overridden_by(run: RunSoFar, gate: str, at: datetime) -> Overridden:
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


def weakest(verdict: GatePassed, run: RunSoFar, overridden: Overridden) -> int:
    """The least that a signature was made with which a passed gate cites; who signed nothing is named by `uncited`."""
    found = [_STRONGEST]
    for slot, person in filled_by(verdict).items() if verdict.gate == "approvals" else ():
        signed = [run.approved[one] for one in ((slot, person), (_SECOND.sub("", slot), person)) if one in run.approved]
        found += [max(signed)] if signed else []
    if "override" in verdict.inputs and (by := overriders(verdict)):
        signed = [min(people[person] for person in by) for people in overridden if by <= people.keys()]
        found += [max(signed)] if signed else []
    return min(found)


def uncited(verdict: GatePassed, run: RunSoFar, overridden: Overridden) -> Iterator[str]:
    """What a passed gate says that people signed, and no signature counted before it says."""
    # 1. Approvals: each role by a person of its own, who signed as that.
    filled = filled_by(verdict) if verdict.gate == "approvals" else {}
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
        by = overriders(verdict)
        if verdict.gate not in asked_gates.OVERRIDABLE:
            yield f"says that {verdict.gate} was overridden, which nobody can"
        if len({person.casefold() for person in by}) < SIGNERS or not any(by <= people.keys() for people in overridden):
            yield f"says that {' and '.join(sorted(by)) or 'nobody'} overrode {verdict.gate}; no two signatures counted before it do"


def overriders(verdict: GateVerdict) -> set[str]:
    """Who overrode a gate, as its verdict says."""
    override = verdict.inputs.get("override")
    named = override.get("by") if isinstance(override, dict) else None
    return {person for person in named if isinstance(person, str)} if isinstance(named, list) else set()


def filled_by(verdict: GateVerdict) -> dict[str, str]:
    """Role -> person, as a verdict of `approvals` says."""
    filled = verdict.inputs.get("filled")
    return {str(role): str(person) for role, person in filled.items()} if isinstance(filled, dict) else {}
