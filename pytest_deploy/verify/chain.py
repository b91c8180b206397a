"""Steps 1 to 8: the log itself, read once from event 0, each event held against the one before it.

At the first bad event the reading stops: what follows it hangs on it. The later steps judge what stood until there.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal, cast

from pytest_deploy.errors import IllegalEvent
from pytest_deploy.record import log_entry as entries
from pytest_deploy.record import stored_file
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import (
    AnchorMade,
    ApprovalSigned,
    ClockSkewed,
    DeviationAccepted,
    EnvironmentReleased,
    EventContent,
    KeyChange,
    OverrideSigned,
    RecordAmended,
    RecordAnnotated,
    RequestMade,
    RequestRejected,
    RunAbandoned,
    RunClosed,
    RunOpened,
    SignoffSigned,
    TrailReviewed,
)
from pytest_deploy.record.key import FOLDER_HEX, LARGEST_SET, ROSTER, LogKey, parse_vkey, set_sha256
from pytest_deploy.record.log_entry import SignedCheckpoint
from pytest_deploy.record.run_state import LogState
from pytest_deploy.record.signed_roster import RosterStatement, put_in_by, read_statement, sha256_of, wrong_change
from pytest_deploy.record.transitions import check_transition
from pytest_deploy.verify.findings import NONE, Check, Finding
from pytest_deploy.verify.segment import Segment, WorkerPool, is_key_event, read_entry, read_segments
from pytest_deploy.verify.verdicts import JUDGED, Verdicts

Signatures = Literal["newest", "all"]

RECENT: Final = 1000
"""Signatures that `newest` checks: the newest commits to every event before it, these cost a fraction of a second."""

_NAME = re.compile(r"\d{8}\.event", re.ASCII)
_KEPT: Final = frozenset(
    content.type
    for content in (
        *(
            RequestMade,
            RequestRejected,
            RunOpened,
            RunClosed,
            RunAbandoned,
            AnchorMade,
            ClockSkewed,
            ApprovalSigned,
            OverrideSigned,
        ),
        *(SignoffSigned, RecordAmended, RecordAnnotated, DeviationAccepted, EnvironmentReleased, TrailReviewed),
    )
)


@dataclass(frozen=True)
class TrustSet:
    """Keys and roles as their event put them in force: which key signs the log, and who may sign in it."""

    since: int
    """seq of the event; what it names is in force after it (for event 0: from the start)."""
    folder: Path
    key: LogKey
    files: Mapping[str, bytes]
    roster: RosterStatement | None = None
    """What administrators signed of it; None where its roster is the log's key's own word."""
    put_in_by: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Who signed what it says of each person; nobody where no roster is signed."""


@dataclass
class Chain:
    """The log as far as it stands, and what the first bad event is."""

    store: Path
    signatures: Signatures
    names: int = 0
    """Event files before the first gap."""
    size: int = 0
    stopped: bool = False
    findings: list[Finding] = field(default_factory=list)
    state: LogState = field(default_factory=LogState)
    kept: list[Event] = field(default_factory=list)
    """The events later steps look at."""
    trust: list[TrustSet] = field(default_factory=list)
    head: SignedCheckpoint | None = None
    unfinished: int = 0
    """Unfinished writes (names with a dot), which are no part of the log."""
    older_copies: list[str] = field(default_factory=list)
    """Plain copies in `trust/` that are those of an earlier set."""
    verdicts: Verdicts = field(init=False)
    """What gates answered, held against what they cite while the log is read."""
    _signed: int = 0

    def __post_init__(self) -> None:
        self.verdicts = Verdicts(self.store, self.people_at, self.put_in_by)

    def list_names(self) -> None:
        """Step 1, before any event is read: every name from 0 on, regular files, nothing else."""
        try:
            with os.scandir(stored_file.folder_of(self.store, "log")) as items:
                # Of a million names each is looked at twice: as the directory tells its kind, and in its place.
                regular = {item.name: item.is_file(follow_symlinks=False) for item in items}
        except OSError as error:
            self._stop(Finding(1, "log/", f"cannot be listed: {error.strerror}"))
            return
        names = sorted(name for name, is_file in regular.items() if is_file and _NAME.fullmatch(name))
        self.names = next((seq for seq, name in enumerate(names) if name != f"{seq:08d}.event"), len(names))
        others = sorted(regular.keys() - set(names))
        self.unfinished = sum(name.startswith(".") for name in others)
        findings = [
            Finding(1, f"log/{name}", "is no name of an event" if regular[name] else "is no regular file")
            for name in others
            if not name.startswith(".")
        ]
        gap = entries.name(self.names)
        if self.names < len(names) and gap not in {finding.place for finding in findings}:
            problem = f"is missing, though {len(names) - self.names} later ones exist (removed, or renamed)"
            findings.insert(0, Finding(1, gap, problem))
        elif not names:
            findings.append(Finding(1, "log/", "holds no event"))
        self.stopped = not names or self.names < len(names)
        self.findings += findings

    def read(self, pool: WorkerPool) -> None:
        """Steps 1 to 7, once the names are listed: segments are read by the pool, their events taken in one by one."""
        signed_from = 0 if self.signatures == "all" else self.names - RECENT
        for segment in read_segments(pool, self.store, 0, self.names, signed_from=signed_from):
            fault = self._take_in(segment)
            if fault is not None:
                self._stop(fault)
                break
        if self.size:
            self.head = self.checkpoint(self.size)
        if self.trust and not self.stopped:
            # 6. The plain copies in trust/, by which people check, are those of a set.
            self.findings += self._plain_copies()

    def check(self, number: int) -> Check:
        """What one of the steps 1 to 7 concluded."""
        findings = tuple(finding for finding in self.findings if finding.step == number)
        if self.stopped:
            examined = f"not concluded: {self.size} of {self.names} events were read"
        elif number == 6:  # noqa: PLR2004 - the step's number
            examined = f"{self._signed} of {self.size} signatures, the newest among them"
        else:
            examined = f"{self.size} events"
        return Check(number, findings, examined, concluded=not self.stopped)

    def check_endings(self) -> Check:
        """Step 8: every run is closed, abandoned, or in progress; those in progress are named with their lease."""
        closed, abandoned = len(self.kept_of(RunClosed)), len(self.kept_of(RunAbandoned))
        parts = [f"{closed} closed"] if closed else []
        parts += [f"{abandoned} abandoned"] if abandoned else []
        lease = self.state.lease
        for run in self.state.open_runs():
            until = f" (lease until {stamp(lease.until)})" if lease is not None and lease.run == run else " (no lease)"
            parts.append(f"in progress: {run}{until}")
        return Check(8, (), ", ".join(parts) or NONE, concluded=not self.stopped)

    def kept_of(self, *types: type[EventContent]) -> list[Event]:
        names = {content.type for content in types}
        return [event for event in self.kept if event.type in names]

    def trust_at(self, seq: int) -> TrustSet | None:
        """The set in force when event `seq` was appended."""
        return next((known for known in reversed(self.trust) if known.since < seq or known.since == 0), None)

    def people_at(self, seq: int) -> Mapping[str, bytes]:
        """The files of the set in force when event `seq` was appended: who may sign, and who is behind an actor."""
        known = self.trust_at(seq)
        return {} if known is None else known.files

    def put_in_by(self, seq: int) -> Mapping[str, Collection[str]]:
        """Who signed what the roster in force when event `seq` was appended says of each person; nobody where none is signed."""
        known = self.trust_at(seq)
        return {} if known is None else known.put_in_by

    @property
    def root(self) -> TrustSet | None:
        """The first set that administrators signed; None where there is none."""
        return next((known for known in self.trust if known.roster is not None), None)

    @property
    def root_sha256(self) -> str:
        """Of the trust root's roster.json, hex; empty where there is none."""
        return (sha256_of(self.root.files) or "") if self.root is not None else ""

    def checkpoint(self, size: int) -> SignedCheckpoint:
        """The signed checkpoint of an earlier size, at most `self.size`."""
        return read_entry(self.store, size - 1).signed

    def _take_in(self, segment: Segment) -> Finding | None:
        """Take in a segment's events until one does not stand; that one's fault, or None."""
        for event, signed in segment.events:
            place = entries.name(event.seq)
            # 7. The event is legal after those before it.
            try:
                check_transition(self.state, event)
            except IllegalEvent as error:
                return Finding(7, place, str(error))
            # 6. The checkpoint of a recent event, and of one that changes keys, is signed by the key in force.
            if signed is not None and (problem := self._unsigned(event, signed)):
                return Finding(6, place, problem)
            self.state.apply(event)
            if event.type in _KEPT:
                self.kept.append(event)
            if event.type in JUDGED:
                self.verdicts.take(event)
            self.size += 1
        return segment.fault

    def _unsigned(self, event: Event, signed: SignedCheckpoint) -> str | None:
        """Step 6: why the key in force has not signed it, or None; a key event is signed by the key before it."""
        known = self.trust_at(event.seq)
        if is_key_event(event):
            try:
                named = read_trust_set(self.store, event)
            except ValueError as error:
                return str(error)
            if problem := _illegal_change(known, named, event):
                return problem
            had, before = (known.put_in_by, known.files) if known is not None else ({}, None)
            named = replace(named, put_in_by=put_in_by(had, before, named.files, at=event.time))
            self.trust.append(named)
            known = known or named
        if known is None:
            return "no key is in force"
        self._signed += 1
        return None if signed.signed_by(known.key) else f"its checkpoint is not signed by {known.key.vkey}"

    def _plain_copies(self) -> list[Finding]:
        """A copy of no set is a fault.

        One of an earlier set is noted: another machine, or a process that was killed, changed the roster and could not lay
        copies here.
        """
        findings = []
        newest = self.trust[-1].files
        with os.scandir(stored_file.folder_of(self.store, "trust")) as items:
            names = sorted(
                item.name for item in items if not item.is_dir(follow_symlinks=False) and item.name[0] != "."
            )
        for name in names:
            if name not in newest:
                findings.append(Finding(6, f"trust/{name}", "belongs to no trust set"))
                continue
            copy = None
            with suppress(OSError):
                copy = _content(self.store / "trust" / name)
            if copy is None or all(copy != known.files.get(name) for known in self.trust):
                findings.append(Finding(6, f"trust/{name}", "is not as in the newest trust set"))
            elif copy != newest[name]:
                self.older_copies.append(f"trust/{name}")
        return findings

    def _stop(self, finding: Finding) -> None:
        self.findings.append(finding)
        self.stopped = True


def read_trust_set(store: Path, event: Event) -> TrustSet:
    """The set a key event names. Raises ValueError (what is wrong, with the path) where it is not the one."""
    named = cast("KeyChange", event.content)
    sha256 = named.set_sha256
    name = f"trust/{sha256[:FOLDER_HEX]}"
    if named.set != name:
        raise ValueError(f"names the set {named.set!r}, whose hash makes it {name}")
    folder = store / name
    try:
        with os.scandir(stored_file.folder_of(store, name)) as items:
            names = sorted(item.name for item in itertools.islice(items, LARGEST_SET) if not item.name.startswith("."))
        files = {name: _content(folder / name) for name in names}
    except OSError as error:
        raise ValueError(f"its trust set {name} cannot be read: {error.strerror}") from error
    whole = {file: content for file, content in files.items() if content is not None}
    if odd := sorted(files.keys() - whole.keys()):
        raise ValueError(f"in its trust set, {folder.name}/{odd[0]} is no regular file")
    if set_sha256(whole) != sha256:
        raise ValueError(f"its trust set {name} is not the one it names: a file was changed, added or removed")
    try:
        key = parse_vkey(whole["log.vkey"].decode("utf-8", "replace"))
    except (KeyError, ValueError) as error:
        raise ValueError(f"its trust set {name} holds no log.vkey: {error}") from error
    if whole.get("log.pem") != key.pem.encode():
        raise ValueError(f"its trust set {name} has a log.pem that is not the key of log.vkey")
    try:
        roster = read_statement(whole[ROSTER]) if ROSTER in whole else None
    except ValueError as error:
        raise ValueError(f"in its trust set, {error}") from error
    return TrustSet(event.seq, folder, key, whole, roster)


def _illegal_change(before: TrustSet | None, after: TrustSet, event: Event) -> str:
    """Why the log's key, or who may sign, may not change as it does between two sets; empty where it may."""
    if before is not None and after.key.origin != before.key.origin:
        return f"the origin changes from {before.key.origin} to {after.key.origin}"
    if before is not None and (after.key != before.key) != (event.type == "key.rotated"):
        return "key.rotated, and nothing else, changes the log's key"
    files = before.files if before is not None else None
    return wrong_change(files, after.files, origin=after.key.origin, kind=event.type, at=event.time)


def _content(path: Path) -> bytes | None:
    """The bytes of a regular file; None for what is none. Raises OSError where it cannot be read."""
    return None if path.is_symlink() or not path.is_file() else stored_file.read(path, stored_file.LARGEST["trust"])
