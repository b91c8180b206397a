"""`staging-smoke`: the very same was smoked in staging, lately, by a real run whose log verifies (REQ-o00043-D)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from pytest_deploy.gates.formatting import moment, short, span
from pytest_deploy.gates.verdict import Verdict, not_asked_for, passes, to_mend
from pytest_deploy.gates.zone import utc
from pytest_deploy.policy.gate_rules import StagingSmoke
from pytest_deploy.record.clock import stamp

GATE = "staging-smoke"


@dataclass(frozen=True)
class Wanted:
    """What makes a release the same release: that which is to be deployed."""

    commit: str
    digest: str
    """Of the artefact."""
    migrations_sha256: str
    """Of the whole set."""


@dataclass(frozen=True)
class Evidence:
    """The smoke phase of one real run of that environment; rehearsals are never among these."""

    run: str
    at: datetime
    """UTC: when the smoke phase ended."""
    commit: str
    digest: str
    migrations_sha256: str
    passed: bool
    verified: bool
    """Whether the log it was read from verifies."""
    problem: str = ""
    """Why not; or what failed."""


def staging_smoke(rule: StagingSmoke | None, at: datetime, wanted: Wanted, evidence: Sequence[Evidence]) -> Verdict:
    """Whether the newest smoke of `wanted` passed, at most `within_h` hours before `at`, in a record that verifies.

    An older pass does not outweigh a newer failure. Evidence of the future is no evidence.
    """
    if rule is None:
        return not_asked_for(GATE)
    at = utc(at)
    newest_first = sorted(evidence, key=lambda it: it.at, reverse=True)
    same = [it for it in newest_first if not _differs(wanted, it)]
    told = next(iter(same or newest_first), None)
    inputs = {
        "at": stamp(at),
        "environment": rule.environment,
        "within_h": rule.within_h,
        "wanted": asdict(wanted),
        "evidence": None if told is None else {**asdict(told), "at": stamp(told.at)},
    }
    if told is None:
        return to_mend(GATE, inputs, f"{rule.environment} has no smoke on record", _deploy(rule))
    inputs["age_h"] = round((at - told.at) / timedelta(hours=1), 4)
    if wrong := _wrong(rule, at, wanted, told):
        return to_mend(GATE, inputs, *wrong)
    return passes(
        GATE,
        inputs,
        f"{rule.environment} smoke of run {told.run} passed {moment(told.at)}, {span(at - told.at)} ago, on the same artefact",
    )


def _wrong(rule: StagingSmoke, at: datetime, wanted: Wanted, it: Evidence) -> tuple[str, str] | None:
    """What is wrong with the evidence, the gravest first, and what mends it."""
    where, age, allowed = rule.environment, at - it.at, timedelta(hours=rule.within_h)
    if not it.verified:
        return (
            f"the record of run {it.run} in {where} does not verify: {it.problem or 'no cause given'}",
            f"have that record examined, then {_deploy(rule)}",
        )
    if differences := _differs(wanted, it):
        return f"{where} smoked {' and '.join(differences)} in run {it.run}", _deploy(rule)
    if age < timedelta(0):
        return (
            f"{where} smoke of run {it.run} is dated {moment(it.at)}, after {moment(at)}",
            f"set the clocks right, then {_smoke(rule)}",
        )
    if not it.passed:
        why = f": {it.problem}" if it.problem else ""
        return f"{where} smoke of run {it.run} failed {moment(it.at)}{why}", f"mend what failed, then {_deploy(rule)}"
    if age > allowed:
        return f"{where} smoke is {span(age)} old, {span(allowed)} are allowed", _smoke(rule)
    return None


def _deploy(rule: StagingSmoke) -> str:
    return f"run {rule.environment}: python deploy.py run {rule.environment}"


def _smoke(rule: StagingSmoke) -> str:
    return f"{_deploy(rule)} --pipeline smoke"


def _differs(wanted: Wanted, it: Evidence) -> list[str]:
    """What of the evidence is not what is to be deployed, in words."""
    pairs = (
        ("another artefact", it.digest, wanted.digest),
        ("another commit", it.commit, wanted.commit),
        ("another migration set", it.migrations_sha256, wanted.migrations_sha256),
    )
    return [f"{what} ({short(had)}, not {short(want)})" for what, had, want in pairs if had != want]
