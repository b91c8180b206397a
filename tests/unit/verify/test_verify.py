"""An untouched record verifies; each way to alter one is found, by its step and at its place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.event import Event, canonical, line_hash, parse_line
from pytest_deploy.record.key import FileSigner
from pytest_deploy.verify.findings import TITLES, Check, Verification
from pytest_deploy.verify.verify import run_check, verify
from tests.unit.record.sample_record import ORIGIN, HandClock, RunWriter, deployed, open_log
from tests.unit.verify.conftest import Record


def at(record: Record, seq: int) -> Path:
    return record.store / entries.name(seq)


def where(record: Record, event_type: str, run: str = "") -> int:
    """The seq of the first event of a type (of a run)."""
    paths = sorted((record.store / "log").iterdir())
    events = [json.loads(path.read_bytes().split(b"\n")[0]) for path in paths]
    return next(int(e["seq"]) for e in events if e["type"] == event_type and run in {"", e["run"]})


def edit(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def failed_steps(result: Verification) -> set[int]:
    return {finding.step for finding in result.findings}


def test_an_untouched_record_verifies_in_every_step(record: Record) -> None:
    result = verify(record.store, anchor=record.anchor, signatures="all")

    assert result.ok
    assert result.findings == ()
    assert list(TITLES.items()) == [(check.number, check.title) for check in result.checks]
    assert all(check.ok for check in result.checks)
    assert record.size == result.size
    assert record.anchor == result.anchor
    assert result.origin == ORIGIN
    assert result.in_progress == ()


def test_what_is_not_there_is_called_none_present_not_verified(record: Record) -> None:
    details = {check.number: check.detail for check in verify(record.store).checks}

    assert details[8] == "3 closed, 1 abandoned"
    assert details[9] == "4 sealed folders"
    assert details[10] == "2 requests"
    assert details[11].startswith("none present; none given from outside")
    assert details[12] == "none present"
    assert details[6] == f"{record.size} of {record.size} signatures, the newest among them"


def test_a_run_in_progress_is_named_with_its_lease_and_is_no_fault(tmp_path: Path) -> None:
    run = RunWriter(open_log(tmp_path, HandClock())).open().run
    result = verify(tmp_path / "reports" / "local")

    assert result.ok
    assert (run,) == result.in_progress
    assert result.checks[7].detail == f"in progress: {run} (lease until 2026-11-22T12:01:00.000Z)"


def test_a_plan_in_progress_has_no_lease_to_name(tmp_path: Path) -> None:
    run = RunWriter(open_log(tmp_path, HandClock()), pipeline="plan").open().run

    assert verify(tmp_path / "reports" / "local").checks[7].detail == f"in progress: {run} (no lease)"


def test_a_record_just_born_verifies_and_a_missing_one_does_not(tmp_path: Path) -> None:
    open_log(tmp_path)

    assert verify(tmp_path / "reports" / "local").ok
    missing = verify(tmp_path / "nowhere")
    assert not missing.ok
    assert [(finding.step, finding.place) for finding in missing.findings] == [(1, "log/")]
    assert not any(check.ok for check in missing.checks)
    (tmp_path / "empty" / "log").mkdir(parents=True)
    assert str(verify(tmp_path / "empty").findings[0]) == "log/: holds no event"


def test_unfinished_writes_are_noted(record: Record) -> None:
    (record.store / "log" / ".0123.new").write_bytes(b"half")
    result = verify(record.store)

    assert result.ok
    assert "log/: 1 unfinished writes (names with a dot); they are no part of the log" in result.notes


def test_the_reader_is_told_to_compare_the_key(record: Record) -> None:
    assert any("compare it with a copy that came by another way" in note for note in verify(record.store).notes)


def test_every_byte_of_an_event_counts(record: Record) -> None:
    """A flip anywhere in an object, its old signature included, is found and named."""
    path = at(record, 6)
    whole = path.read_bytes()
    for offset in range(0, len(whole), 23):
        flip(path, offset)
        result = verify(record.store)

        assert not result.ok, offset
        assert {entries.name(6), entries.name(7)} >= {result.findings[0].place}, offset
        path.write_bytes(whole)
    assert verify(record.store).ok


@dataclass(frozen=True)
class Tampering:
    """One way to alter a record, and where it must be found."""

    name: str
    do: Callable[[Record], object]
    step: int
    place: Callable[[Record], str]
    says: str
    anchored: bool = False


def swap(record: Record) -> None:
    spare = record.store / "spare"
    at(record, 5).replace(spare)
    at(record, 6).replace(at(record, 5))
    spare.replace(at(record, 6))


def truncate(record: Record) -> None:
    for seq in range(record.size - 2, record.size):
        at(record, seq).unlink()


def forge(record: Record, seq: int, *, signer: FileSigner | None = None, **changes: object) -> None:
    """Append, or write in place of `seq`, an event that fits, signed by `signer` or else by a stranger."""
    before = entries.parse(at(record, seq - 1).read_bytes())
    model = (
        parse_line(at(record, seq).read_bytes().split(b"\n")[0] + b"\n") if at(record, seq).exists() else before.event
    )
    fields = {**vars(model), "seq": seq, "prev": line_hash(before.line), "time": before.event.time, **changes}
    stranger = signer or FileSigner.open_or_create(record.store.parent / "stranger.pem")
    _, data = entries.build(Event(**fields), before.path_after, ORIGIN, stranger)  # type: ignore[arg-type]
    at(record, seq).write_bytes(data)


def renumber(record: Record) -> None:
    at(record, 5).unlink()
    for seq in range(6, record.size):
        at(record, seq).replace(at(record, seq - 1))


def insert(record: Record) -> None:
    for seq in reversed(range(5, record.size)):
        at(record, seq).replace(at(record, seq + 1))
    shutil.copy(at(record, 4), at(record, 5))


def link_event(record: Record) -> None:
    shutil.copy(at(record, 5), record.store.parent / "elsewhere")
    at(record, 5).unlink()
    at(record, 5).symlink_to(record.store.parent / "elsewhere")


def other_log(record: Record) -> Path:
    deployed(open_log(record.store.parent / "other", HandClock()))
    return record.store.parent / "other" / "reports" / "local"


def exchange_log(record: Record) -> None:
    """Another log of the same origin, under this one's trust."""
    other = other_log(record)
    shutil.rmtree(record.store / "log")
    shutil.copytree(other / "log", record.store / "log")


def exchange_all(record: Record) -> None:
    """A log rewritten whole, keys and files included: consistent, visible only from outside."""
    other = other_log(record)
    shutil.rmtree(record.store)
    shutil.copytree(other, record.store)


def in_first(name: str) -> Callable[[Record], str]:
    return lambda record: f"runs/{record.first}/{name}"


def first(record: Record, name: str) -> Path:
    return record.store / "runs" / record.first / name


def swap_report_and_sums(record: Record) -> None:
    for name in ("report.html", "SHA256SUMS"):
        shutil.copy(record.store / "runs" / record.rolled_back / name, first(record, name))


def event(seq: int) -> Callable[[Record], str]:
    return lambda _: entries.name(seq)


def newest(record: Record) -> str:
    return entries.name(record.size)


def key_folder(record: Record) -> Path:
    return next(path for path in (record.store / "trust").iterdir() if path.is_dir())


TAMPERINGS = [
    Tampering("an event edited", lambda r: edit(at(r, 3), b'"steps":2', b'"steps":3'), 5, event(3), "root is not that"),
    Tampering("an event removed", lambda r: at(r, 5).unlink(), 1, event(5), "is missing, though"),
    Tampering("the first event removed", lambda r: at(r, 0).unlink(), 1, event(0), "is missing, though"),
    Tampering("an event removed, the rest renumbered", renumber, 1, event(5), "holds event 6"),
    Tampering("two events swapped", swap, 1, event(5), "holds event 6"),
    Tampering("an event renamed", lambda r: at(r, 5).replace(at(r, 999)), 1, event(5), "is missing, though"),
    Tampering("an event inserted", insert, 1, event(5), "holds event 4"),
    Tampering("an event linked to elsewhere", link_event, 1, event(5), "no regular file"),
    Tampering("a stranger in the log", lambda r: (r.store / "log/x.txt").touch(), 1, lambda _: "log/x.txt", "no name"),
    Tampering("CRLF", lambda r: edit(at(r, 5), b"\n", b"\r\n"), 2, event(5), "no canonical JSON"),
    Tampering("a key twice", lambda r: edit(at(r, 5), b'"v":2}', b'"v":2,"v":2}'), 2, event(5), "no canonical JSON"),
    Tampering("an empty event", lambda r: at(r, 5).write_bytes(b""), 2, event(5), "no canonical JSON"),
    Tampering("an event forged in place", lambda r: forge(r, 5), 6, event(5), "is not signed by"),
    Tampering("an event forged at the end", lambda r: forge(r, r.size, type="alert.raised", run="-",
              data={"alert": "a", "detail": "b"}), 6, newest, "is not signed by"),
    Tampering("the tail cut off", truncate, 11, lambda r: entries.name(r.size - 2), "was truncated", anchored=True),
    Tampering("another log with its own key", exchange_log, 6, event(0), "cannot be read"),
    Tampering("the whole record rewritten", exchange_all, 11, lambda _: entries.name(0), "", anchored=True),
    Tampering("the key's set altered", lambda r: edit(key_folder(r) / "roles.json", b"{}", b"[]"), 6, event(0), "is not the one"),
    Tampering("a file added to the key's set", lambda r: (key_folder(r) / "x").touch(), 6, event(0), "is not the one"),
    Tampering("the key's plain copy swapped", lambda r: (r.store / "trust/log.pem").write_text("x"), 6,
              lambda _: "trust/log.pem", "newest trust set"),
    Tampering("a report altered", lambda r: edit(first(r, "report.html"), b"report", b"Report"), 9, in_first("report.html"),
              "was changed after"),
    Tampering("a report and its list swapped", swap_report_and_sums, 9, in_first("SHA256SUMS"), "not the one event"),
    Tampering("a file added to a sealed run", lambda r: first(r, "extra.txt").touch(), 9, in_first("extra.txt"),
              "added after the folder was sealed"),
    Tampering("a file removed from a sealed run", lambda r: first(r, "report.html").unlink(), 9, in_first("report.html"),
              "is missing"),
    Tampering("a link in a sealed run", lambda r: first(r, "x").symlink_to("/etc/hostname"), 9, in_first("x"),
              "no regular file"),
    Tampering("the list of a sealed run removed", lambda r: first(r, "SHA256SUMS").unlink(), 9, in_first("SHA256SUMS"),
              "is missing, though event"),
    Tampering("a sealed run removed", lambda r: shutil.rmtree(first(r, "").resolve()), 9, in_first("SHA256SUMS"),
              "is missing, though event"),
    Tampering("a file added to an abandoned run", lambda r: (r.store / "runs" / r.abandoned / "y").touch(), 9,
              lambda r: f"runs/{r.abandoned}/y", "added after"),
    Tampering("a folder of a run nobody knows", lambda r: (r.store / "runs/local-20200101T000000Z-0000").mkdir(), 9,
              lambda _: "runs/local-20200101T000000Z-0000", "no event names this run"),
    Tampering("a file among the runs", lambda r: (r.store / "runs/x").touch(), 9, lambda _: "runs/x", "no folder of a run"),
    Tampering("a request altered", lambda r: edit(first(r, "request.json"), b"000", b"001"), 10, in_first("request.json"),
              "not the request of event"),
    Tampering("a request removed", lambda r: first(r, "request.json").unlink(), 10, in_first("request.json"), "is missing"),
]  # fmt: skip


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=lambda tampering: tampering.name)
def test_each_way_to_alter_a_record_is_found_and_named(record: Record, tampering: Tampering) -> None:
    assert verify(record.store, anchor=record.anchor).ok
    tampering.do(record)
    result = verify(record.store, anchor=record.anchor if tampering.anchored else None)
    found = [finding for finding in result.findings if finding.step == tampering.step]

    assert not result.ok
    assert found, result.findings
    if tampering.says:
        assert tampering.place(record) == found[0].place
        assert tampering.says in found[0].problem
    assert not result.checks[tampering.step - 1].ok


def test_truncation_without_an_outside_anchor_is_not_seen_and_the_result_says_that_it_could_not(record: Record) -> None:
    """The honest limit: what the record itself can show."""
    for seq in range(where(record, "run.opened", record.abandoned) - 1, record.size):
        at(record, seq).unlink()
    shutil.rmtree(record.store / "runs" / record.abandoned)
    result = verify(record.store)

    assert result.ok
    assert "truncation shows only against one" in result.checks[10].detail
    assert not verify(record.store, anchor=record.anchor).ok


def test_after_the_first_bad_event_nothing_more_is_claimed(record: Record) -> None:
    edit(at(record, 5), b'"v":2', b'"v":3')
    result = verify(record.store)

    assert result.size == 5
    assert [check.number for check in result.checks if check.ok] == []
    assert result.checks[6].detail == f"not concluded: 5 of {record.size} events were read"
    assert failed_steps(result) >= {2}


@pytest.mark.parametrize(
    "changes,step,says",
    [
        ({"type": "gate.opened"}, 7, "no type of event"),
        ({"type": "run.planned", "data": {}}, 7, "lacks steps"),
        ({"type": "run.planned", "data": {"steps": 1, "conditional": 0, "steps_sha256": "0" * 64}}, 7, "not legal now"),
        ({"prev": "1" * 64}, 3, "is not the hash of event 4"),
    ],
)
def test_an_event_the_logs_own_key_signed_is_still_held_to_the_rules(
    record: Record, written: Record, changes: dict[str, object], step: int, says: str
) -> None:
    """Whoever holds the key can sign anything; what breaks the format or the order shows all the same."""
    signer = FileSigner.open(written.store.parents[1] / "keys" / "local.pem")
    forge(record, 5, signer=signer, **changes)
    result = verify(record.store)

    assert [(step, entries.name(5))] == [(f.step, f.place) for f in result.findings if f.place.startswith("log/")]
    assert says in result.findings[0].problem


def test_time_that_goes_back_is_found(record: Record, written: Record) -> None:
    signer = FileSigner.open(written.store.parents[1] / "keys" / "local.pem")
    early = entries.parse(at(record, 0).read_bytes()).event.time
    seq = where(record, "lease.taken", record.second) + 1
    forge(record, seq, signer=signer, time=early)

    assert (4, entries.name(seq)) == (verify(record.store).findings[0].step, verify(record.store).findings[0].place)


@pytest.mark.parametrize(
    "old,new,says",
    [
        (b"\n6\n", b"\n7\n", "its checkpoint is of size 7"),
        (b"deploy.example.org/local\n6", b"deploy.example.org/other\n6", "damaged"),
    ],
)
def test_a_checkpoint_that_says_something_else_is_found(record: Record, old: bytes, new: bytes, says: str) -> None:
    edit(at(record, 5), old, new)

    assert says in verify(record.store).findings[0].problem


def test_an_inclusion_path_that_does_not_continue_is_found(record: Record) -> None:
    path = at(record, 5).read_bytes().split(b"\n")[3]
    edit(at(record, 5), path, b"A" * 43 + b"=")
    finding = verify(record.store).findings[0]

    assert (5, entries.name(5)) == (finding.step, finding.place)


def test_the_data_of_a_canonical_document_is_bytes(record: Record) -> None:
    """The event lines in the store are what they were hashed as: canonical again, byte for byte."""
    line = at(record, 3).read_bytes().split(b"\n")[0] + b"\n"

    assert line == canonical(json.loads(line))


def test_a_log_that_changes_while_it_is_read_is_a_finding_and_no_crash(record: Record) -> None:
    """As the step sees it that reads an event once more, for an anchor."""

    def changed() -> Check:
        return Check(11, (), entries.parse(b"").event.type)

    check = run_check(record.store, 11, changed)

    assert not check.concluded
    assert str(check.findings[0]).startswith("log/: changed while it was read: ")


@pytest.mark.parametrize("name", ["a\u2028b.txt", "a\x85b.txt", " c  d "])
def test_only_a_line_feed_ends_a_line_of_a_seal(tmp_path: Path, name: str) -> None:
    run = RunWriter(open_log(tmp_path)).open().step("build").step("traffic", changes=True)
    run.folder.create(name, b"x")
    run.close("deployed")
    assert verify(tmp_path / "reports" / "local").ok
