"""Tampering with the log and with the keys it is judged by."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.key import LogKey, write_plain_copies, write_set
from pytest_deploy.record.store import FolderStore
from tests.stories.tampered_record import TamperedRecord, exchange, flip, replaced_by_link, swap_bytes

# --- the log


def event_edited(it: TamperedRecord) -> None:
    swap_bytes(it.event("gate.refused"), b'"reason":"', b'"reason":"no ')


def event_deleted(it: TamperedRecord) -> None:
    it.event("gate.refused").unlink()


def first_deleted(it: TamperedRecord) -> None:
    it.named = entries.name(0)
    it.at(0).unlink()


def deleted_and_renumbered(it: TamperedRecord) -> None:
    it.event("gate.refused").unlink()
    for seq in range(it.seq("gate.refused") + 1, it.size):
        it.at(seq).rename(it.at(seq - 1))


def reordered(it: TamperedRecord) -> None:
    exchange(it.event("approval.signed"), it.at(it.seq("approval.signed") + 1))


def renamed(it: TamperedRecord) -> None:
    it.event("gate.refused").rename(it.at(it.size + 7))


def inserted(it: TamperedRecord) -> None:
    seq = it.seq("run.decided")
    it.named = entries.name(seq)
    for later in range(it.size - 1, seq - 1, -1):
        it.at(later).rename(it.at(later + 1))
    shutil.copy(it.at(seq - 1), it.at(seq))


def appended_by_a_stranger(it: TamperedRecord) -> None:
    it.named = entries.name(it.size)
    it.forge(it.size, it.stranger(), type="alert.raised", data={"alert": "all", "detail": "is well"})


def going_on_with_a_strangers_key(it: TamperedRecord) -> None:
    """An event that enrolls the key which signs it, and from there on everything fits."""
    held = it.trust("log.vkey").parent
    it.named = entries.name(it.size)
    other = LogKey(it.events[0].data["origin"], it.stranger().public)
    files = {path.name: path.read_bytes() for path in held.iterdir()}
    files |= {"log.vkey": f"{other.vkey}\n".encode(), "log.pem": other.pem.encode()}
    folder, sha256 = write_set(FolderStore(it.store), files)
    said = {"set": folder, "set_sha256": sha256, "person": None, "fingerprint": None, "reason": "yearly"}
    it.forge(it.size, it.stranger(), type="key.enrolled", run="-", data=said)
    write_plain_copies(it.store, files)


def forged_in_place(it: TamperedRecord) -> None:
    it.event("gate.refused")
    seq = it.seq("gate.refused")
    it.forge(seq, it.stranger(), type="gate.passed", data={**it.events[seq].data, "verdict": "passed"})


def emptied(it: TamperedRecord) -> None:
    it.event("gate.refused").write_bytes(b"")


def cut_short(it: TamperedRecord) -> None:
    path = it.event("gate.refused")
    os.truncate(path, path.stat().st_size - 30)


def lengthened(it: TamperedRecord) -> None:
    path = it.event("gate.refused")
    path.write_bytes(path.read_bytes() + b"approved by all\n")


def crlf(it: TamperedRecord) -> None:
    path = it.event("gate.refused")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


def key_twice(it: TamperedRecord) -> None:
    swap_bytes(it.event("gate.refused"), b'"v":2}\n', b'"v":2,"v":2}\n')


def rewritten_json(it: TamperedRecord) -> None:
    swap_bytes(it.event("gate.refused"), b'"v":2}\n', b'"v": 2}\n')


def signature_flipped(it: TamperedRecord) -> None:
    path = it.event("approval.signed")
    flip(path, path.stat().st_size - 40)


def event_linked(it: TamperedRecord) -> None:
    replaced_by_link(it.event("gate.refused"), it.store.parent / "elsewhere")


def event_a_fifo(it: TamperedRecord) -> None:
    path = it.event("gate.refused")
    path.unlink()
    os.mkfifo(path)


def look_alike_name(it: TamperedRecord) -> None:
    """Its last digit, a 9, is a FULLWIDTH DIGIT: it is listed where the event was, so that both come upon the same place."""
    it.named = entries.name(19)
    path = it.at(19)
    other = path.with_name(f"{path.stem[:-1]}{chr(0xFF10 + int(path.stem[-1]))}.event")
    path.rename(other)
    it.named_by_script = f"log/{other.name}"


def foreign_file(it: TamperedRecord) -> None:
    it.named = "log/00000007.event.bak"
    shutil.copy(it.at(7), it.store / it.named)


def log_deleted(it: TamperedRecord) -> None:
    it.named, it.named_by_script = "log/", entries.name(0)
    shutil.rmtree(it.store / "log")
    (it.store / "log").mkdir()


def truncated(it: TamperedRecord) -> None:
    """From the refused gate on, and all in the record that would tell of it: only what lies outside does."""
    it.anchor = it.of.anchor
    shutil.rmtree(it.store / "anchors")
    it.named = entries.name(it.seq("gate.refused"))
    for seq in range(it.seq("gate.refused"), it.size):
        it.at(seq).unlink()


def rewritten_by_an_insider(it: TamperedRecord) -> None:
    """Why a gate refused, in other words; every later event signed anew with the log's own key, the anchors in the record too."""
    it.anchor = it.of.anchor
    it.named = "--anchor"
    begun = it.seq("gate.refused")
    for seq in range(begun, it.size):
        event = it.events[seq]
        changes = {"data": {**event.data, "reason": "they were all on leave"}} if seq == begun else {}
        if event.type == "anchor.made":
            changes = {"data": anchored_anew(it, event.data)}
        it.forge(seq, it.insider(), **changes)


def anchored_anew(it: TamperedRecord, data: Mapping[str, Any]) -> dict[str, Any]:
    """An anchor of the log as it is written now, its copy in the record with it."""
    signed = entries.parse(it.at(data["size"] - 1).read_bytes()).signed
    text = signed.text.encode()
    if "file" in data:
        (it.store / data["file"]).write_bytes(text)
    digest = {"sha256": hashlib.sha256(text).hexdigest()} if "sha256" in data else {}
    return {**data, "root": signed.checkpoint.anchor.split()[3], **digest}


def backdated_by_an_insider(it: TamperedRecord) -> None:
    it.named = entries.name(it.size)
    early = it.events[0].time - timedelta(days=1)
    said = {"alert": "x", "detail": "y"}
    it.forge(it.size, it.insider(), type="alert.raised", data=said, time=early)


def closed_twice_by_an_insider(it: TamperedRecord) -> None:
    """The outcome changed after the fact."""
    it.named = entries.name(it.size)
    closed = next(event for event in it.events if event.type == "run.closed" and event.run == it.of.run)
    it.forge(it.size, it.insider(), type="run.closed", run=it.of.run, data={**closed.data, "outcome": "rolled-back"})


def unknown_type_by_an_insider(it: TamperedRecord) -> None:
    it.named = entries.name(it.size)
    it.forge(it.size, it.insider(), type="gate.waived", data={})


def another_environments_log(it: TamperedRecord) -> None:
    it.named = entries.name(0)
    shutil.rmtree(it.store / "log")
    shutil.copytree(it.of.staging / "log", it.store / "log")


def another_environments_record(it: TamperedRecord) -> None:
    it.anchor = it.of.anchor
    it.named = "--anchor"
    shutil.rmtree(it.store)
    shutil.copytree(it.of.staging, it.store)


def log_linked(it: TamperedRecord) -> None:
    it.named = "log/"
    replaced_by_link(it.store / "log", it.store.parent / "elsewhere")


# --- the keys


def signers_altered(it: TamperedRecord) -> None:
    """A stranger's key in a signer's place."""
    path = it.trust("allowed_signers")
    lines = path.read_text().splitlines(keepends=True)
    swap_bytes(path, lines[0].split()[-1].encode(), lines[1].split()[-1].encode())


def key_replaced(it: TamperedRecord) -> None:
    """The log's public key, in both forms, by a stranger's."""
    path = it.trust("log.vkey")
    it.named = entries.name(max(e.seq for e in it.events if e.type == "key.enrolled"))
    other = LogKey(it.events[0].data["origin"], it.stranger().public)
    path.write_text(f"{other.vkey}\n")
    path.with_name("log.pem").write_text(other.pem)


def file_added_to_a_set(it: TamperedRecord) -> None:
    it.trust("tsa-ca.pem").write_text("a certificate")


def set_deleted(it: TamperedRecord) -> None:
    shutil.rmtree(it.trust("log.pem").parent)


def trust_replaced(it: TamperedRecord) -> None:
    it.named = entries.name(0)
    shutil.rmtree(it.store / "trust")
    shutil.copytree(it.of.staging / "trust", it.store / "trust")


def plain_copy_altered(it: TamperedRecord) -> None:
    it.named = "trust/log.pem"
    shutil.copy(it.of.staging / "trust/log.pem", it.store / it.named)
