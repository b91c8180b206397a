"""`staging-smoke`: the very same was smoked in staging, lately, by a real run whose log verifies (REQ-o00043-D).

The evidence is another environment's record, read from its files alone, where it verifies under the origin and the key that
are known here. A rehearsal reads rehearsal stores, a real run real ones; each has an origin, and a key, of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

from pytest_deploy.errors import RecordError
from pytest_deploy.gates.facts import GateFacts
from pytest_deploy.gates.verdict import Grounds, Judge, Verdict, moment, not_applicable, short, span
from pytest_deploy.platform.environment import in_kms
from pytest_deploy.policy.load import policy_of
from pytest_deploy.policy.policy import StagingSmoke
from pytest_deploy.record import log_entry
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import PhaseFinished, RequestMade, RunClosed, RunOpened, given
from pytest_deploy.record.key import FileSigner, LogKey, parse_vkey
from pytest_deploy.record.open_record import record_store
from pytest_deploy.release.candidate import ReleaseCandidate, of_request
from pytest_deploy.verify.verify import verify
from pytest_deploy.workspace import Workspace

NAME = "staging-smoke"
_GOOD: Final = frozenset({"deployed", "passed"})
"""Outcomes of runs whose smoke counts."""
_BEFORE: Final = timedelta(hours=1)
"""A rehearsal stages so long before what it vouches for, by its own clock."""


@dataclass(frozen=True)
class SmokedRelease:
    """What makes a release the same one: commit, artefact and migrations."""

    commit: str
    digest: str
    migrations_sha256: str


@dataclass(frozen=True)
class Evidence:
    """The smoke phase of one real run of that environment, in a record that verifies; rehearsals are never among these."""

    run: str
    at: datetime
    """UTC: when the smoke phase ended."""
    release: SmokedRelease
    passed: bool


def gather(facts: GateFacts) -> Judge:
    """What is to be deployed, and what the other environment's record says of its smokes."""
    rule = facts.policy.staging_smoke
    candidate = _release_of(facts.candidate)
    if rule is None:
        return partial(judge, None, candidate=candidate, evidence=())
    staging = replace(facts.workspace, environment=rule.environment)
    first = "plan" if policy_of(staging).approval.roles else "deploy"
    evidence = evidence_of(staging)
    return partial(judge, rule, candidate=candidate, evidence=evidence, rehearsal=staging.rehearsal, first=first)


def judge(
    rule: StagingSmoke | None,
    at: datetime,
    candidate: SmokedRelease,
    evidence: Sequence[Evidence],
    *,
    rehearsal: bool = False,
    first: str = "deploy",
) -> Verdict:
    """Whether the newest smoke of `candidate` passed, at most `within_h` hours before `at`, and the first at least `soak_h` before.

    An older pass does not outweigh a newer failure. Evidence of the future is no evidence. `first` is the pipeline by which
    a release comes there: a plan, where people approve it.
    """
    if rule is None:
        return not_applicable(NAME)
    newest_first = sorted(evidence, key=lambda smoke: smoke.at, reverse=True)
    same = [smoke for smoke in newest_first if smoke.release == candidate]
    newest = next(iter(same or newest_first), None)
    inputs: dict[str, Any] = {
        "at": stamp(at),
        "environment": rule.environment,
        "within_h": rule.within_h,
        "wanted": asdict(candidate),
        "evidence": None,
    }
    grounds = Grounds(NAME, inputs)

    def run(pipeline: str) -> str:
        earlier = [f"--deploy-at={at - _BEFORE:%Y-%m-%dT%H:%M:%SZ}"] if rehearsal else []
        words = ("--pipeline", pipeline, *(["--", *earlier] if earlier else []))
        return Workspace(Path(), rule.environment, rehearsal=rehearsal).command_line("run", *words)

    if newest is None:
        return grounds.needs_action(f"{rule.environment} has no smoke on record", f"deploy there: `{run(first)}`")
    # Evidence of a record that does not verify is none: nobody got as far as to ask.
    shown = {"run": newest.run, "at": stamp(newest.at), **asdict(newest.release), "passed": newest.passed}
    inputs["evidence"] = {**shown, "verified": True, "problem": ""}
    inputs["age_h"] = round((at - newest.at) / timedelta(hours=1), 4)
    if wrong := _wrong(rule, at, candidate, newest):
        reason, remedy, pipeline = wrong
        return grounds.needs_action(reason, f"{remedy}: `{run(pipeline or first)}`")
    if rule.soak_h:
        began = _soaks_since(newest_first, newest)
        inputs |= {"soak_h": rule.soak_h, "soaks_since": {"run": began.run, "at": stamp(began.at)}}
        soaked = began.at + timedelta(hours=rule.soak_h)
        if at < soaked:
            return grounds.waits(
                f"{rule.environment} has had it since {moment(began.at)}, {span(at - began.at)}; "
                f"{span(timedelta(hours=rule.soak_h))} are asked for, until {moment(soaked)}",
                soaked,
            )
    return grounds.passes(
        f"{rule.environment} smoke of run {newest.run} passed {moment(newest.at)}, {span(at - newest.at)} ago, on the same artefact"
    )


def _wrong(
    rule: StagingSmoke, at: datetime, candidate: SmokedRelease, evidence: Evidence
) -> tuple[str, str, str] | None:
    """What is wrong with the evidence, the gravest first; what mends it, and by which pipeline: empty, by a deployment."""
    where, age, allowed = rule.environment, at - evidence.at, timedelta(hours=rule.within_h)
    if differences := _differs(candidate, evidence.release):
        return f"{where} smoked {' and '.join(differences)} in run {evidence.run}", "deploy there", ""
    if age < timedelta(0):
        dated = f"{where} smoke of run {evidence.run} is dated {moment(evidence.at)}, after {moment(at)}"
        return dated, "set the clocks right, then smoke it again", "smoke"
    if not evidence.passed:
        failed = f"{where} smoke of run {evidence.run} failed {moment(evidence.at)}"
        return failed, "mend what failed, then deploy there", ""
    if age > allowed:
        return f"{where} smoke is {span(age)} old, {span(allowed)} are allowed", "smoke it again", "smoke"
    return None


def _soaks_since(newest_first: Sequence[Evidence], newest: Evidence) -> Evidence:
    """The first smoke of the unbroken row of passes of one release that ends with `newest`."""
    row = newest_first[newest_first.index(newest) :]
    passed = takewhile(lambda smoke: smoke.passed and smoke.release == newest.release, row)
    return list(passed)[-1]


def _differs(candidate: SmokedRelease, smoked: SmokedRelease) -> list[str]:
    """What was smoked and is not what is to be deployed, in words."""
    pairs = (
        ("another artefact", smoked.digest, candidate.digest),
        ("another commit", smoked.commit, candidate.commit),
        ("another migration set", smoked.migrations_sha256, candidate.migrations_sha256),
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
        signer = FileSigner.open(workspace.key_file) if key is None else in_kms(key, policy.platform.google)
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
    smokes = [(event.instant, phase) for event, phase in of_type(events, PhaseFinished) if phase.phase == "smoke"]
    opened = next(of_type(events, RunOpened), None)
    closed = next(of_type(events, RunClosed), None)
    if not smokes or opened is None or closed is None:
        return
    run, (at, smoke) = events[0].run, smokes[-1]
    passed = smoke.outcome == "passed" and closed[1].outcome in _GOOD
    if any(of_type(events, RequestMade)):
        yield Evidence(run, at, _release_of(of_request(store, run)), passed)
    elif target := given(opened[1].target):  # smoke alone has no request, and states what served
        release = SmokedRelease(target["commit"], target["image"].partition("@")[2], target["migrations_sha256"])
        yield Evidence(run, at, release, passed)


def _release_of(candidate: ReleaseCandidate) -> SmokedRelease:
    return SmokedRelease(candidate.commit, candidate.digest or "", candidate.migrations_sha256)
