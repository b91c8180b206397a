"""Which runs are asked for, and the options of the command line that say so. An option that means nothing is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final, Self

from pytest_deploy.errors import UsageError
from pytest_deploy.history.row import OUTCOMES
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.transitions import PIPELINE_OUTCOMES

_PREFIX: Final = "sha256:"
_COMMIT: Final = re.compile(r"[0-9a-f]{4,40}", re.ASCII)
_DIGEST: Final = re.compile(r"[0-9a-f]{4,64}", re.ASCII)
_REQUIREMENT: Final = re.compile(r"REQ-[a-z]\d{5}(-[A-Z]{1,2})?", re.ASCII)
_INSTANT: Final = "2026-03-01T12:00Z, or with another offset"


@dataclass(frozen=True)
class RunQuery:
    """Which runs; an empty field asks for nothing."""

    since: str = ""
    """A stamp: runs that were not over before it."""
    until: str = ""
    """A stamp: runs whose first event is before it. What ran across either end is within: no range misses it."""
    commit: str = ""
    """The beginning of a commit, lower case."""
    digest: str = ""
    """The beginning of an artefact's digest, with `sha256:`."""
    version: str = ""
    deployer: str = ""
    """Part of who deployed."""
    approver: str = ""
    """Part of who signed, by address or printed name: an approval, an override, a sign-off, an acceptance, an amendment."""
    outcomes: tuple[str, ...] = ()
    pipelines: tuple[str, ...] = ()
    migration: str = ""
    requirement: str = ""
    """A requirement, or one assertion of it: REQ-o00043 covers REQ-o00043-K."""

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        """From the options of `deploy.py history`, by name, empty where not given.

        Raises:
            UsageError: for the first that is no such thing, with what would be right.
        """
        given = {name: value.strip() for name, value in options.items()}
        since = _day_or_instant("since", given["since"])
        until = _day_or_instant("until", given["until"], end=True)
        if since and until and since >= until:
            raise UsageError(f"--since={given['since']} is not before --until={given['until']}: no run can lie between")
        digest = given["digest"].lower().removeprefix(_PREFIX)
        _require("digest", digest, _DIGEST, "sha256: and the first 4 to 64 hex digits")
        return cls(
            since=since,
            until=until,
            commit=_require("commit", given["commit"].lower(), _COMMIT, "the first 4 to 40 hex digits"),
            digest=_PREFIX + digest if digest else "",
            version=given["version"],
            deployer=given["deployer"],
            approver=given["approver"],
            outcomes=_choices("outcome", given["outcome"], OUTCOMES),
            pipelines=_choices("pipeline", given["pipeline"], tuple(PIPELINE_OUTCOMES)),
            migration=given["migration"],
            requirement=_require("requirement", given["requirement"], _REQUIREMENT, "REQ-o00043 or REQ-o00043-K"),
        )


def parse_instant(name: str, text: str) -> str:
    """The stamp of an instant with a zone, given as option `name`. Raises UsageError."""
    try:
        instant = datetime.fromisoformat(text.strip())
        if len(text.strip()) <= len("2026-03-01") or instant.tzinfo is None:
            raise UsageError(f"--{name}={text}: an instant has a time and a zone; right is {_INSTANT}")
        return stamp(instant)
    except (ValueError, OverflowError):
        raise UsageError(f"--{name}={text} is no instant; right is {_INSTANT}") from None


def find_stores(reports: Path, environments: Sequence[str], *, rehearsal: bool) -> dict[str, Path]:
    """The stores under `reports` by name, or those of some environments. Raises UsageError naming those there are."""
    top = reports / "rehearsal" if rehearsal else reports
    kind = "rehearsal/" if rehearsal else ""
    known = {f"{kind}{folder.parent.name}": folder.parent for folder in sorted(top.glob("*/log"))}
    if apart := next((name for name in environments if name.startswith("rehearsal/")), None):
        raise UsageError(f"--env {apart}: right is --env {apart.removeprefix('rehearsal/')} --rehearse")
    wanted = [f"{kind}{name}" for name in dict.fromkeys(environments)] or list(known)
    if missing := [name for name in wanted if name not in known]:
        there = ", ".join(name.removeprefix(kind) for name in known) or "none"
        raise UsageError(f"no record {', '.join(missing)} under {reports}; there is {there}")
    if not wanted:
        raise UsageError(f"no record under {top}; right is a folder that holds <environment>/log, e.g. reports")
    return {name: known[name] for name in wanted}


def _day_or_instant(name: str, text: str, *, end: bool = False) -> str:
    """A stamp; of a day alone its beginning, or its end, in UTC."""
    if not text:
        return ""
    try:
        day = date.fromisoformat(text)
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return stamp(start + timedelta(days=1) if end else start)
    except (ValueError, OverflowError):
        return parse_instant(name, text)


def _require(name: str, text: str, pattern: re.Pattern[str], right: str) -> str:
    if text and pattern.fullmatch(text) is None:
        raise UsageError(f"--{name}={text}: right is {right}")
    return text


def _choices(name: str, text: str, known: Sequence[str]) -> tuple[str, ...]:
    chosen = tuple(word.strip() for word in text.split(",") if word.strip())
    if wrong := [word for word in chosen if word not in known]:
        raise UsageError(f"--{name}={text}: {', '.join(wrong)} is none; right is some of {', '.join(known)}")
    return chosen
