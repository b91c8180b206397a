"""The log's key is changed: `key.rotated`, signed by the old key, names the new one, which says so itself right after.

    key.rotated    by the old key: the set with the new log.vkey and log.pem, the old key, why
    key.enrolled   by the new key: the same set; from here on it signs

The second event shows that the new key is held, and lets whoever knows only the new key authenticate the head. Between
the two nobody else can write: a process that holds the old key refuses once it has read the first. A key file changes
place by one rename after both; whoever opens the record after a kill finishes what was begun, or leaves it as not begun.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pytest_deploy.errors import RecordError, RecordTampered, Refused
from pytest_deploy.record import atomic_file
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import KeyRotated
from pytest_deploy.record.key import FileSigner, LogKey, Signer, enrolled_key, trust_set, write_plain_copies, write_set
from pytest_deploy.record.log import Log, LogView
from pytest_deploy.record.run_id import NO_RUN
from pytest_deploy.record.run_state import LogState
from pytest_deploy.record.store import Exists

IN_A_FILE = "file"
"""What events call a key that lies in a file; a key in Cloud KMS is called by its version's name."""


def rotate(log: Log, folder: Path, new: Signer, *, signer: str, reason: str, actor: str) -> Event:
    """Let `new` sign the log from now on; returns the `key.rotated` event. A rotation that was cut short is finished.

    `folder` is the store's, for the plain copies of its trust set. Raises Refused where a run is open, the key is the one that signs already, or the roster changed meanwhile.
    """
    begun = log.head()
    key = LogKey(log.key.origin, new.public)
    if begun is not None and _names(begun, key):
        confirm(log, folder, new, begun, actor=actor)
        return begun
    if key == log.key:
        raise Refused(f"{key.vkey} signs the log already; a rotation needs another key")
    events = list(log.events())
    # A claim looks back to the newest lease, and a plan, which holds none, may have opened before it.
    if left := LogState.of(events).open_runs():
        raise _in_use(left[0])
    before = [event for event in events if event.type.startswith("key.")][-1]
    files = {**trust_set(log.store, before.data["set_sha256"]), **key.files}
    place, sha256 = write_set(log.store, files)

    def nothing_runs(view: LogView) -> None:
        newest = next(event for event in view.log.backwards() if event.type.startswith("key."))
        if newest.seq != before.seq:
            raise Refused("somebody else changed the roster or the key meanwhile; look (keys list), then try again")
        lease, running = view.state.lease, view.state.open_runs()
        if running or (lease is not None and lease.until > view.time):
            run = running[0] if running else (lease.run if lease is not None else "")
            raise _in_use(run)

    rotated = KeyRotated(
        set=place,
        set_sha256=sha256,
        person=None,
        fingerprint=key.fingerprint,
        reason=reason,
        origin=key.origin,
        vkey=key.vkey,
        previous=log.key.vkey,
        signer=signer,
    )
    event = log.append(rotated, run=NO_RUN, actor=actor, claim=nothing_runs)
    confirm(log, folder, new, event, actor=actor)
    return event


def _in_use(run: str) -> Refused:
    return Refused(f"{run} is open and signs with the present key: let it end (or deploy.py recover), then rotate")


def confirm(log: Log, folder: Path, new: Signer, rotated: Event, *, actor: str) -> None:
    """Let the new key sign its own first event, right after the one that names it; once, whoever comes first."""

    def right_after(view: LogView) -> None:
        head = next(view.log.backwards())
        if head.seq != rotated.seq:
            raise Exists("the new key has signed meanwhile")

    named = rotated.read(KeyRotated)
    with suppress(OSError):  # a convenience; the rotation is finished without it
        write_plain_copies(folder, trust_set(log.store, named.set_sha256))
    log.use_signer(new)
    reason = f"the key that event {rotated.seq} names signs from here on"
    with suppress(Exists):
        enrolled = enrolled_key(log.key, named.set, named.set_sha256, reason)
        log.append(enrolled, run=NO_RUN, actor=actor, claim=right_after)


class KeyFile:
    """A key file and its successor beside it, both 0600: `production.pem`, `production.next-<16 hex>.pem`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def pending_successors(self) -> Iterator[Path]:
        """Successors that have not taken its place."""
        return iter(sorted(self.path.parent.glob(f"{self.path.stem}.next-*.pem")))

    def make_successor(self) -> Path:
        """A new key beside the present one; one that an earlier, unfinished rotation made is used again."""
        made = next(self.pending_successors(), None)
        if made is not None:
            return made
        pem, key = FileSigner.generate()
        # Named by its own key, so that nobody who settles one rotation moves another's successor.
        path = self.path.with_name(f"{self.path.stem}.next-{key.fingerprint[:16]}.pem")
        try:
            atomic_file.create(path, pem, mode=0o600)
        except OSError as error:
            raise RecordError(f"the new key {path} cannot be made: {error.strerror}; see to the folder") from error
        return path

    def retire(self) -> Path:
        """Give the present key a second name, which stays: `production.retired-<16 hex>.pem`."""
        name = LogKey("", FileSigner.open(self.path).public).fingerprint[:16]
        kept = self.path.with_name(f"{self.path.stem}.retired-{name}.pem")
        with suppress(FileExistsError):
            os.link(self.path, kept)
        return kept

    def install(self, successor: Path) -> None:
        """Put the successor in the present key's place, which is thereby destroyed; done by another already is done."""
        with suppress(FileNotFoundError):
            atomic_file.replace(successor, self.path)


def finish_rotation(log: Log, folder: Path, key_file: Path, *, actor: str) -> None:
    """Finish a rotation of the key file that a process left when it died; `log` is opened with the file as it lies.

    Where `key.rotated` was not written, nothing was begun, and the successor waits for the next rotation.
    """
    files = KeyFile(key_file)
    for successor in files.pending_successors():
        try:
            new = FileSigner.open(successor)
        except RecordError:
            if not successor.exists():  # another process has just settled it
                continue
            raise
        key = LogKey(log.key.origin, new.public)
        if _signs(log, new):
            log.use_signer(new)
        else:
            head = log.head()
            if head is None or not _names(head, key):
                continue
            confirm(log, folder, new, head, actor=actor)
        files.install(successor)


def _signs(log: Log, new: Signer) -> bool:
    """Whether the log's newest event is the new key's already."""
    try:
        return Log(log.store, new, log.key.origin, log.clock).head() is not None
    except RecordTampered:
        return False


def _names(event: Event, key: LogKey) -> bool:
    return event.type == "key.rotated" and event.data.get("vkey") == key.vkey
