"""Steps 1 to 7: the log itself, read once from event 0, each event held against the one before it.

At the first bad event the reading stops: what follows it hangs on it. The later steps judge what stood until there.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from pytest_deploy.errors import IllegalEvent
from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.event import Event
from pytest_deploy.record.log_entry import SignedCheckpoint
from pytest_deploy.record.runs import Life
from pytest_deploy.verify.checks import Finding, Outcome
from pytest_deploy.verify.keys import TrustSet, changed_key, is_key_event, other_copies, read_set
from pytest_deploy.verify.pool import Hands
from pytest_deploy.verify.segment import Range, read_entry
from pytest_deploy.verify.segment import read as read_stretch

Signatures = Literal["newest", "all"]

RECENT: Final = 1000
"""Signatures that `newest` checks: the newest commits to every event before it, these cost a fraction of a second."""

_STRETCH: Final = 2048
"""Events that are read at a time."""

_NAME = re.compile(r"\d{8}\.event", re.ASCII)
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
    older_copies: list[str] = field(default_factory=list)
    """Plain copies in `trust/` that are those of an earlier set."""
    _signed: int = 0

    def find(self) -> None:
        """Step 1, before any is read: every name from 0 on, regular files, nothing else."""
        self.findings += self._names()

    def read(self, hands: Hands) -> None:
        """Walk the log, once found: stretches are read by whoever is at hand, their events taken in one by one."""
        signed_from = 0 if self.signatures == "all" else self.names - RECENT
        ranges = (
            Range(self.store, start, min(start + _STRETCH, self.names), signed_from)
            for start in range(0, self.names, _STRETCH)
        )
        for stretch in hands.each(read_stretch, ranges):
            for event, signed in stretch.links:
                if problem := self._legal(event):
                    self._stop(Finding(7, entries.name(event.seq), problem))
                    break
                if problem := self._signature(event, signed):
                    self._stop(Finding(6, entries.name(event.seq), problem))
                    break
                self._stand(event)
            else:
                if stretch.fault is None:
                    continue
                self._stop(stretch.fault)
            break
        if self.size:
            self.head = self.checkpoint(self.size)
        if self.trust and not self.stopped:
            altered, self.older_copies = other_copies(self.store, self.trust)
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
        return read_entry(self.store, size - 1).signed

    def _names(self) -> list[Finding]:
        try:
            with os.scandir(self.store / "log") as items:
                # Of a million names each is looked at twice: as the directory tells its kind, and in its place.
                kinds = {item.name: item.is_file(follow_symlinks=False) for item in items}
        except OSError as error:
            self.stopped = True
            return [Finding(1, "log/", f"cannot be listed: {error.strerror}")]
        names = sorted(name for name, regular in kinds.items() if regular and _NAME.fullmatch(name))
        self.names = next((seq for seq, name in enumerate(names) if name != f"{seq:08d}.event"), len(names))
        rest = sorted(kinds.keys() - set(names))
        self.strays = sum(name.startswith(".") for name in rest)
        found = [
            Finding(1, f"log/{name}", "is no name of an event" if kinds[name] else "is no regular file")
            for name in rest
            if not name.startswith(".")
        ]
        if self.names < len(names):
            gap = entries.name(self.names)
            problem = f"is missing, though {len(names) - self.names} later ones exist (removed, or renamed)"
            if gap not in {finding.place for finding in found}:
                found.insert(0, Finding(1, gap, problem))
        elif not names:
            found.append(Finding(1, "log/", "holds no event"))
        self.stopped = not names or self.names < len(names)
        return found

    def _signature(self, event: Event, signed: SignedCheckpoint | None) -> str | None:
        """Step 6: by the key in force; a key event is signed by the key before it."""
        if signed is None:  # an old one, and none that changes the keys
            return None
        known = self.trust_at(event.seq)
        if is_key_event(event):
            try:
                named = read_set(self.store, event)
            except ValueError as error:
                return str(error)
            if known is not None and (problem := changed_key(known, named, event)):
                return problem
            self.trust.append(named)
            known = known or named
        if known is None:
            return "no key is in force"
        self._signed += 1
        return None if signed.signed_by(known.key) else f"its checkpoint is not signed by {known.key.vkey}"

    def _legal(self, event: Event) -> str | None:
        """Step 7: its turn. That its data is in form was seen where it was read."""
        try:
            self.life.may(event.type, event.run, event.data, time=event.time)
        except IllegalEvent as error:
            return str(error)
        return None

    def _stand(self, event: Event) -> None:
        self.life.fold(event)
        if event.type in _KEPT:
            self.kept.append(event)
        self.size += 1

    def _stop(self, finding: Finding) -> None:
        self.findings.append(finding)
        self.stopped = True
