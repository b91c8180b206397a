"""Several processes that read a log in segments find exactly what one finds that reads it from end to end."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from pytest_deploy.record import log_entry as entries
from pytest_deploy.verify import segment
from pytest_deploy.verify.segment import Range, WorkerPool, read_segment
from pytest_deploy.verify.verify import verify
from tests.unit.verify.altered_record import at, flip
from tests.unit.verify.conftest import Record
from tests.unit.verify.tampering_cases import TAMPERINGS, Tampering


@pytest.fixture(scope="module")
def two() -> Iterator[WorkerPool]:
    with WorkerPool(0, processes=2) as pool:
        yield pool


@pytest.fixture(params=[1, 7])
def short(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments so short that every tampering lies before, on, or after a border of some."""
    monkeypatch.setattr(segment, "SEGMENT", request.param)


@pytest.mark.usefixtures("short")
def test_an_untouched_record_verifies_in_segments_too(record: Record, two: WorkerPool) -> None:
    assert verify(record.store, anchor=record.anchor, signatures="all") == verify(
        record.store, anchor=record.anchor, signatures="all", pool=two
    )


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("tampering", TAMPERINGS, ids=lambda tampering: tampering.name)
def test_each_tampering_is_found_alike(record: Record, two: WorkerPool, tampering: Tampering) -> None:
    tampering.do(record)
    anchor = record.anchor if tampering.anchored else None
    several = verify(record.store, anchor=anchor, pool=two)

    assert not several.ok
    assert several == verify(record.store, anchor=anchor, pool=WorkerPool(0, processes=0))


def test_a_flip_anywhere_in_the_log_is_found_alike(
    record: Record, two: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(11)  # noqa: S311 -- a sample of places
    for _ in range(40):
        path = at(record, chance.randrange(record.size))
        whole = path.read_bytes()
        flip(path, chance.randrange(len(whole)))
        monkeypatch.setattr(segment, "SEGMENT", 2048)
        alone = verify(record.store)
        monkeypatch.setattr(segment, "SEGMENT", 7)

        assert not alone.ok
        assert alone == verify(record.store, pool=two)
        path.write_bytes(whole)


def test_a_segment_whose_event_before_cannot_be_read_is_at_fault_itself(record: Record) -> None:
    at(record, 4).write_bytes(b"")
    found = read_segment(Range(record.store, 5, 8, 0))

    assert found.events == ()
    assert found.fault is not None
    assert entries.name(4) == found.fault.place


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=lambda tampering: tampering.name)
def test_a_quick_look_finds_what_a_careful_one_finds(record: Record, tampering: Tampering) -> None:
    """Old events are compared with the bytes they must have; recent ones are parsed for their signature."""
    tampering.do(record)

    assert_alike(record, record.size)


def test_a_quick_look_sees_a_flip_anywhere(record: Record) -> None:
    chance = random.Random(12)  # noqa: S311 -- a sample of places
    for _ in range(150):
        path = at(record, chance.randrange(record.size))
        whole = path.read_bytes()
        flip(path, chance.randrange(len(whole)))
        assert_alike(record, record.size)
        path.write_bytes(whole)


def assert_alike(record: Record, size: int) -> None:
    careful, quick = (read_segment(Range(record.store, 0, size, signed_from)) for signed_from in (0, size))

    assert careful.fault == quick.fault
    assert [event for event, _ in careful.events] == [event for event, _ in quick.events]


def test_the_quick_look_is_the_one_that_is_taken(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []
    parse = entries.parse

    def counted(data: bytes) -> entries.Entry:
        parsed.append(data)
        return parse(data)

    monkeypatch.setattr(entries, "parse", counted)
    found = read_segment(Range(record.store, 5, record.size, record.size))

    assert found.fault is None
    assert len(parsed) == 1


def test_an_old_event_of_another_origin_is_found_though_its_signature_is_not_looked_at(record: Record) -> None:
    path = at(record, 3)
    path.write_bytes(path.read_bytes().replace(b"deploy.example.org/local", b"deploy.example.org/other"))
    found = read_segment(Range(record.store, 0, record.size, record.size))

    assert found.fault is not None
    assert (6, entries.name(3)) == (found.fault.step, found.fault.place)
    assert "of another log, deploy.example.org/other" in found.fault.problem
