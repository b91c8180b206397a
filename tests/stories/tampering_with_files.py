"""Tampering with the files of runs, with approvals and anchors; and what is no tampering, or cannot be seen."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pytest_deploy.record import log_entry as entries
from pytest_deploy.record import stored_file
from tests.stories.tampered_record import TamperedRecord, exchange, flip, replaced_by_link, swap_bytes
from tests.stories.tampering_with_log import another_environments_record, rewritten_by_an_insider

# --- the files of a run


def report_altered(it: TamperedRecord) -> None:
    flip(it.file("report.html"), 2000)


def refused_page_altered(it: TamperedRecord) -> None:
    page = min((it.store / "runs" / it.of.run / "refused").iterdir())
    flip(it.file(f"refused/{page.name}"), 2000)


def report_swapped(it: TamperedRecord) -> None:
    shutil.copy(it.store / "runs" / it.of.plan / "report.html", it.file("report.html"))


def report_and_list_swapped(it: TamperedRecord) -> None:
    for name in ("report.html", "SHA256SUMS"):
        shutil.copy(it.store / "runs" / it.of.plan / name, it.file(name))


def list_mended(it: TamperedRecord) -> None:
    """A report altered, and its line in SHA256SUMS with it."""
    report = it.file("report.html")
    before = stored_file.sha256(report)
    flip(report, 2000)
    swap_bytes(it.file("SHA256SUMS"), before.encode(), stored_file.sha256(report).encode())


def list_deleted(it: TamperedRecord) -> None:
    it.file("SHA256SUMS").unlink()


def file_added(it: TamperedRecord) -> None:
    it.file("waiver.pdf").write_bytes(b"%PDF")


def dot_file_added(it: TamperedRecord) -> None:
    it.file(".waiver").write_bytes(b"")


def look_alike_added(it: TamperedRecord) -> None:
    """A second report.html, with a Cyrillic letter."""
    shutil.copy(it.store / "runs" / it.of.run / "report.html", it.file("r\u0435port.html"))


def line_break_in_a_name(it: TamperedRecord) -> None:
    it.file("report.html\nSHA256SUMS").touch()


def file_deleted(it: TamperedRecord) -> None:
    it.file("junit.xml").unlink()


def file_linked(it: TamperedRecord) -> None:
    replaced_by_link(it.file("report.html"), it.store.parent / "elsewhere")


def folder_linked(it: TamperedRecord) -> None:
    replaced_by_link(it.file("allure-results"), it.store.parent / "elsewhere")


def run_deleted(it: TamperedRecord) -> None:
    shutil.rmtree(it.file("SHA256SUMS").parent)


def run_renamed(it: TamperedRecord) -> None:
    folder = it.file("SHA256SUMS").parent
    other = f"{it.of.run[:-4]}ffff"
    folder.rename(folder.with_name(other))
    it.named_by_script = f"runs/{other}"


def run_invented(it: TamperedRecord) -> None:
    other = f"{it.of.run[:-4]}0000"
    it.named = f"runs/{other}"
    shutil.copytree(it.store / "runs" / it.of.run, it.store / it.named)


def request_altered(it: TamperedRecord) -> None:
    swap_bytes(it.file("request.json"), b'"commit":"', b'"commit":"0')


# --- approvals


def approval_altered(it: TamperedRecord) -> None:
    path = it.approvals()[0]
    it.file(f"approvals/{path.name}")
    swap_bytes(path, b'"meaning":"', b'"meaning":"not ')


def approvals_swapped(it: TamperedRecord) -> None:
    one, other = it.approvals()
    it.file(f"approvals/{one.name}")
    exchange(one, other)


def signature_swapped(it: TamperedRecord) -> None:
    one, other = it.approvals()
    it.file(f"approvals/{one.name}.sig")
    shutil.copy(f"{other}.sig", f"{one}.sig")


def approval_deleted(it: TamperedRecord) -> None:
    path = it.approvals()[0]
    it.file(f"approvals/{path.name}")
    path.unlink()


def approval_forged_by_an_insider(it: TamperedRecord) -> None:
    """The event that counts an approval, written anew with the log's own key: it now counts it for another person."""
    role = it.events[it.seq("approval.signed")].data["role"]
    other = next(e.data["signer"] for e in it.events if e.type == "approval.signed" and e.data["role"] != role)
    counted_anew(it, signer=other)


def name_forged_by_an_insider(it: TamperedRecord) -> None:
    """The same for the printed name alone, which is what people read."""
    counted_anew(it, printed_name="Grace Hopper")


def counted_anew(it: TamperedRecord, **changed: str) -> None:
    seq = it.seq("approval.signed")
    it.named = it.events[seq].data["file"]
    for position in range(seq, it.size):
        changes = {"data": {**it.events[seq].data, **changed}} if position == seq else {}
        it.forge(position, it.insider(), **changes)


# --- anchors


def checkpoint(it: TamperedRecord, size: int, store: Path | None = None) -> Path:
    """A copy of the checkpoint that a log had at this size."""
    it.named = f"anchors/{size:08d}.checkpoint"
    path = it.store / it.named
    path.parent.mkdir(exist_ok=True)
    path.write_text(entries.parse(((store or it.store) / entries.name(size - 1)).read_bytes()).signed.text)
    return path


def anchor_of_another_log(it: TamperedRecord) -> None:
    checkpoint(it, 9, it.of.staging)


def anchor_altered(it: TamperedRecord) -> None:
    path = checkpoint(it, 9)
    flip(path, len(path.read_bytes()) - 30)


def anchor_deleted(it: TamperedRecord) -> None:
    path = max((it.store / "anchors").glob("*.checkpoint"))
    it.named = f"anchors/{path.name}"
    path.unlink()


def truncated_behind_an_anchor(it: TamperedRecord) -> None:
    """The copied anchor was forgotten."""
    checkpoint(it, it.size)
    it.named = entries.name(it.size - 1)
    it.at(it.size - 1).unlink()


def anchor_renamed(it: TamperedRecord) -> None:
    path = checkpoint(it, 9)
    it.named = "anchors/00000012.checkpoint"
    path.rename(it.store / it.named)


# --- what a record cannot show by itself, and what is no tampering


def last_deleted(it: TamperedRecord) -> None:
    it.at(it.size - 1).unlink()


def rewritten_unseen(it: TamperedRecord) -> None:
    rewritten_by_an_insider(it)
    it.anchor = None


def replaced_whole(it: TamperedRecord) -> None:
    another_environments_record(it)
    it.anchor = None


def script_altered(it: TamperedRecord) -> None:
    (it.store / "verify.sh").write_text("#!/bin/sh\necho verified: all is well\n")


def unfinished_write(it: TamperedRecord) -> None:
    (it.store / "log" / ".00000007.new").write_bytes(b"half of an event")


def file_beside(it: TamperedRecord) -> None:
    (it.store / "minutes.txt").write_text("who met whom\n")


def older_copy(it: TamperedRecord) -> None:
    """Who might sign before anybody was enrolled."""
    shutil.copy(it.store / it.events[0].data["set"] / "allowed_signers", it.store / "trust/allowed_signers")


def approval_uncounted(it: TamperedRecord) -> None:
    """Put where a request lies that nobody has run: in a sealed folder it would be one file too many."""
    (it.store / "signoffs" / it.of.run).mkdir(parents=True)
    (it.store / "signoffs" / it.of.run / "qa-lead-00000000.json").write_text("{}\n")


def empty_folder(it: TamperedRecord) -> None:
    it.file("empty").mkdir()


def hard_link(it: TamperedRecord) -> None:
    os.link(it.file("report.html"), it.store.parent / "report.html")


def times_and_rights(it: TamperedRecord) -> None:
    os.utime(it.file("report.html"), (0, 0))
    it.file("report.html").chmod(0o666)
