"""Which instants a place's clocks call by a given wall time: no hour is guessed where clocks skip or repeat one.

Zones are read from the installed `tzdata` package and no other source, so that the version in a verdict is the version that
was used, and equal on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from importlib.metadata import version
from importlib.resources import files
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

Spell = tuple[datetime, datetime]
"""Half-open, UTC."""

_DAY = timedelta(days=1)
_STRIDE = timedelta(hours=6)
"""No zone changes its offset and changes it back within this time."""


@cache
def place(name: str) -> ZoneInfo:
    """The zone of that name. Raises ZoneInfoNotFoundError where `tzdata` has none."""
    try:
        with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as compiled:
            return ZoneInfo.from_file(compiled, key=name)
    except (OSError, ValueError) as error:
        raise ZoneInfoNotFoundError(f"tzdata {tzdata_version()} has no zone {name!r}") from error


@cache
def tzdata_version() -> str:
    """The version of the zones in force, e.g. 2026.6."""
    return version("tzdata")


def utc(at: datetime) -> datetime:
    """The same instant in UTC. Raises ValueError where it names no zone."""
    if at.tzinfo is None:
        raise ValueError(f"{at!r} has no zone; gates are asked at instants")
    return at.astimezone(UTC)


def judged_in(zone: ZoneInfo, at: datetime) -> Mapping[str, str]:
    """What a verdict says of the zone it was judged in: its name, its offset and wall time at `at`, tzdata's version."""
    local = at.astimezone(zone)
    return {
        "zone": zone.key,
        "utc_offset": local.isoformat()[-6:],
        "local": local.isoformat(timespec="seconds"),
        "tzdata": tzdata_version(),
    }


@lru_cache(maxsize=8192)
def spells(zone: ZoneInfo, first: datetime, end: datetime) -> tuple[Spell, ...]:
    """When the clocks of `zone` show a wall time in [first, end), naive; as whole as they go, in order.

    One spell as a rule. Two where clocks are set back within it and its end comes twice, none where they skip it all.
    """
    whole: list[Spell] = []
    for start, stop, offset in _steady(zone, first.replace(tzinfo=UTC) - _DAY, end.replace(tzinfo=UTC) + _DAY):
        begins = max(start, first.replace(tzinfo=UTC) - offset)
        ends = min(stop, end.replace(tzinfo=UTC) - offset)
        if begins >= ends:
            continue
        if whole and whole[-1][1] == begins:
            whole[-1] = (whole[-1][0], ends)
        else:
            whole.append((begins, ends))
    return tuple(whole)


def covering(zone: ZoneInfo, first: datetime, end: datetime) -> Spell:
    """What lies between two naive wall times, read widely: where one of them comes twice or never, the longer spell."""
    begins = min(first.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    ends = max(end.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return begins, ends


def _steady(zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime, timedelta]]:
    """[start, end) cut where the zone's offset changes, with the offset of each part."""
    offset = _offset(zone, start)
    at = start
    while at < end:
        ahead = min(at + _STRIDE, end)
        if _offset(zone, ahead) != offset:
            change = _change(zone, at, ahead)
            yield start, change, offset
            start, offset = change, _offset(zone, change)
        at = ahead
    yield start, end, offset


def _change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The first second of the offset that holds at `after`, by halving."""
    later = _offset(zone, after)
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        before, after = (before, middle) if _offset(zone, middle) == later else (middle, after)
    return after


def _offset(zone: ZoneInfo, instant: datetime) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta(0)
