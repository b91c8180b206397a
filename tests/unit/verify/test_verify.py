"""An untouched record verifies; each way to alter one is found, by its step and at its place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.event import canonical
from pytest_deploy.record.key import FileSigner
from pytest_deploy.verify.findings import TITLES, Check, Verification
from pytest_deploy.verify.verify import run_check, verify
from tests.unit.record.sample_record import ORIGIN, HandClock, RunWriter, open_log
from tests.unit.verify.altered_record import at, flip, replace
from tests.unit.verify.conftest import Record
from tests.unit.verify.tampering_cases import TAMPERINGS, Tampering, forge, where


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
    assert details[9] == "4 sealed folders, 1 texts they were judged by"
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
    replace(at(record, 5), b'"v":2', b'"v":3')
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
    replace(at(record, 5), old, new)

    assert says in verify(record.store).findings[0].problem


def test_an_inclusion_path_that_does_not_continue_is_found(record: Record) -> None:
    path = at(record, 5).read_bytes().split(b"\n")[3]
    replace(at(record, 5), path, b"A" * 43 + b"=")
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
