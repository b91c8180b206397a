"""Ways to alter a record that lies on a disk."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.event import Event, line_hash
from pytest_deploy.record.events import parse
from pytest_deploy.record.key import FileSigner, first_set, write_plain_copies, write_set
from pytest_deploy.record.log import Log
from pytest_deploy.record.open_record import open_record
from pytest_deploy.record.store import FolderStore
from tests.unit.record.sample_record import ACTOR, ORIGIN, HandClock, deployed
from tests.unit.verify.conftest import Record


def at(record: Record, seq: int) -> Path:
    return record.store / entries.name(seq)


def replace(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def first(record: Record, name: str) -> Path:
    return record.store / "runs" / record.first / name


def swap(record: Record) -> None:
    spare = record.store / "spare"
    at(record, 5).replace(spare)
    at(record, 6).replace(at(record, 5))
    spare.replace(at(record, 6))


def forge(record: Record, seq: int, signer: FileSigner | None = None, **changes: Any) -> None:
    """Write an event that fits the tree before `seq`, signed by `signer` or else by a stranger."""
    before = entries.parse(at(record, seq - 1).read_bytes())
    fields = {**vars(before.event), "seq": seq, "prev": line_hash(before.line), **changes}
    stranger = signer or FileSigner.open_or_create(record.store.parent / "stranger.pem")
    at(record, seq).write_bytes(entries.build(Event(**fields), before.path_after, ORIGIN, stranger)[1])


def append_unchecked(log: Log, event_type: str, data: Mapping[str, Any], run: str) -> int:
    """Write an event at the end of a log past the code that writes it, as whoever holds its key can; its position."""
    head = log.head()
    assert head is not None
    store = log.store.folder()
    before = entries.parse((store / entries.name(head.seq)).read_bytes())
    event = Event(head.seq + 1, line_hash(before.line), log.clock.now(), "0" * 16, event_type, run, ACTOR, dict(data))
    signer = FileSigner.open(store.parents[1] / "keys" / "local.pem")
    (store / entries.name(event.seq)).write_bytes(entries.build(event, before.path_after, ORIGIN, signer)[1])
    return event.seq


def alert(record: Record) -> None:
    forge(record, record.size, type="alert.raised", run=record.first, data={"alert": "a", "detail": "b"})


def exchange(record: Record, origin: str) -> None:
    """Another environment's log, or another log of this one, under this store's trust."""
    home = record.store.parent / "other"
    log = open_record(
        FolderStore(home / "reports"), origin=origin, key_file=home / "key.pem", clock=HandClock(), actor=ACTOR
    )  # fmt: skip
    deployed(log)
    shutil.rmtree(record.store / "log")
    shutil.copytree(home / "reports" / "log", record.store / "log")


def link(path: Path) -> None:
    elsewhere = path.parents[3] / "elsewhere"
    path.replace(elsewhere)
    path.symlink_to(elsewhere)


def crlf(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


def grow(path: Path, more: bytes) -> None:
    path.write_bytes(path.read_bytes() + more)


def renumber(record: Record) -> None:
    at(record, 5).unlink()
    for seq in range(6, record.size):
        at(record, seq).replace(at(record, seq - 1))


def rotate(log: Log, home: Path) -> Path:
    """A new key, named by an event that the old key signs; what follows is signed by the new one."""
    store = home / "reports" / "local"
    new = FileSigner.open_or_create(home / "keys" / "new.pem")
    after = Log(log.store, new, ORIGIN, log.clock)
    files = first_set(after.key)
    folder, sha256 = write_set(log.store, files)
    data = {
        "set": folder,
        "set_sha256": sha256,
        "person": None,
        "fingerprint": after.key.fingerprint,
        "reason": "yearly",
    }
    log.append(parse("key.rotated", data), run="-", actor=ACTOR)
    write_plain_copies(store, files)
    return store
