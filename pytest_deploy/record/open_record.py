"""How a record comes to be, and how an existing one is opened: only if it is what its key signed."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

from pytest_deploy.errors import RecordTampered, UsageError
from pytest_deploy.policy.policy import Policy
from pytest_deploy.record import atomic_file, log_entry
from pytest_deploy.record.bucket import EMULATOR, Bucket, MirroredStore, copy_of, emulated
from pytest_deploy.record.clock import Clock
from pytest_deploy.record.key import (
    FileSigner,
    Signer,
    enrolled_key,
    first_set,
    trust_set,
    write_plain_copies,
    write_set,
)
from pytest_deploy.record.log import Log, LogView
from pytest_deploy.record.rotation import finish_rotation
from pytest_deploy.record.run_id import NO_RUN
from pytest_deploy.record.store import Exists, FolderStore, Store, unavailable
from pytest_deploy.workspace import Workspace

_SECOND_OPINION: Final = Path(__file__).parent.parent / "verify" / "verify.sh"
_NAME = re.compile(r"log/\d{8}\.event")


def open_record(
    store: Store,
    *,
    origin: str,
    key_file: Path,
    clock: Clock,
    actor: str,
    signer: Signer | None = None,
    shift: timedelta | None = None,
    redact: Callable[[str], str] | None = None,
) -> Log:
    """The log in a store, begun if there is none.

    What the store holds is then on this machine too (Store.folder). Beginning: the key, its trust set, event 0 (key.enrolled)
    that names the set. Opening: every name 0…size-1 is there and the head is authentic. `signer` signs where one is given,
    else the key in `key_file`, made with the log; a rotation of the file that was cut short is finished. `shift` is a
    rehearsal's: what its clock is ahead of `clock`, the real one. `redact` is asked about every text of an event.
    Raises RecordTampered, StoreUnavailable; RecordError where the key is missing or unfit.
    """
    folder = store.folder()
    exists = _count(store) > 0
    log_signer = signer or (FileSigner.open(key_file) if exists else FileSigner.open_or_create(key_file))
    log = Log(store, log_signer, origin, clock, shift=shift, redact=redact)
    if not exists:
        _refuse_emptied_log(folder, store)
        _begin(log, actor)
    if signer is None:
        finish_rotation(log, folder, key_file, actor=actor)
    log.head()
    _write_plain_copies(folder, log)
    return log


def _count(store: Store) -> int:
    """How many events lie in the log, by listing; raises RecordTampered where a name is missing or none of ours."""
    names = list(store.names("log/"))
    for seq, name in enumerate(names):
        if name != log_entry.name(seq):
            wrong = f"{log_entry.name(seq)} is missing" if _NAME.fullmatch(name) else f"{name} is no event"
            raise RecordTampered(f"{wrong}: deploy.py verify tells more")
    return len(names)


def _refuse_emptied_log(folder: Path, store: Store) -> None:
    """A log without an event beside what is only stored once it has one was emptied: it must not begin again unseen."""
    left = [name for name in ("runs", "signoffs", "anchors", "trust/log.vkey") if (folder / name).exists()]
    if left and _count(store) == 0:  # counted again: another process may have begun the log meanwhile, the event first
        raise RecordTampered(
            f"{folder / 'log'} holds no event, yet {left[0]} is there: the log was removed; restore it from a copy, and hold it "
            "against an anchor line (deploy.py verify --anchor)"
        )


def _begin(log: Log, actor: str) -> None:
    def nobody_was_faster(view: LogView) -> None:
        if next(view.log.backwards(), None) is not None:
            raise Exists("another process began the log meanwhile")

    folder, sha256 = write_set(log.store, first_set(log.key))
    with suppress(Exists):
        first = enrolled_key(log.key, folder, sha256, "the log begins")
        log.append(first, run=NO_RUN, actor=actor, claim=nobody_was_faster)


def _write_plain_copies(folder: Path, log: Log) -> None:
    """Plain copies of the newest trust set (where none lie), and the second opinion, which needs none of this software."""
    try:
        if not (folder / "trust" / "log.vkey").exists():
            newest = next(event for event in log.backwards() if event.type.startswith("key."))
            write_plain_copies(folder, trust_set(log.store, newest.data["set_sha256"]))
        if _SECOND_OPINION.is_file() and not (folder / "verify.sh").exists():
            with suppress(FileExistsError):
                atomic_file.create(folder / "verify.sh", _SECOND_OPINION.read_bytes(), mode=0o755)
    except OSError as error:
        raise unavailable(folder, error) from error


def record_store(workspace: Workspace, policy: Policy) -> Store:
    """The place that policy names for the record of an environment, or of its rehearsals.

    The embedded platform's record never goes to Google, and a record of the cloud never to a stand-in. Raises UsageError.
    """
    rule, place = policy.record, policy.place(rehearsal=workspace.rehearsal)
    if rule.bucket is None:
        if bucket := copy_of(workspace.store):
            raise UsageError(
                f"{workspace.store} is the copy of {bucket}, and deploy.yaml lets the record lie in a folder: move the folder "
                "away, or give record: {store: gcs, ...} back"
            )
        return FolderStore(workspace.store)
    refuse_misplaced(policy, "record.store")
    return MirroredStore(Bucket(rule.bucket, "/".join(filter(None, (rule.prefix, place)))), workspace.store)


def refuse_misplaced(policy: Policy, key: str) -> None:
    """The embedded platform's buckets are at a loopback address, the cloud's are Google's. Raises UsageError."""
    embedded = policy.platform.kind == "embedded"
    if embedded and not emulated():
        raise UsageError(
            f"{key} is gcs, and {policy.environment} stays on this machine: set {EMULATOR} to a loopback address, or let it "
            "lie in a folder"
        )
    if emulated() and not embedded:
        raise UsageError(f"{key} is gcs, and {policy.environment} is real: unset {EMULATOR}, which leads to a stand-in")
