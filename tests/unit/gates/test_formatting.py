"""Instants and spans as a person reads them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pytest_deploy.gates.verdict import moment, short, span
from pytest_deploy.gates.zone import place
from tests.unit.gates.gate_samples import utc


@pytest.mark.parametrize(
    "at,zone,said",
    [
        ("2026-11-23T14:00", "America/New_York", "Monday 2026-11-23 09:00 EST (America/New_York)"),
        ("2026-07-06T13:00:30", "America/New_York", "Monday 2026-07-06 09:00:30 EDT (America/New_York)"),
        ("2026-11-23T14:00", "Asia/Kathmandu", "Monday 2026-11-23 19:45 +0545 (Asia/Kathmandu)"),
        ("2026-11-23T14:00", None, "Monday 2026-11-23 14:00 UTC"),
    ],
)
def test_a_moment_names_its_day_and_its_zone(at: str, zone: str | None, said: str) -> None:
    assert said == moment(utc(at), place(zone) if zone else None)


@pytest.mark.parametrize(
    "seconds,said",
    [
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (86460, "24 h 1 min"),
        (111_600, "31 h"),
    ],
)
def test_a_span_is_whole_units_never_rounded_up(seconds: int, said: str) -> None:
    assert said == span(timedelta(seconds=seconds))


def test_a_digest_is_told_by_its_beginning() -> None:
    assert (short("sha256:" + "a" * 64), short("c" * 40)) == ("aaaaaaaaaaaa", "cccccccccccc")
