"""A copy of a real record in somebody's hands, and what hands can do to bytes and files."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.event import Event, line_hash
from pytest_deploy.record.key import FileSigner
from tests.stories.production_record import ProductionRecord


@dataclass
class TamperedRecord:
    """A copy of the production record in somebody's hands."""

    store: Path
    of: ProductionRecord
    anchor: str | None = None
    """What is given to the verifiers from outside, where the kind needs it to be seen."""
    named: str = ""
    """The file, relative to the store, that both verifiers have to name."""
    named_by_script: str = ""
    """What verify.sh names, where it comes upon another trace of the same thing first."""
    events: list[Event] = field(default_factory=list)

    @classmethod
    def copy(cls, production: ProductionRecord, store: Path) -> TamperedRecord:
        shutil.copytree(production.store, store, symlinks=True)
        return cls(store, production, events=production.events())

    @property
    def size(self) -> int:
        return len(self.events)

    def seq(self, event_type: str) -> int:
        """Of the first event of this type in the run that deployed."""
        return next(e.seq for e in self.events if e.type == event_type and e.run == self.of.run)

    def at(self, seq: int) -> Path:
        return self.store / entries.name(seq)

    def event(self, event_type: str) -> Path:
        """The file of an event, which is named as the bad one."""
        seq = self.seq(event_type)
        self.named = entries.name(seq)
        return self.at(seq)

    def file(self, name: str) -> Path:
        """A file of the run that deployed, which is named as the bad one."""
        self.named = f"runs/{self.of.run}/{name}"
        return self.store / self.named

    def trust(self, name: str) -> Path:
        """A file of the trust set that approvals were judged by; the event that put the set in force is named."""
        seq = max(event.seq for event in self.events if event.type == "key.enrolled")
        self.named = entries.name(seq)
        return self.store / str(self.events[seq].data["set"]) / name

    def approvals(self) -> list[Path]:
        return sorted((self.store / "runs" / self.of.run / "approvals").glob("*.json"))

    def forge(self, seq: int, signer: FileSigner, **changes: Any) -> None:
        """An event that fits the tree at `seq`, with the fields of the one there (or of the last), signed by `signer`."""
        before = entries.parse(self.at(seq - 1).read_bytes())
        model = self.events[min(seq, self.size - 1)]
        event = replace(model, **{"seq": seq, "prev": line_hash(before.line), **changes})
        _, data = entries.build(event, before.path_after, before.signed.checkpoint.origin, signer)
        self.at(seq).write_bytes(data)

    def insider(self) -> FileSigner:
        """The log's own key."""
        return FileSigner.open(self.of.key)

    def stranger(self) -> FileSigner:
        return FileSigner.open_or_create(self.store.parent / "stranger.pem")


def swap_bytes(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data, (path, old)
    path.write_bytes(data.replace(old, new, 1))


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def exchange(one: Path, other: Path) -> None:
    spare = one.with_name("spare")
    one.rename(spare)
    other.rename(one)
    spare.rename(other)


def replaced_by_link(path: Path, elsewhere: Path) -> None:
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
