"""How a bucket keeps what it is given, as its API tells it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Holding:
    """Read back from the API; never what somebody configured."""

    locked: bool
    period_s: int | None
    """Seconds from an object's creation; None where the bucket has no retention policy."""
    effective: datetime | None
    """UTC; since when the policy holds."""
    storage_class: str
    """Of new objects."""
    may: tuple[str, ...]
    """Of the permissions that end what was kept, those that this identity holds."""
