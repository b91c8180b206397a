"""How a record comes to be, how an existing one is opened (only if it is what its key signed), how its key is changed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

from pytest_deploy.errors import RecordError, RecordTampered, Refused, UsageError
from pytest_deploy.policy.policy import Policy
from pytest_deploy.record import atomic_file, log_entry
from pytest_deploy.record.bucket import EMULATOR, Bucket, MirroredStore, copy_of, emulated
from pytest_deploy.record.clock import Clock
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import KeyEnrolled, KeyRotated
from pytest_deploy.record.key import FileSigner, LogKey, Signer, first_set, trust_set, write_plain_copies, write_set
from pytest_deploy.record.log import Log, LogView
from pytest_deploy.record.run_id import NO_RUN, recover_command
from pytest_deploy.record.run_state import LogState
from pytest_deploy.record.store import Exists, FolderStore, Store, unavailable
from pytest_deploy.workspace import NOT_SAID, Workspace, verify_command

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
    new_record: str = "",
) -> Log:
    """The log in a store, begun if there is none and never was.

    What the store holds is then on this machine too (Store.folder). Beginning: the key, its trust set, event 0 (key.enrolled)
    that names the set. Opening: every name 0…size-1 is there and the head is authentic. `signer` signs where one is given,
    else the key in `key_file`, made with the log; a rotation of the file that was cut short is finished. `shift` is a
    rehearsal's: what its clock is ahead of `clock`, the real one. `redact` is asked about every text of an event.
    `new_record` is why a record is begun where one was before, as the first event says it.
    Raises RecordTampered, also where a record was begun here and is gone, StoreUnavailable; RecordError where the key is missing
    or unfit; Refused where there is a record and a new one is asked for.
    """
    folder = store.folder()
    exists = _count(store) > 0
    if exists and new_record:
        raise Refused(
            f"{_shown(store.path, store)} holds a record: it goes on; a new one begins only where there is none"
        )
    if not exists:
        _refuse_emptied_log(folder, store)
        if not new_record:
            refuse_removed_record(store, key_file)
    log_signer = signer or (FileSigner.open(key_file) if exists else FileSigner.open_or_create(key_file))
    log = Log(store, log_signer, origin, clock, shift=shift, redact=redact)
    if not exists:
        _begin(log, actor, f"begun anew: {new_record}" if new_record else "the log begins")
    if signer is None:
        finish_rotation(log, folder, key_file, actor=actor)
    log.head()
    _remember(log, key_file)
    _write_plain_copies(folder, log)
    return log


def _count(store: Store) -> int:
    """How many events lie in the log, by listing; raises RecordTampered where a name is missing or none of ours."""
    names = list(store.names("log/"))
    for seq, name in enumerate(names):
        if name != log_entry.name(seq):
            wrong = f"{log_entry.name(seq)} is missing" if _NAME.fullmatch(name) else f"{name} is no event"
            raise RecordTampered(f"{wrong}: `{verify_command(store.path)}`")
    return len(names)


def _refuse_emptied_log(folder: Path, store: Store) -> None:
    """A log without an event beside what is only stored once it has one was emptied: it must not begin again unseen."""
    left = [name for name in ("runs", "signoffs", "anchors", "preimages", "trust/log.vkey") if (folder / name).exists()]
    if left and _count(store) == 0:  # counted again: another process may have begun the log meanwhile, the event first
        raise RecordTampered(
            f"{folder / 'log'} holds no event, yet {left[0]} is there: the log was removed; restore it from a copy, and hold it "
            f"against an anchor line: `{verify_command(folder, '--anchor', NOT_SAID)}`"
        )


def begun_file(key_file: Path) -> Path:
    """What tells, beside the log's key, that a record was begun with this machine: it holds the key's public half."""
    return key_file.with_suffix(".begun")


def new_record_command(workspace: Workspace) -> str:
    """What a person types to begin a record where one was before."""
    # Of a record that is evidence only a person can say why it is gone. Policy, which says whether it is, is not at hand where a
    # store is opened by its path: the name `local` stands for a record that is none, and of any other a person says why.
    evidence = workspace.environment != "local" or workspace.rehearsal
    reason = NOT_SAID if evidence else f"{workspace.shown(workspace.store)} was removed"
    return workspace.command_line("keys init", "--new-record", "--reason", reason)


def refuse_removed_record(store: Store, key_file: Path) -> None:
    """A record that was begun here and is gone must not begin again as if it were the first. Raises RecordTampered."""
    begun = begun_file(key_file)
    if not begun.exists() or _count(store) > 0:  # counted again: the first event comes before this file
        return
    anew = new_record_command(Workspace.of_store(store.path))
    raise RecordTampered(
        f"{_shown(store.path, store)} holds no record, and one was begun here ({_shown(begun, store)}): it was removed, or lies elsewhere; "
        f"restore it from a copy, or say that a new one begins: `{anew}`"
    )


def _shown(path: Path, store: Store) -> str:
    """A path as people read it: relative to the checkout that the store lies in, where it lies there too."""
    root = Workspace.of_store(store.path).root
    return path.absolute().relative_to(root).as_posix() if path.absolute().is_relative_to(root) else str(path)


def _remember(log: Log, key_file: Path) -> None:
    """Keep beside the key that there is a record, once its first event is there."""
    begun = begun_file(key_file)
    if not begun.exists():
        with suppress(
            OSError
        ):  # a convenience where nothing can be written: who reads such a place begins nothing there
            atomic_file.create(begun, f"{log.key.vkey}\n".encode())


def _begin(log: Log, actor: str, reason: str) -> None:
    def nobody_was_faster(view: LogView) -> None:
        if next(view.log.backwards(), None) is not None:
            raise Exists("another process began the log meanwhile")

    folder, sha256 = write_set(log.store, first_set(log.key))
    with suppress(Exists):
        first = KeyEnrolled(set=folder, set_sha256=sha256, reason=reason, **log.key.named)
        log.append(first, run=NO_RUN, actor=actor, condition=nobody_was_faster)


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
    _refuse_elsewhere(workspace)
    rule, place = policy.record, policy.place(rehearsal=workspace.rehearsal)
    if rule.bucket is None:
        if bucket := copy_of(workspace.store):
            raise UsageError(
                f"{workspace.store} is the copy of {bucket}, and deploy.yaml lets the record lie in a folder: move the folder "
                "away, or give record: {store: gcs, ...} back"
            )
        return FolderStore(workspace.store)
    return MirroredStore(bucket_of(policy, "record.store", rule.bucket, rule.prefix, place), workspace.store)


def _refuse_elsewhere(workspace: Workspace) -> None:
    """A link in the checkout must not lead the record out of it, to where somebody else reads or writes. Raises UsageError."""
    lies = workspace.store.resolve()
    if not lies.is_relative_to(workspace.root.resolve()):
        raise UsageError(
            f"{workspace.shown(workspace.store)} leads to {lies}, outside the checkout: a record lies in it; put the folder itself there"
        )


def bucket_of(policy: Policy, key: str, name: str, *path: str) -> Bucket:
    """A bucket that `key` of policy names, at the path of these parts: Google's own, or at a loopback address as policy or a rehearsal has it.

    Raises UsageError where it would be the other.
    """
    prefix = "/".join(filter(None, path))
    if policy.platform.kind == "embedded" and not emulated():
        raise UsageError(
            f"{key} is gcs, and {policy.environment} stays on this machine: set {EMULATOR} to a loopback address, or let it "
            "lie in a folder"
        )
    if policy.platform.kind == "embedded":
        return Bucket(name, prefix)
    if emulated():
        raise UsageError(f"{key} is gcs, and {policy.environment} is real: unset {EMULATOR}, which leads to a stand-in")
    loopback = policy.platform.google.loopback if policy.platform.google is not None else None
    if loopback is None:
        return Bucket(name, prefix)
    if loopback.storage is None:
        raise UsageError(
            f"{key} is gcs, and platform.google.loopback of {policy.environment} names no address for storage: nothing is sent "
            "to Google beside stand-ins; name one, or let it lie in a folder"
        )
    return Bucket(name, prefix, stand_in=f"http://{loopback.storage}")


# --- The log's key is changed: `key.rotated`, signed by the old key, names the new one, which says so itself right after.
#
#     key.rotated    by the old key: the set with the new log.vkey and log.pem, the old key, why
#     key.enrolled   by the new key: the same set; from here on it signs
#
# The second event shows that the new key is held, and lets whoever knows only the new key authenticate the head. Between
# the two nobody else can write: a process that holds the old key refuses once it has read the first. A key file changes
# place by one rename after both; whoever opens the record after a kill finishes what was begun, or leaves it as not begun.

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
    # A condition looks back to the newest lease, and a plan, which holds none, may have opened before it.
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
        if lease is not None and lease.until > view.time:
            running = (*running, lease.run)
        if running:
            raise _in_use(running[0])

    rotated = KeyRotated(set=place, set_sha256=sha256, reason=reason, previous=log.key.vkey, signer=signer, **key.named)
    event = log.append(rotated, run=NO_RUN, actor=actor, condition=nothing_runs)
    confirm(log, folder, new, event, actor=actor)
    return event


def _in_use(run: str) -> Refused:
    return Refused(
        f"{run} is open and signs with the present key: let it end (if it died: `{recover_command(run)}`), then rotate"
    )


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
        enrolled = KeyEnrolled(set=named.set, set_sha256=named.set_sha256, reason=reason, **log.key.named)
        log.append(enrolled, run=NO_RUN, actor=actor, condition=right_after)


class KeyFile:
    """A key file and its successor beside it, both 0600: `production.pem`, `production.next-<16 hex>.pem`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def pending_successors(self) -> list[Path]:
        """Successors that have not taken its place."""
        return sorted(self.path.parent.glob(f"{self.path.stem}.next-*.pem"))

    def make_successor(self) -> Path:
        """A new key beside the present one; one that an earlier, unfinished rotation made is used again."""
        if made := self.pending_successors():
            return made[0]
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
