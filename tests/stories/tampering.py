"""Every way we know to tamper with a record, done to a copy of a real one; what each verifier says of it stands in docs/tampering.md."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from pytest_deploy.record import entry as entries
from pytest_deploy.record.event import Event, line_hash
from pytest_deploy.record.folder import file_sha256
from pytest_deploy.record.key import FileSigner, LogKey
from tests.stories.production import ProductionRecord


@dataclass
class Tampered:
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
    def copy(cls, production: ProductionRecord, store: Path) -> Tampered:
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


# --- the log


def event_edited(it: Tampered) -> None:
    swap_bytes(it.event("gate.refused"), b'"verdict":"refused"', b'"verdict":"allowed"')


def event_deleted(it: Tampered) -> None:
    it.event("gate.refused").unlink()


def first_deleted(it: Tampered) -> None:
    it.named = entries.name(0)
    it.at(0).unlink()


def deleted_and_renumbered(it: Tampered) -> None:
    it.event("gate.refused").unlink()
    for seq in range(it.seq("gate.refused") + 1, it.size):
        it.at(seq).rename(it.at(seq - 1))


def reordered(it: Tampered) -> None:
    exchange(it.event("approval.signed"), it.at(it.seq("approval.signed") + 1))


def renamed(it: Tampered) -> None:
    it.event("gate.refused").rename(it.at(it.size + 7))


def inserted(it: Tampered) -> None:
    seq = it.seq("run.decided")
    it.named = entries.name(seq)
    for later in range(it.size - 1, seq - 1, -1):
        it.at(later).rename(it.at(later + 1))
    shutil.copy(it.at(seq - 1), it.at(seq))


def appended_by_a_stranger(it: Tampered) -> None:
    it.named = entries.name(it.size)
    it.forge(it.size, it.stranger(), type="alert.raised", data={"alert": "all", "detail": "is well"})


def forged_in_place(it: Tampered) -> None:
    it.event("gate.refused")
    seq = it.seq("gate.refused")
    it.forge(seq, it.stranger(), type="gate.passed", data={**it.events[seq].data, "verdict": "passed"})


def emptied(it: Tampered) -> None:
    it.event("gate.refused").write_bytes(b"")


def cut_short(it: Tampered) -> None:
    path = it.event("gate.refused")
    os.truncate(path, path.stat().st_size - 30)


def lengthened(it: Tampered) -> None:
    path = it.event("gate.refused")
    path.write_bytes(path.read_bytes() + b"approved by all\n")


def crlf(it: Tampered) -> None:
    path = it.event("gate.refused")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


def key_twice(it: Tampered) -> None:
    swap_bytes(it.event("gate.refused"), b'"v":1}\n', b'"v":1,"v":1}\n')


def rewritten_json(it: Tampered) -> None:
    swap_bytes(it.event("gate.refused"), b'"v":1}\n', b'"v": 1}\n')


def signature_flipped(it: Tampered) -> None:
    path = it.event("approval.signed")
    flip(path, path.stat().st_size - 40)


def event_linked(it: Tampered) -> None:
    replaced_by_link(it.event("gate.refused"), it.store.parent / "elsewhere")


def event_a_fifo(it: Tampered) -> None:
    path = it.event("gate.refused")
    path.unlink()
    os.mkfifo(path)


def look_alike_name(it: Tampered) -> None:
    """Its last digit is a FULLWIDTH DIGIT."""
    path = it.event("gate.refused")
    other = path.with_name(f"{path.stem[:-1]}{chr(0xFF10 + int(path.stem[-1]))}.event")
    path.rename(other)
    it.named_by_script = f"log/{other.name}"


def foreign_file(it: Tampered) -> None:
    it.named = "log/00000007.event.bak"
    shutil.copy(it.at(7), it.store / it.named)


def log_deleted(it: Tampered) -> None:
    it.named, it.named_by_script = "log/", entries.name(0)
    shutil.rmtree(it.store / "log")
    (it.store / "log").mkdir()


def truncated(it: Tampered) -> None:
    """From the refused gate on, and all that would tell of it."""
    it.anchor = it.of.anchor
    it.named = entries.name(it.seq("gate.refused"))
    for seq in range(it.seq("gate.refused"), it.size):
        it.at(seq).unlink()


def rewritten_by_an_insider(it: Tampered) -> None:
    """A refused verdict made a passed one, and every later event signed anew with the log's own key."""
    it.anchor = it.of.anchor
    it.named = "--anchor"
    begun = it.seq("gate.refused")
    for seq in range(begun, it.size):
        event = it.events[seq]
        changes = {"type": "gate.passed", "data": {**event.data, "verdict": "passed"}} if seq == begun else {}
        it.forge(seq, it.insider(), **changes)


def backdated_by_an_insider(it: Tampered) -> None:
    it.named = entries.name(it.size)
    early = it.events[0].time - timedelta(days=1)
    said = {"alert": "x", "detail": "y"}
    it.forge(it.size, it.insider(), type="alert.raised", data=said, time=early)


def closed_twice_by_an_insider(it: Tampered) -> None:
    """The outcome changed after the fact."""
    it.named = entries.name(it.size)
    closed = next(event for event in it.events if event.type == "run.closed" and event.run == it.of.run)
    it.forge(it.size, it.insider(), type="run.closed", run=it.of.run, data={**closed.data, "outcome": "rolled-back"})


def unknown_type_by_an_insider(it: Tampered) -> None:
    it.named = entries.name(it.size)
    it.forge(it.size, it.insider(), type="gate.waived", data={})


def another_environments_log(it: Tampered) -> None:
    it.named = entries.name(0)
    shutil.rmtree(it.store / "log")
    shutil.copytree(it.of.staging / "log", it.store / "log")


def another_environments_record(it: Tampered) -> None:
    it.anchor = it.of.anchor
    it.named = "--anchor"
    shutil.rmtree(it.store)
    shutil.copytree(it.of.staging, it.store)


def log_linked(it: Tampered) -> None:
    it.named = "log/"
    replaced_by_link(it.store / "log", it.store.parent / "elsewhere")


# --- the keys


def signers_altered(it: Tampered) -> None:
    """A stranger's key in a signer's place."""
    path = it.trust("allowed_signers")
    lines = path.read_text().splitlines(keepends=True)
    swap_bytes(path, lines[0].split()[-1].encode(), lines[1].split()[-1].encode())


def key_replaced(it: Tampered) -> None:
    """The log's public key, in both forms, by a stranger's."""
    path = it.trust("log.vkey")
    it.named = entries.name(max(e.seq for e in it.events if e.type == "key.enrolled"))
    other = LogKey(it.events[0].data["origin"], it.stranger().public)
    path.write_text(f"{other.vkey}\n")
    path.with_name("log.pem").write_text(other.pem)


def file_added_to_a_set(it: Tampered) -> None:
    it.trust("tsa-ca.pem").write_text("a certificate")


def set_deleted(it: Tampered) -> None:
    shutil.rmtree(it.trust("log.pem").parent)


def trust_replaced(it: Tampered) -> None:
    it.named = entries.name(0)
    shutil.rmtree(it.store / "trust")
    shutil.copytree(it.of.staging / "trust", it.store / "trust")


def plain_copy_altered(it: Tampered) -> None:
    it.named = "trust/log.pem"
    shutil.copy(it.of.staging / "trust/log.pem", it.store / it.named)


# --- the files of a run


def report_altered(it: Tampered) -> None:
    flip(it.file("report.html"), 2000)


def report_swapped(it: Tampered) -> None:
    shutil.copy(it.store / "runs" / it.of.plan / "report.html", it.file("report.html"))


def report_and_list_swapped(it: Tampered) -> None:
    for name in ("report.html", "SHA256SUMS"):
        shutil.copy(it.store / "runs" / it.of.plan / name, it.file(name))


def list_mended(it: Tampered) -> None:
    """A report altered, and its line in SHA256SUMS with it."""
    report = it.file("report.html")
    before = file_sha256(report)
    flip(report, 2000)
    swap_bytes(it.file("SHA256SUMS"), before.encode(), file_sha256(report).encode())


def list_deleted(it: Tampered) -> None:
    it.file("SHA256SUMS").unlink()


def file_added(it: Tampered) -> None:
    it.file("waiver.pdf").write_bytes(b"%PDF")


def dot_file_added(it: Tampered) -> None:
    it.file(".waiver").write_bytes(b"")


def look_alike_added(it: Tampered) -> None:
    """A second report.html, with a Cyrillic letter."""
    shutil.copy(it.store / "runs" / it.of.run / "report.html", it.file("r\u0435port.html"))


def line_break_in_a_name(it: Tampered) -> None:
    it.file("report.html\nSHA256SUMS").touch()


def file_deleted(it: Tampered) -> None:
    it.file("junit.xml").unlink()


def file_linked(it: Tampered) -> None:
    replaced_by_link(it.file("report.html"), it.store.parent / "elsewhere")


def folder_linked(it: Tampered) -> None:
    replaced_by_link(it.file("allure-results"), it.store.parent / "elsewhere")


def run_deleted(it: Tampered) -> None:
    shutil.rmtree(it.file("SHA256SUMS").parent)


def run_renamed(it: Tampered) -> None:
    folder = it.file("SHA256SUMS").parent
    other = f"{it.of.run[:-4]}ffff"
    folder.rename(folder.with_name(other))
    it.named_by_script = f"runs/{other}"


def run_invented(it: Tampered) -> None:
    other = f"{it.of.run[:-4]}0000"
    it.named = f"runs/{other}"
    shutil.copytree(it.store / "runs" / it.of.run, it.store / it.named)


def request_altered(it: Tampered) -> None:
    swap_bytes(it.file("request.json"), b'"commit":"', b'"commit":"0')


# --- approvals


def approval_altered(it: Tampered) -> None:
    path = it.approvals()[0]
    it.file(f"approvals/{path.name}")
    swap_bytes(path, b'"meaning":"', b'"meaning":"not ')


def approvals_swapped(it: Tampered) -> None:
    one, other = it.approvals()
    it.file(f"approvals/{one.name}")
    exchange(one, other)


def signature_swapped(it: Tampered) -> None:
    one, other = it.approvals()
    it.file(f"approvals/{one.name}.sig")
    shutil.copy(f"{other}.sig", f"{one}.sig")


def approval_deleted(it: Tampered) -> None:
    path = it.approvals()[0]
    it.file(f"approvals/{path.name}")
    path.unlink()


def approval_forged_by_an_insider(it: Tampered) -> None:
    """The event that counts an approval, written anew with the log's own key: it now counts it for another person."""
    it.named = ""
    seq = it.seq("approval.signed")
    role = it.events[seq].data["role"]
    other = next(e.data["signer"] for e in it.events if e.type == "approval.signed" and e.data["role"] != role)
    it.named = it.events[seq].data["file"]
    for position in range(seq, it.size):
        changes = {"data": {**it.events[seq].data, "signer": other}} if position == seq else {}
        it.forge(position, it.insider(), **changes)


# --- anchors


def checkpoint(it: Tampered, size: int, store: Path | None = None) -> Path:
    """A copy of the checkpoint that a log had at this size."""
    it.named = f"anchors/{size:08d}.checkpoint"
    path = it.store / it.named
    path.parent.mkdir(exist_ok=True)
    path.write_text(entries.parse(((store or it.store) / entries.name(size - 1)).read_bytes()).signed.text)
    return path


def anchor_of_another_log(it: Tampered) -> None:
    checkpoint(it, 9, it.of.staging)


def anchor_altered(it: Tampered) -> None:
    path = checkpoint(it, 9)
    flip(path, len(path.read_bytes()) - 30)


def truncated_behind_an_anchor(it: Tampered) -> None:
    """The copied anchor was forgotten."""
    checkpoint(it, it.size)
    it.named = entries.name(it.size - 1)
    it.at(it.size - 1).unlink()


def anchor_renamed(it: Tampered) -> None:
    path = checkpoint(it, 9)
    it.named = "anchors/00000012.checkpoint"
    path.rename(it.store / it.named)


# --- what a record cannot show by itself, and what is no tampering


def last_deleted(it: Tampered) -> None:
    it.at(it.size - 1).unlink()


def rewritten_unseen(it: Tampered) -> None:
    rewritten_by_an_insider(it)
    it.anchor = None


def replaced_whole(it: Tampered) -> None:
    another_environments_record(it)
    it.anchor = None


def script_altered(it: Tampered) -> None:
    (it.store / "verify.sh").write_text("#!/bin/sh\necho verified: all is well\n")


def unfinished_write(it: Tampered) -> None:
    (it.store / "log" / ".00000007.new").write_bytes(b"half of an event")


def file_beside(it: Tampered) -> None:
    (it.store / "minutes.txt").write_text("who met whom\n")


def approval_uncounted(it: Tampered) -> None:
    """Laid where a request lies that nobody has run: in a sealed folder it would be one file too many."""
    (it.store / "signoffs" / it.of.run).mkdir(parents=True)
    (it.store / "signoffs" / it.of.run / "qa-lead-00000000.json").write_text("{}\n")


def empty_folder(it: Tampered) -> None:
    it.file("empty").mkdir()


def hard_link(it: Tampered) -> None:
    os.link(it.file("report.html"), it.store.parent / "report.html")


def times_and_rights(it: Tampered) -> None:
    os.utime(it.file("report.html"), (0, 0))
    it.file("report.html").chmod(0o666)


UNSEEN: Mapping[str, Callable[[Tampered], None]] = {
    "the last event deleted, no anchor given": last_deleted,
    "the log rewritten with its own key, no anchor given": rewritten_unseen,
    "the whole record replaced by another one, keys included, no anchor given": replaced_whole,
    "`verify.sh` in the store replaced": script_altered,
    "a dot-file in the log": unfinished_write,
    "a file beside the record": file_beside,
    "a signed file that no event counts": approval_uncounted,
    "an empty folder in a sealed run": empty_folder,
    "a second name (hard link) for a file": hard_link,
    "times and rights of files changed": times_and_rights,
}
"""What both verifiers let pass, in the order of docs/tampering.md, which says why."""

KINDS: Mapping[str, Callable[[Tampered], None]] = {
    "an event edited": event_edited,
    "an event deleted": event_deleted,
    "the first event deleted": first_deleted,
    "an event deleted, the later ones renumbered": deleted_and_renumbered,
    "two events swapped": reordered,
    "an event renamed": renamed,
    "an event inserted": inserted,
    "an event appended, signed by a stranger": appended_by_a_stranger,
    "an event replaced by a forged one": forged_in_place,
    "an event emptied": emptied,
    "an event cut short": cut_short,
    "an event with a line more": lengthened,
    "line ends of another system (CRLF)": crlf,
    "a JSON key twice": key_twice,
    "the same JSON, written otherwise": rewritten_json,
    "an old signature spoilt": signature_flipped,
    "an event replaced by a link": event_linked,
    "an event replaced by a FIFO": event_a_fifo,
    "an event under a look-alike name": look_alike_name,
    "a foreign file in the log": foreign_file,
    "the log emptied": log_deleted,
    "the log replaced by a link": log_linked,
    "the tail cut off, an anchor held outside": truncated,
    "the log rewritten with its own key, an anchor held outside": rewritten_by_an_insider,
    "an event dated back, with the log's own key": backdated_by_an_insider,
    "an outcome changed afterwards, with the log's own key": closed_twice_by_an_insider,
    "an event of a type that does not exist, with the log's own key": unknown_type_by_an_insider,
    "another environment's log": another_environments_log,
    "another environment's whole record, an anchor held outside": another_environments_record,
    "a signer's key replaced in the trust set": signers_altered,
    "the log's key replaced in the trust set": key_replaced,
    "a file added to a trust set": file_added_to_a_set,
    "a trust set deleted": set_deleted,
    "all trust sets replaced by another environment's": trust_replaced,
    "a plain copy of a key altered": plain_copy_altered,
    "a report altered": report_altered,
    "a report swapped for another run's": report_swapped,
    "a report and SHA256SUMS swapped": report_and_list_swapped,
    "a report altered, and SHA256SUMS to match": list_mended,
    "SHA256SUMS deleted": list_deleted,
    "a file added to a sealed run": file_added,
    "a dot-file added to a sealed run": dot_file_added,
    "a file under a look-alike name added": look_alike_added,
    "a file with a line break in its name added": line_break_in_a_name,
    "a file of a sealed run deleted": file_deleted,
    "a file of a sealed run replaced by a link": file_linked,
    "a folder of a sealed run replaced by a link": folder_linked,
    "the folder of a run deleted": run_deleted,
    "the folder of a run renamed": run_renamed,
    "a folder for a run that never was": run_invented,
    "the request altered": request_altered,
    "an approval altered": approval_altered,
    "two approvals swapped": approvals_swapped,
    "a signature swapped for another person's": signature_swapped,
    "an approval deleted": approval_deleted,
    "an approval counted for another person, with the log's own key": approval_forged_by_an_insider,
    "an anchor of another log": anchor_of_another_log,
    "an anchor altered": anchor_altered,
    "an anchor under another size": anchor_renamed,
    "the last event deleted, an anchor copied into the store": truncated_behind_an_anchor,
}
"""In the order of docs/tampering.md."""
