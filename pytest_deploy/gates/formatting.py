"""Instants, spans and digests as a person reads them; a time never without its zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo


def moment(instant: datetime, zone: ZoneInfo | None = None) -> str:
    """`Monday 2026-11-23 09:00 EST (America/New_York)`, or `Monday 2026-11-23 14:00 UTC`; seconds only where there are."""
    local = instant.astimezone(zone or UTC)
    time = f"{local:%H:%M:%S}" if local.second or local.microsecond else f"{local:%H:%M}"
    place = f" ({zone.key})" if zone is not None else ""
    return f"{local:%A %Y-%m-%d} {time} {local:%Z}{place}"


def span(length: timedelta) -> str:
    """`45 s`, `12 min`, `31 h`, `24 h 1 min`: whole units, cut, not rounded."""
    seconds = int(length.total_seconds())
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    if seconds < 120:  # noqa: PLR2004  two minutes: below, seconds matter
        return f"{seconds} s"
    if not hours:
        return f"{minutes} min"
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def short(digest: str) -> str:
    """The first twelve characters of a digest or commit, without the algorithm's name: enough to tell two apart."""
    return digest.removeprefix("sha256:")[:12]
