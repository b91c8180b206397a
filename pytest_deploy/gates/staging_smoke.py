"""`staging-smoke`: the very same was smoked in staging, lately, by a real run whose log verifies (REQ-o00043-D).

The evidence is another environment's record, read from its files alone, where it verifies under the origin and the key that
are known here. A rehearsal reads rehearsal stores, a real run real ones; each has an origin, and a key, of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from pytest_deploy.errors import RecordError
from pytest_deploy.gates.facts import GateFacts
from pytest_deploy.gates.verdict import Judge, Verdict, moment, needs_action, not_asked_for, passes, short, span
from pytest_deploy.gates.zone import utc
from pytest_deploy.platform.environment import in_kms
from pytest_deploy.policy.load import policy_of
from pytest_deploy.policy.policy import StagingSmoke
from pytest_deploy.record import log_entry
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import PhaseFinished, RequestMade, RunClosed, RunOpened, given
from pytest_deploy.record.key import FileSigner, LogKey, parse_vkey
from pytest_deploy.record.open_record import record_store
from pytest_deploy.release.live import migrations_sha256
from pytest_deploy.verify.verify import verify
from pytest_deploy.workspace import Workspace

NAME = "staging-smoke"
_GOOD: Final = frozenset({"deployed", "passed"})
"""Outcomes of runs whose smoke counts."""
_READ: Final = frozenset(one.type for one in (PhaseFinished, RunOpened, RunClosed, RequestMade))


@dataclass(frozen=True)
class SmokedRelease:
    """What makes a release the same one: commit, artefact and migrations."""

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


def gather(facts: GateFacts) -> Judge:
    """What is to be deployed, and what the other environment's record says of its smokes."""
    rule, candidate = facts.policy.staging_smoke, facts.candidate
    wanted = SmokedRelease(candidate.commit, candidate.digest or "", candidate.migrations_sha256)
    evidence = () if rule is None else evidence_of(replace(facts.workspace, environment=rule.environment))
    return partial(judge, rule, candidate=wanted, evidence=evidence)


def judge(rule: StagingSmoke | None, at: datetime, candidate: SmokedRelease, evidence: Sequence[Evidence]) -> Verdict:
    """Whether the newest smoke of `candidate` passed, at most `within_h` hours before `at`, in a record that verifies.

    An older pass does not outweigh a newer failure. Evidence of the future is no evidence.
    """
    if rule is None:
        return not_asked_for(NAME)
    at = utc(at)
    newest_first = sorted(evidence, key=lambda smoke: smoke.at, reverse=True)
    same = [smoke for smoke in newest_first if not _differs(candidate, smoke)]
    shown = next(iter(same or newest_first), None)
    inputs = {
        "at": stamp(at),
        "environment": rule.environment,
        "within_h": rule.within_h,
        "wanted": asdict(candidate),
        "evidence": None if shown is None else {**asdict(shown), "at": stamp(shown.at)},
    }
    if shown is None:
        return needs_action(NAME, inputs, f"{rule.environment} has no smoke on record", _deploy(rule))
    inputs["age_h"] = round((at - shown.at) / timedelta(hours=1), 4)
    if wrong := _wrong(rule, at, candidate, shown):
        return needs_action(NAME, inputs, *wrong)
    return passes(
        NAME,
        inputs,
        f"{rule.environment} smoke of run {shown.run} passed {moment(shown.at)}, {span(at - shown.at)} ago, on the same artefact",
    )


def _wrong(rule: StagingSmoke, at: datetime, candidate: SmokedRelease, evidence: Evidence) -> tuple[str, str] | None:
    """What is wrong with the evidence, the gravest first, and what mends it."""
    where, age, allowed = rule.environment, at - evidence.at, timedelta(hours=rule.within_h)
    if not evidence.verified:
        return (
            f"the record of run {evidence.run} in {where} does not verify: {evidence.problem or 'no cause given'}",
            f"have that record examined, then {_deploy(rule)}",
        )
    if differences := _differs(candidate, evidence):
        return f"{where} smoked {' and '.join(differences)} in run {evidence.run}", _deploy(rule)
    if age < timedelta(0):
        return (
            f"{where} smoke of run {evidence.run} is dated {moment(evidence.at)}, after {moment(at)}",
            f"set the clocks right, then {_smoke(rule)}",
        )
    if not evidence.passed:
        why = f": {evidence.problem}" if evidence.problem else ""
        return (
            f"{where} smoke of run {evidence.run} failed {moment(evidence.at)}{why}",
            f"mend what failed, then {_deploy(rule)}",
        )
    if age > allowed:
        return f"{where} smoke is {span(age)} old, {span(allowed)} are allowed", _smoke(rule)
    return None


def _deploy(rule: StagingSmoke) -> str:
    return f"run {rule.environment}: python deploy.py run {rule.environment}"


def _smoke(rule: StagingSmoke) -> str:
    return f"{_deploy(rule)} --pipeline smoke"


def _differs(candidate: SmokedRelease, evidence: Evidence) -> list[str]:
    """What of the evidence is not what is to be deployed, in words."""
    pairs = (
        ("another artefact", evidence.digest, candidate.digest),
        ("another commit", evidence.commit, candidate.commit),
        ("another migration set", evidence.migrations_sha256, candidate.migrations_sha256),
    )
    return [f"{what} ({short(had)}, not {short(want)})" for what, had, want in pairs if had != want]


# --- the evidence


def evidence_of(workspace: Workspace) -> tuple[Evidence, ...]:
    """Each smoke that ended in the environment of `workspace`, newest last; none where it has no record yet.

    Raises RecordError where the record does not verify, or is another environment's, or nobody here knows its key.
    """
    source = record_store(workspace, policy_of(workspace))
    if next(iter(source.names("log/")), None) is None:
        return ()
    store = source.folder()
    verification = verify(store)
    if not verification.ok:
        raise RecordError(f"the record {store.name} does not verify: {verification.findings[0]}")
    expected_key = _known_key(workspace)
    if verification.vkey != expected_key.vkey:
        raise RecordError(
            f"the record in {store.relative_to(workspace.root)} is {verification.origin}'s, signed by {verification.vkey}; that of "
            f"{expected_key.origin} is signed by {expected_key.vkey}: it is no evidence"
        )
    runs: dict[str, list[Event]] = {}
    for seq in range(verification.size):
        event = log_entry.parse((store / log_entry.name(seq)).read_bytes()).event
        runs.setdefault(event.run, []).append(event)
    return tuple(sorted((e for run in runs.values() for e in _smoked(store, run)), key=lambda e: e.at))


def _known_key(workspace: Workspace) -> LogKey:
    """The key the record must be signed with, by a copy that does not lie in the record."""
    policy = policy_of(workspace)
    origin = policy.origin(rehearsal=workspace.rehearsal)
    public = workspace.key_file.with_suffix(".vkey")
    try:
        if public.is_file():
            return _require_origin(origin, parse_vkey(public.read_text(encoding="utf-8").strip()))
        key = policy.record.key
        signer = FileSigner.open(workspace.key_file) if key is None else in_kms(key)
        return LogKey(origin, signer.public)
    except (RecordError, ValueError) as error:
        raise RecordError(
            f"whose record {workspace.store.relative_to(workspace.root)} is cannot be told: {error}; lay a copy of its log.vkey, "
            f"that came by another way, to {public.relative_to(workspace.root)}"
        ) from None


def _require_origin(origin: str, key: LogKey) -> LogKey:
    if key.origin != origin:
        raise ValueError(f"the copy of its key that lies here is a key of {key.origin}, not of {origin}")
    return key


def _smoked(store: Path, events: Sequence[Event]) -> Iterator[Evidence]:
    """What one run's smoke phase is evidence of."""
    contents = [(event, event.content) for event in events if event.type in _READ]
    smoke_phases = [
        (event.instant, content)
        for event, content in contents
        if isinstance(content, PhaseFinished) and content.phase == "smoke"
    ]
    opened = [content for _, content in contents if isinstance(content, RunOpened)]
    closed = [content for _, content in contents if isinstance(content, RunClosed)]
    if not (smoke_phases and opened and closed):
        return
    run, (at, finished) = events[0].run, smoke_phases[-1]
    has_request = any(isinstance(content, RequestMade) for _, content in contents)
    smoked = _requested(store, run) if has_request else given(opened[0].target)
    if smoked is not None:
        yield Evidence(
            run=run,
            at=at,
            commit=smoked["commit"],
            digest=smoked["image"].partition("@")[2],
            migrations_sha256=smoked["migrations_sha256"],
            passed=finished.outcome == "passed" and closed[0].outcome in _GOOD,
            verified=True,
            problem="",
        )


def _requested(store: Path, run: str) -> Mapping[str, Any]:
    """The release that a run's request asked for; smoke alone has none, and states under `target` what served."""
    request = json.loads((store / "runs" / run / "request.json").read_bytes())
    return {
        "commit": request["commit"],
        "image": request["artefact"]["image"],
        "migrations_sha256": migrations_sha256(
            (migration["version"], migration["sha256"]) for migration in request["migrations"]
        ),
    }
