"""Step 10: what people signed. Each signature that an event counts is held against stock ssh-keygen.

Whether a key was valid is judged at the log's time of that event, never at "now" and never at what the signer claims.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from pytest_deploy.errors import IllegalEvent
from pytest_deploy.record import log_entry as entries
from pytest_deploy.record import sshsig, stored_file
from pytest_deploy.record.actor import SIGNER
from pytest_deploy.record.clock import parse_stamp
from pytest_deploy.record.event import Event, canonical, line_hash, parse_line
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
    Signed,
    SignoffSigned,
    TrailReviewed,
    given,
)
from pytest_deploy.record.key import ROSTER
from pytest_deploy.record.meanings import wrong_lifetime, wrong_meaning, wrong_time
from pytest_deploy.record.ssh_signature import verify_files
from pytest_deploy.verify.actors import is_one_of
from pytest_deploy.verify.amendments import Amendments
from pytest_deploy.verify.chain import Chain, TrustSet
from pytest_deploy.verify.deviations import Deviations
from pytest_deploy.verify.findings import NONE, Check, Finding
from pytest_deploy.verify.reviews import Reviews
from pytest_deploy.verify.run_files import subfolders
from pytest_deploy.verify.segment import WorkerPool, batched, read_entry

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
_OF_THE_SIGNER: Final[tuple[str, ...]] = (
    "signer", "printed_name", "role", "meaning", "signed_at", "comment", "request_sha256", "record_sha256",
)  # fmt: skip
"""What the event says of these, the statement says too; a comment that is null is an empty one."""
_OF_BOTH: Final = (
    "reason", "gate", "incident", "expires", "amends", "event_sha256", "key", "old", "new", "nodeid", "deviation", "frozen",
    "countersigns", "annotates", "note", "findings", "first", "size", "root",
)  # fmt: skip
"""What either says of these, both say."""
_OF_EACH: Final = frozenset({"printed_name", "signer", "role", "signed_at", "meaning", "request_sha256", "run"})
_UNDER_A_REQUEST: Final[Mapping[type, frozenset[str]]] = {
    ApprovalSigned: frozenset({"comment"}),
    RequestRejected: frozenset({"reason"}),
    OverrideSigned: frozenset({"gate", "incident", "reason", "expires"}),
}
"""The keys of a statement under a request, beside those of each."""
_AFTER_A_RUN: Final = (
    *(SignoffSigned, RecordAmended, RecordAnnotated, DeviationAccepted, EnvironmentReleased, TrailReviewed),
)
_NAMESPACE = re.compile(r'namespaces="([^",*?!]+)"')
NOTED: Final = 20
"""Signed files that nothing counts and that are named; how many more there are is said."""
_LARGEST: Final = stored_file.LARGEST["signoffs"]
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
            known = [(event, _known(chain, event, made.get(event.run))) for event in batch]
            yield _Job(chain.store, look, known)

    work = itertools.chain(
        jobs(_request, requests),
        jobs(_statement, counted[:old]),
        jobs(_signature, counted[old:], 16),  # a process of ssh-keygen each
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
    counted = {_signed(event).file for event in chain.kept_of(*_SIGNED)}
    places = [f"runs/{name}/approvals" for name, folder in subfolders(chain.store / "runs").items() if folder]
    places += [f"signoffs/{name}" for name, folder in subfolders(chain.store / "signoffs").items() if folder]
    answers = pool.map(_statements, ((str(chain.store), tuple(batch)) for batch in batched(places)))
    names = sorted(set(itertools.chain.from_iterable(answers)) - counted)
    more = (f"{len(names) - NOTED} more signed files: no event counts them",) if len(names) > NOTED else ()
    return (*(f"{name}: no event counts it" for name in names[:NOTED]), *more)


@dataclass(frozen=True)
class _Known:
    """What an event is held against."""

    trust: TrustSet | None
    """The set in force."""
    made: datetime | None
    """When the request of its run was made, by that request's own clock."""
    asked_of: TrustSet | None
    """The set in force when it was made."""


def _known(chain: Chain, event: Event, made: Event | None) -> _Known:
    if made is None:
        return _Known(chain.trust_at(event.seq), None, None)
    return _Known(chain.trust_at(event.seq), made.instant, chain.trust_at(made.seq))


_Look = Callable[[Path, Event, _Known], Iterator[Finding]]


@dataclass(frozen=True)
class _Job:
    store: Path
    look: _Look
    events: Sequence[tuple[Event, _Known]]


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


def _request(store: Path, event: Event, _known: _Known) -> Iterator[Finding]:
    name = f"runs/{event.run}/request.json"
    path = _plain(store, name)
    if path is None:
        yield Finding(10, name, f"is missing, or no file, though event {event.seq} made it")
    elif stored_file.sha256(path) != cast("RequestMade", event.content).request_sha256:
        yield Finding(10, name, f"is not the request of event {event.seq}")


def _plain(store: Path, name: str) -> Path | None:
    """A file of a store; None where there is none, or what lies there, or leads there, is nothing of a record."""
    try:
        path = stored_file.file_of(store, name)
    except stored_file.NotOfARecord:
        return None
    return None if path.is_symlink() or not path.is_file() else path


def _statement(store: Path, event: Event, known: _Known, *, with_signature: bool = False) -> Iterator[Finding]:
    content, trust = _signed(event), known.trust
    name = content.file
    # One address, one person: what neither looks like another's nor is written in two ways.
    if not SIGNER.fullmatch(content.signer):
        yield Finding(10, name, f"is signed by {content.signer!r}, which is no address that a person signs under")
        return
    # Both files lie in the record, and are those that the event counts.
    if Path(name).is_absolute() or ".." in Path(name).parts:
        yield Finding(10, name, f"lies outside the record, though event {event.seq} counts it")
        return
    files = []
    for place, bound in ((name, content.sha256), (f"{name}.sig", content.signature_sha256)):
        file = _plain(store, place)
        if file is None:
            yield Finding(10, place, f"is missing, or no file, though event {event.seq} counts it")
            return
        if stored_file.sha256(file, _LARGEST) != bound:
            yield Finding(10, place, f"is not the file event {event.seq} counts")
            return
        files.append(file)
    path, signature = files
    # What was signed says what the event says.
    text = stored_file.read(path, _LARGEST)
    if (problem := _contradiction(text, event, trust.key.origin if trust is not None else "")) or (
        problem := _unfit(text, event, known.made)
    ):
        yield Finding(10, name, problem)
    # The signature verifies: before the roster, since it tells more.
    elif (with_signature and (problem := _refused(text, event, trust, signature))) or (
        problem := _otherwise_made(event, signature) or _too_new(event, signature, known.asked_of)
    ):
        yield Finding(10, f"{name}.sig", problem)
    # The roster in force has the signer under this name and in this role.
    elif problem := _not_in_roster(text, event, trust):
        yield Finding(10, name, problem)


_signature = partial(_statement, with_signature=True)


def _contradiction(text: bytes, event: Event, origin: str) -> str | None:
    """Where the signed text says something else than the event, or None."""
    try:
        signed = json.loads(text)
        again = canonical(signed)
    except (ValueError, RecursionError, IllegalEvent):
        signed = again = None
    if not isinstance(signed, dict) or again != text:
        return "is not canonical JSON"
    data = event.content.as_data()
    wrong = [key for key in _OF_THE_SIGNER if key in data and (key not in signed or (signed[key] or None) != data[key])]
    # As JSON, which tells 1 from true.
    wrong += [key for key in _OF_BOTH if (key in signed or key in data) and _json(signed, key) != _json(data, key)]
    wrong += ["run"] if signed.get("run", event.run) != event.run else []
    wrong += ["origin"] if signed.get("origin", origin) != origin else []
    return f"says another {', '.join(wrong)} than event {event.seq}" if wrong else None


def _unfit(text: bytes, event: Event, made: datetime | None) -> str | None:
    """Why what was signed is none of its kind, or None: its meaning; under a request its keys and times, an override's end."""
    signed = json.loads(text)
    if wrong := wrong_meaning(event.type, signed.get("meaning")):
        return wrong
    own = _UNDER_A_REQUEST.get(type(event.content))
    if own is None:
        return None
    if signed.keys() != _OF_EACH | own:
        return f"must hold exactly {', '.join(sorted(_OF_EACH | own))}"
    for key in ("signed_at", "expires") if isinstance(event.content, OverrideSigned) else ("signed_at",):
        try:
            parse_stamp(signed[key])
        except (KeyError, TypeError, ValueError):
            return f"its {key} is no UTC time like 2026-11-22T20:25:07.951Z"
    signed_at = parse_stamp(signed["signed_at"])
    wrong = wrong_time(signed_at, made, event.instant)
    if not wrong and isinstance(event.content, OverrideSigned):
        wrong = wrong_lifetime(signed_at, parse_stamp(signed["expires"]))
    return wrong or None


def _not_in_roster(text: bytes, event: Event, trust: TrustSet | None) -> str | None:
    """Where the roster in force at the event has the signer under another name, or without the role; else None."""
    signed = json.loads(text)
    try:
        person = json.loads(trust.files["roles.json"] if trust is not None else b"{}")[signed["signer"]]
        printed_name, roles = person["printed_name"], person["roles"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return f"is signed by nobody whom the roster in force at event {event.seq} knows"
    if signed.get("printed_name") != printed_name or signed.get("role") not in roles:
        return f"says another name or role of {signed['signer']} than the roster in force at event {event.seq}"
    return None


def _signed(event: Event) -> Signed:
    return cast("Signed", event.content)


def _json(values: Mapping[str, Any], key: str) -> bytes | None:
    return canonical(values[key]) if key in values else None


def _signed_afterwards(chain: Chain) -> Iterator[Finding]:
    """What is signed after a run is counted once, is about a seal or event of this log, and changes what stood there."""
    sealed = {event.run: cast("RunClosed", event.content).record_sha256 for event in chain.kept_of(RunClosed)}
    deployer = {event.run: cast("RunOpened", event.content).deployer for event in chain.kept_of(RunOpened)}
    files: dict[str, int] = {}
    amendments, deviations = Amendments(chain), Deviations(chain)
    for event in chain.kept_of(*_AFTER_A_RUN):
        content, place = _signed(event), entries.name(event.seq)
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


def _otherwise_made(event: Event, signature: Path) -> str | None:
    """Where the event says more, or less, of how the signature was made than its FIDO flags; None where both agree."""
    said = given(_signed(event).user_verification)
    if said is None:
        return None
    try:
        found = sshsig.read(stored_file.read(signature, _LARGEST)).user_verification
    except sshsig.BadSignature as error:
        return f"is no signature: {error}"
    return None if said == found else f"has the user verification {found}, not {said}, as event {event.seq} says"


def _too_new(event: Event, signature: Path, asked_of: TrustSet | None) -> str | None:
    """Why the key of an approval or override was not its signer's when the request was made, or None."""
    if asked_of is None or not isinstance(event.content, ApprovalSigned | OverrideSigned):
        return None
    try:
        read = sshsig.read(stored_file.read(signature, _LARGEST))
    except sshsig.BadSignature as error:
        return f"is no signature: {error}"
    allowed = asked_of.files.get("allowed_signers", b"")
    if _signed(event).signer in sshsig.signer_of(read, allowed, at=event.time):
        return None
    return f"is by a key that was no signer's when the request was made (event {event.seq} counts it)"


def _refused(text: bytes, event: Event, trust: TrustSet | None, signature: Path) -> str | None:
    """What ssh-keygen says against the signature, or None."""
    allowed = trust.files.get("allowed_signers", b"").decode("utf-8", "replace") if trust is not None else ""
    namespaces = set(_NAMESPACE.findall(allowed))
    if trust is None or len(namespaces) != 1:
        return "cannot be checked: allowed_signers names no namespace, or more than one"
    _, problem = verify_files(
        text,
        signature=signature,
        allowed_signers=trust.folder / "allowed_signers",
        signer=_signed(event).signer,
        namespace=namespaces.pop(),
        at=event.time,
        occasion=f" at the time of event {event.seq}",
    )
    return problem or None
