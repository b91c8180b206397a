"""Step 10: what people signed. Each signature that an event counts is held against stock ssh-keygen.

Whether a key was valid is judged at the log's time of that event, never at "now" and never at what the signer claims.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from pytest_deploy.record import log_entry as entries
from pytest_deploy.record import stored_file
from pytest_deploy.record.event import Event, line_hash, parse_line
from pytest_deploy.record.events import (
    UNSET,
    ApprovalSigned,
    DeviationAccepted,
    EnvironmentReleased,
    OverrideSigned,
    RecordAmended,
    RecordAnnotated,
    RequestMade,
    RequestRejected,
    RunClosed,
    RunOpened,
    SignoffSigned,
    TrailReviewed,
    given,
)
from pytest_deploy.record.key import ROSTER
from pytest_deploy.verify.actors import is_one_of
from pytest_deploy.verify.amendments import Amendments
from pytest_deploy.verify.chain import Chain
from pytest_deploy.verify.deviations import Deviations
from pytest_deploy.verify.findings import NONE, Check, Finding
from pytest_deploy.verify.reviews import Reviews
from pytest_deploy.verify.run_files import subfolders
from pytest_deploy.verify.segment import WorkerPool, batched, read_entry
from pytest_deploy.verify.statements import (
    Known,
    known_at,
    look_at_request,
    look_at_signature,
    look_at_statement,
    signed_in,
)

_SIGNED: Final = (
    *(
        ApprovalSigned,
        RequestRejected,
        OverrideSigned,
        SignoffSigned,
        RecordAmended,
        RecordAnnotated,
        DeviationAccepted,
        EnvironmentReleased,
        TrailReviewed,
    ),
)
_AFTER_A_RUN: Final = (
    *(SignoffSigned, RecordAmended, RecordAnnotated, DeviationAccepted, EnvironmentReleased, TrailReviewed),
)
NOTED: Final = 20
"""Signed files that nothing counts and that are named; how many more there are is said."""
RECENT: Final = 250
"""Signatures that `newest` holds against ssh-keygen: each is a process of its own, these cost a second or two."""


def check_signatures(chain: Chain, pool: WorkerPool, trust_root: str = "") -> Check:
    """Step 10: requests are the ones that were made, and each counted signature is the counted one and verifies.

    `newest` holds the newest 250 against ssh-keygen and of the older ones only the files: what was signed, and the
    signature, are those that were counted. `trust_root` is the SHA-256 of the first signed roster, as people hold it.
    """
    counted = chain.kept_of(*_SIGNED)
    requests = chain.kept_of(RequestMade)
    made = {event.run: event for event in reversed(requests)}
    old = 0 if chain.signatures == "all" else max(len(counted) - RECENT, 0)

    def jobs(look: _Look, events: Sequence[Event], size: int = 256) -> Iterator[_Job]:
        for batch in batched(events, size):
            known = [(event, known_at(chain, event, made.get(event.run))) for event in batch]
            yield _Job(chain.store, look, known)

    work = itertools.chain(
        jobs(look_at_request, requests),
        jobs(look_at_statement, counted[:old]),
        jobs(look_at_signature, counted[old:], 16),  # a process of ssh-keygen each
    )
    findings = [finding for answer in pool.map(_run, work) for finding in answer]
    # Who may sign goes back to the trust root.
    findings += _rooted(chain, counted, trust_root)
    # What is signed after a run is about what it says it is about.
    findings += _signed_afterwards(chain)
    reviews = Reviews(chain)
    findings += [
        Finding(10, entries.name(event.seq), problem)
        for event in chain.kept_of(TrailReviewed)
        for problem in reviews.faults(event)
    ]
    # What gates answered is what was signed, and what policy asks.
    findings += chain.verdicts.findings
    by_program = f" ({RECENT} of them by ssh-keygen)" if old else ""
    parts = [f"{len(counted)} signatures{by_program}"] if counted else []
    parts += [f"{len(requests)} requests"] if requests else []
    return Check(10, tuple(findings), ", ".join(parts) or NONE, concluded=not chain.stopped)


def uncounted_files(chain: Chain, pool: WorkerPool) -> tuple[str, ...]:
    """Signed files that no event counts, each as a note: no fault."""
    counted = {signed_in(event).file for event in chain.kept_of(*_SIGNED)}
    places = [f"runs/{name}/approvals" for name, folder in subfolders(chain.store / "runs").items() if folder]
    places += [f"signoffs/{name}" for name, folder in subfolders(chain.store / "signoffs").items() if folder]
    answers = pool.map(_statements, ((str(chain.store), tuple(batch)) for batch in batched(places)))
    names = sorted(set(itertools.chain.from_iterable(answers)) - counted)
    more = (f"{len(names) - NOTED} more signed files: no event counts them",) if len(names) > NOTED else ()
    return (*(f"{name}: no event counts it" for name in names[:NOTED]), *more)


_Look = Callable[[Path, Event, Known], Iterator[Finding]]


@dataclass(frozen=True)
class _Job:
    store: Path
    look: _Look
    events: Sequence[tuple[Event, Known]]


def _run(job: _Job) -> list[Finding]:
    return [finding for event, known in job.events for finding in job.look(job.store, event, known)]


def _statements(job: tuple[str, tuple[str, ...]]) -> list[str]:
    """The statements people signed, or may have, in some folders of a store."""
    store, places = job
    names = []
    for place in places:
        # What is no folder of the store is named among the unexpected files.
        none = (FileNotFoundError, NotADirectoryError, stored_file.NotOfARecord)
        with suppress(*none), os.scandir(stored_file.folder_of(store, place)) as items:
            names += [f"{place}/{item.name}" for item in items if item.name.endswith(".json")]
    return names


def _signed_afterwards(chain: Chain) -> Iterator[Finding]:
    """What is signed after a run is counted once, is about a seal or event of this log, and changes what stood there."""
    sealed = {event.run: cast("RunClosed", event.content).record_sha256 for event in chain.kept_of(RunClosed)}
    deployer = {event.run: cast("RunOpened", event.content).deployer for event in chain.kept_of(RunOpened)}
    files: dict[str, int] = {}
    amendments, deviations = Amendments(chain), Deviations(chain)
    for event in chain.kept_of(*_AFTER_A_RUN):
        content, place = signed_in(event), entries.name(event.seq)
        # No file is counted twice.
        if (first := files.setdefault(content.file, event.seq)) != event.seq:
            yield Finding(10, place, f"counts {content.file} again, which event {first} counts")
        # A sign-off, an accepted deviation: about the record that the run was closed with, and not of one's own deployment.
        if isinstance(content, SignoffSigned | DeviationAccepted):
            if content.record_sha256 is not UNSET and content.record_sha256 != sealed.get(event.run):
                yield Finding(10, place, f"is about another record than the one {event.run} was closed with")
            if is_one_of(chain.people_at(event.seq), content.signer, {deployer.get(event.run, "")}):
                yield Finding(10, place, f"is signed by who deployed {event.run}")
            if isinstance(content, DeviationAccepted) and (problem := deviations.fault(event)):
                yield Finding(10, place, problem)
            continue
        # An amendment, a thaw: about an event of this log.
        subject = cast("RecordAmended | RecordAnnotated | EnvironmentReleased", content)
        about = _about(subject)
        if about is None:
            continue
        line = read_entry(chain.store, about).line if 0 <= about < event.seq else b""
        if line_hash(line) != given(subject.event_sha256):
            yield Finding(10, place, f"is about another event {about} than the log's")
        # An amendment: from the value that stood there, as last amended.
        elif isinstance(subject, RecordAmended):
            yield from (Finding(10, place, problem) for problem in amendments.faults(event, parse_line(line)))


def _rooted(chain: Chain, counted: Sequence[Event], trust_root: str) -> Iterator[Finding]:
    """Nobody's signature counts under a roster that ran out; nor before the trust root, where that is asked for."""
    for event in counted:
        roster = known.roster if (known := chain.trust_at(event.seq)) is not None else None
        if isinstance(event.content, ApprovalSigned | OverrideSigned) and roster and event.time >= roster.until:
            yield Finding(
                10, entries.name(event.seq), f"counts a signature under a roster that ran out at {roster.expires}"
            )
    if not trust_root:
        return
    root = chain.root
    if root is None:
        yield Finding(10, "trust/", "--trust-root: no roster here is signed by administrators")
    elif chain.root_sha256 != trust_root.lower():
        yield Finding(
            10, f"trust/{root.folder.name}/{ROSTER}", "--trust-root: is another trust root than the one given"
        )
    else:
        early = [event for event in counted if event.seq <= root.since]
        yield from (
            Finding(10, entries.name(event.seq), "--trust-root: counts a signature before the trust root")
            for event in early
        )


def _about(subject: RecordAmended | RecordAnnotated | EnvironmentReleased) -> int | None:
    match subject:
        case RecordAmended(amends=about) | RecordAnnotated(annotates=about) | EnvironmentReleased(frozen=about):
            return given(about)
        case _:  # a review: of the log as it was
            return None
