from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.record.clock import ShiftedClock, SystemClock, parse_stamp, stamp
from tests.unit.record.sample_record import HandClock


def test_an_instant_is_written_in_utc_with_milliseconds_cut() -> None:
    there = datetime(2026, 11, 22, 15, 25, 7, 951999, tzinfo=timezone(timedelta(hours=-5)))

    assert stamp(there) == "2026-11-22T20:25:07.951Z"


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no zone"):
        stamp(datetime(2026, 11, 22))  # noqa: DTZ001 - the refused case


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_stamp_reads_back_to_the_same_millisecond(instant: datetime) -> None:
    read = parse_stamp(stamp(instant))

    assert stamp(read) == stamp(instant)
    assert timedelta() <= instant - read < timedelta(milliseconds=1)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T20:25:07Z", "2026-11-22T20:25:07.951", "2026-11-22T20:25:07.951+00:00", "2026-11-22 20:25:07.951Z",
        "2026-13-22T20:25:07.951Z", "2026-11-22T20:25:07.951Z\n", "٢026-11-22T20:25:07.951Z",
    ],
)  # fmt: skip
def test_any_other_form_is_no_stamp(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_stamp(text)


def test_a_shifted_clock_tells_another_instant_and_the_same_durations() -> None:
    clock = HandClock()
    shifted = ShiftedClock(clock, timedelta(hours=3))
    before = shifted.monotonic()
    clock.move(5)

    assert clock.now() + timedelta(hours=3) == shifted.now()
    assert shifted.monotonic() - before == 5


def test_the_machines_clock_is_aware_and_its_count_never_goes_back() -> None:
    clock = SystemClock()
    first, second = clock.monotonic(), clock.monotonic()

    assert clock.now().utcoffset() == timedelta()
    assert first <= second
