"""What is no plain file under a plain name is named by both verifiers, and never opened: they end, whatever lies there."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_deploy.record import log_entry as entries
from pytest_deploy.verify.verify import verify
from tests.unit.record.sample_record import RunWriter, closed, decided, open_log, verdict
from tests.unit.verify.altered_record import first
from tests.unit.verify.conftest import Record
from tests.unit.verify.second_verifier import both, second_opinion
from tests.unprivileged import as_nobody, open_folder

pytestmark = pytest.mark.timeout(60)


def checkpoint(record: Record) -> Path:
    path = record.store / "anchors" / "00000005.checkpoint"
    path.parent.mkdir()
    path.write_text(entries.parse((record.store / entries.name(4)).read_bytes()).signed.text)
    return path


FIFOS: dict[str, Callable[[Record], Path]] = {
    "an event": lambda r: r.store / entries.name(5),
    "the next event": lambda r: r.store / entries.name(r.size),
    "the list of a sealed run": lambda r: first(r, "SHA256SUMS"),
    "a report": lambda r: first(r, "report.html"),
    "a request": lambda r: first(r, "request.json"),
    "a key's plain copy": lambda r: r.store / "trust/log.pem",
    "a key": lambda r: next((r.store / "trust").glob("*/log.pem")),
    "an anchor": checkpoint,
    "a timestamp": lambda r: checkpoint(r).with_suffix(".tsr"),
    "a sign-off": lambda r: r.store / "signoffs/x.json",
}


@pytest.mark.parametrize("what", FIFOS)
def test_a_fifo_is_named_and_not_read(record: Record, what: str) -> None:
    path = FIFOS[what](record)
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)

    place = path.relative_to(record.store).as_posix()
    assert "is no regular file" in " ".join(map(str, verify(record.store).findings))
    assert f"NOT VERIFIED: {place}: is not a regular file\n" == second_opinion(record.store).text


@pytest.mark.parametrize("folder", ["log", "runs", "trust", "anchors", "signoffs"])
def test_a_folder_that_is_a_link_is_refused_although_all_of_it_is_there(record: Record, folder: str) -> None:
    """What a link leads to can be another thing tomorrow."""
    (record.store / folder).mkdir(exist_ok=True)
    elsewhere = record.store.parent / "elsewhere"
    shutil.move(record.store / folder, elsewhere)
    (record.store / folder).symlink_to(elsewhere)

    assert both(record.store) == (False, f"{folder}/")


@pytest.mark.parametrize("folder", ["runs", "anchors"])
def test_a_folder_that_is_a_file_is_refused(record: Record, folder: str) -> None:
    shutil.rmtree(record.store / folder, ignore_errors=True)
    (record.store / folder).touch()

    assert both(record.store) == (False, f"{folder}/")


def test_a_file_hidden_from_lists_by_its_name_is_found(record: Record) -> None:
    """The tab and the line break make two lines of one path, each of which names a file that is there."""
    folder = first(record, "report.html\tf\nruns") / record.first
    folder.mkdir(parents=True)
    (folder / "request.json").touch()

    assert not verify(record.store).ok
    place = f"runs/{record.first}/report.html\\tf\\nruns: has a control character"
    assert place in str(verify(record.store).findings[0])
    assert "has a control character or a backslash in its name" in second_opinion(record.store).text


def test_the_page_of_a_refused_start_verifies_before_its_run_is_sealed_and_is_bound_by_the_seal(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    run = RunWriter(log).request(plan="local-20261122T120000Z-0001")
    run.add("gate.refused", verdict("approvals", "still-needed", reason="approval missing: QA Lead"))
    page = run.folder.create("refused/00000002.html", b"<!doctype html><title>refused</title>\n")
    assert both(log.store.folder()) == (True, "")

    made = next(event for event in log.run(run.run) if event.type == "request.made")
    run.open(request_sha256=made.data["request_sha256"]).step("traffic", changes=True).close("deployed")
    assert both(log.store.folder()) == (True, "")
    assert b"  refused/00000002.html\n" in (run.folder.path / "SHA256SUMS").read_bytes()

    page.chmod(0o644)
    page.write_bytes(b"<!doctype html><title>passed</title>\n")
    assert both(log.store.folder()) == (False, f"runs/{run.run}/refused/00000002.html")


@pytest.mark.parametrize("name", [b"r\xd0\xb5port.html", b"\xff.html", b"\x1b]0;title\x07", b"a\\b"])
def test_a_name_made_to_deceive_is_printed_escaped(record: Record, name: bytes) -> None:
    """A Cyrillic letter that looks Latin, bytes that are no UTF-8, a command to the terminal, an escape of its own."""
    Path(os.fsdecode(bytes(first(record, "")) + b"/" + name)).touch()
    command = [sys.executable, "deploy.py", "verify", str(record.store)]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, timeout=60, check=False)

    theirs = second_opinion(record.store)
    assert done.returncode == 1
    assert done.stderr == b""
    for said in (done.stdout, theirs.text.encode()):
        assert said.isascii()
        assert b"\x1b" not in said
        assert record.first.encode() in said
    assert not theirs.ok


def test_an_event_too_large_to_be_one_is_not_read(record: Record) -> None:
    """Sixteen tebibytes of nothing, which take no room."""
    os.truncate(record.store / entries.name(5), 1 << 43)

    assert both(record.store) == (False, entries.name(5))
    assert "more than 131072 bytes" in verify(record.store).findings[0].problem


def test_what_lies_beside_the_record_is_noted(record: Record) -> None:
    (record.store / "notes.txt").touch()
    with (record.store / "verify.sh").open("a") as script:
        script.write("exit 0\n")
    found = verify(record.store)

    assert found.ok
    assert "notes.txt: is no part of the record; nothing is said of it" in found.notes
    assert any(note.startswith("verify.sh: is not that of this version") for note in found.notes)
    assert not any(note.startswith("verify.sh") for note in verify(record.store.parent / "nowhere").notes)


@pytest.mark.parametrize(
    "what",
    [
        "log",
        "log/00000005.event",
        "runs",
        "trust/log.pem",
        "verify.sh",
        "anchors/00000005.checkpoint",
        "report",
        "request",
    ],
)
def test_what_may_not_be_read_is_named_and_no_crash(written: Record, what: str) -> None:
    """As nobody, to whom one thing is closed: whoever may not read cannot say that all is well (verify.sh is not judged)."""
    with open_folder() as home:
        store = home / "local"
        shutil.copytree(written.store, store)
        record = Record(**{**vars(written), "store": store})
        checkpoint(record)
        named = {"report": f"runs/{record.first}/report.html", "request": f"runs/{record.first}/request.json"}
        place = named.get(what, what)
        assert verify(store).ok
        (store / place).chmod(0)
        with as_nobody():
            found = verify(store)

    said = [*map(str, found.findings), *found.notes]
    assert (what == "verify.sh") == found.ok
    assert any(line.startswith((f"{place}: ", f"{place}/: ")) for line in said), said
    assert not any(str(home) in line for line in said), said


@pytest.mark.parametrize("text", [b"x\n", b"\xff  a\n", b"\n"])
def test_a_list_that_was_bound_and_is_none_is_named_in_words(tmp_path: Path, text: bytes) -> None:
    """Only whoever writes the log can bind such a list."""
    run = RunWriter(open_log(tmp_path)).open().step("build")
    run.folder.create("SHA256SUMS", text)
    run.add("run.decided", decided("failed"))
    run.add("run.closed", closed("failed", run.run, hashlib.sha256(text).hexdigest()))

    found = [finding for finding in verify(tmp_path / "reports" / "local").findings if "SHA256SUMS" in finding.place]
    assert [finding.problem for finding in found] == [
        "cannot be held against the files: a line of it is not `SHA-256  name` in UTF-8"
    ]
