"""Steps 1 to 7: the log itself, read once from event 0, each event held against the one before it.

At the first bad event the reading stops: what follows it hangs on it. The later steps judge what stood until there.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from pytest_deploy.audit.checks import Finding, Outcome
from pytest_deploy.audit.keys import TrustSet, altered_copies, changed_key, is_key_event, read_set
from pytest_deploy.errors import IllegalEvent
from pytest_deploy.record import entry as entries
from pytest_deploy.record import schema
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.entry import Entry, SignedCheckpoint
from pytest_deploy.record.event import FIRST_PREV, Event, line_hash
from pytest_deploy.record.life import Life

Signatures = Literal["newest", "all"]

RECENT: Final = 1000
"""Signatures that `newest` checks: the newest commits to every event before it, these cost a fraction of a second."""

_NAME = re.compile(r"\d{8}\.event", re.ASCII)
_MOST: Final = 131_072
"""Bytes of an object at most: a line has 65,535, a proof a few thousand. More is not read."""
_KEPT: Final = frozenset(
    {
        "request.made", "run.closed", "run.abandoned", "anchor.made", "clock.skewed",
        "approval.signed", "override.signed", "signoff.signed", "record.amended", "deviation.accepted",
        "environment.released",
    }
)  # fmt: skip


@dataclass
class Chain:
    """The log as far as it stands, and what the first bad event is."""

    store: Path
    signatures: Signatures
    names: int = 0
    """Event files before the first gap."""
    size: int = 0
    """Events that stand."""
    stopped: bool = False
    findings: list[Finding] = field(default_factory=list)
    life: Life = field(default_factory=Life)
    kept: list[Event] = field(default_factory=list)
    """The events later steps look at."""
    trust: list[TrustSet] = field(default_factory=list)
    head: SignedCheckpoint | None = None
    strays: int = 0
    """Unfinished writes (names with a dot), which are no part of the log."""
    _before: Entry | None = None
    _signed: int = 0

    def read(self) -> None:
        """Walk the log."""
        self.findings += self._names()
        for seq in range(self.names):
            name = entries.name(seq)
            try:
                entry = entries.parse(_bytes(self.store / name))
            except OSError as error:
                self._stop(2, name, f"cannot be read: {error.strerror}")
                return
            except IllegalEvent as error:
                self._stop(2, name, str(error))
                return
            for number, step in self._steps():
                if problem := step(entry, seq):
                    self._stop(number, name, problem)
                    return
            self._stand(entry)
        if self.trust and not self.stopped:
            altered = altered_copies(self.store, self.trust[-1])
            self.findings += [Finding(6, place, "is not as in the newest trust set") for place in altered]

    def outcome(self, number: int) -> Outcome:
        """What one of the steps 1 to 7 concluded."""
        found = tuple(finding for finding in self.findings if finding.step == number)
        whole = not self.stopped
        detail = f"{self.size} events" if whole else f"not concluded: {self.size} of {self.names} events were read"
        if number == 6 and whole:  # noqa: PLR2004 - the step's number
            detail = f"{self._signed} of {self.size} signatures, the newest among them"
        return Outcome(found, detail, concluded=whole)

    def trust_at(self, seq: int) -> TrustSet | None:
        """The set in force when event `seq` was appended."""
        return next((known for known in reversed(self.trust) if known.since < seq or known.since == 0), None)

    def checkpoint(self, size: int) -> SignedCheckpoint:
        """The signed checkpoint of an earlier size, at most `self.size`."""
        return entries.parse(_bytes(self.store / entries.name(size - 1))).signed

    def _steps(self) -> tuple[tuple[int, Callable[[Entry, int], str | None]], ...]:
        return (
            (1, self._position),
            (3, self._prev),
            (4, self._time),
            (5, self._root),
            (7, self._legal),
            (6, self._signature),
        )

    def _names(self) -> list[Finding]:
        """Step 1, before any is read: every name from 0 on, regular files, nothing else."""
        found = []
        try:
            listed = sorted(os.scandir(self.store / "log"), key=lambda item: item.name)
        except OSError as error:
            self.stopped = True
            return [Finding(1, "log/", f"cannot be listed: {error.strerror}")]
        positions = []
        for item in listed:
            if item.name.startswith("."):
                self.strays += 1
            elif not stat.S_ISREG(item.stat(follow_symlinks=False).st_mode):
                found.append(Finding(1, f"log/{item.name}", "is no regular file"))
            elif _NAME.fullmatch(item.name) is None:
                found.append(Finding(1, f"log/{item.name}", "is no name of an event"))
            else:
                positions.append(int(item.name.partition(".")[0]))
        self.names = next((seq for seq, position in enumerate(positions) if seq != position), len(positions))
        if self.names < len(positions):
            gap = entries.name(self.names)
            problem = f"is missing, though {len(positions) - self.names} later ones exist (removed, or renamed)"
            if gap not in {finding.place for finding in found}:
                found.insert(0, Finding(1, gap, problem))
        elif not positions:
            found.append(Finding(1, "log/", "holds no event"))
        self.stopped = not positions or self.names < len(positions)
        return found

    def _position(self, entry: Entry, seq: int) -> str | None:
        """Step 1: the event is the one its name says."""
        return None if entry.event.seq == seq else f"holds event {entry.event.seq}: renamed or swapped"

    def _prev(self, entry: Entry, seq: int) -> str | None:
        """Step 3."""
        before = FIRST_PREV if self._before is None else line_hash(self._before.line)
        return None if entry.event.prev == before else f"its prev is not the hash of event {seq - 1}"

    def _time(self, entry: Entry, _seq: int) -> str | None:
        """Step 4."""
        if self._before is None or entry.event.time >= self._before.event.earliest_next:
            return None
        return f"its time {stamp(entry.event.time)} is before {stamp(self._before.event.earliest_next)}"

    def _root(self, entry: Entry, seq: int) -> str | None:
        """Step 5."""
        if entry.path != (() if self._before is None else self._before.path_after):
            return "its inclusion path does not continue the tree before it"
        checkpoint = entry.signed.checkpoint
        if checkpoint.size != seq + 1:
            return f"its checkpoint is of size {checkpoint.size}"
        return None if checkpoint.root == entry.root else "its root is not that of the tree"

    def _signature(self, entry: Entry, seq: int) -> str | None:
        """Step 6: by the key in force; a key event is signed by the key before it."""
        known = self.trust_at(seq)
        if is_key_event(entry.event):
            try:
                named = read_set(self.store, entry.event)
            except ValueError as error:
                return str(error)
            if known is not None and (problem := changed_key(known, named, entry.event)):
                return problem
            self.trust.append(named)
            known = known or named
        if known is None:
            return "no key is in force"
        if self.signatures == "newest" and seq < self.names - RECENT:
            return None
        self._signed += 1
        return None if entry.signed.signed_by(known.key) else f"its checkpoint is not signed by {known.key.vkey}"

    def _legal(self, entry: Entry, _seq: int) -> str | None:
        """Step 7: of a known type, its data in form, and its turn."""
        event = entry.event
        try:
            schema.check(event.type, event.data)
            self.life.may(event.type, event.run, event.data, time=event.time)
        except IllegalEvent as error:
            return str(error)
        return None

    def _stand(self, entry: Entry) -> None:
        self.life.fold(entry.event)
        if entry.event.type in _KEPT:
            self.kept.append(entry.event)
        self._before = entry
        self.head = entry.signed
        self.size += 1

    def _stop(self, number: int, name: str, problem: str) -> None:
        self.findings.append(Finding(number, name, problem))
        self.stopped = True


def _bytes(path: Path) -> bytes:
    with path.open("rb") as stream:
        data = stream.read(_MOST + 1)
    if len(data) > _MOST:
        raise IllegalEvent(f"is no event: it has more than {_MOST} bytes")
    return data
