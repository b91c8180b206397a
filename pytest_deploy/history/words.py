"""Words of the command line as a question: which runs, which instant, which stores. Every word that is none is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from pytest_deploy.errors import UsageError
from pytest_deploy.history.query import PREFIX, Asked
from pytest_deploy.history.row import OUTCOMES
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.transitions import PIPELINE_OUTCOMES

_COMMIT: Final = re.compile(r"[0-9a-f]{4,40}", re.ASCII)
_DIGEST: Final = re.compile(r"[0-9a-f]{4,64}", re.ASCII)
_REQUIREMENT: Final = re.compile(r"REQ-[a-z]\d{5}(-[A-Z]{1,2})?", re.ASCII)
_INSTANT: Final = "2026-03-01T12:00Z, or with another offset"


def ask(words: Mapping[str, str]) -> Asked:
    """A question from the options given, by name; empty ones ask for nothing. Raises UsageError for the first that is none."""
    given = {name: value.strip() for name, value in words.items()}
    since = _day_or_instant("since", given["since"])
    until = _day_or_instant("until", given["until"], end=True)
    if since and until and since >= until:
        raise UsageError(f"--since={given['since']} is not before --until={given['until']}: no run can lie between")
    digest = given["digest"].lower().removeprefix(PREFIX)
    return Asked(
        since=since,
        until=until,
        commit=_form("commit", given["commit"].lower(), _COMMIT, "the first 4 to 40 hex digits"),
        digest=PREFIX + digest if _form("digest", digest, _DIGEST, "sha256: and the first 4 to 64 hex digits") else "",
        version=given["version"],
        deployer=given["deployer"],
        approver=given["approver"],
        outcomes=_some("outcome", given["outcome"], OUTCOMES),
        pipelines=_some("pipeline", given["pipeline"], tuple(PIPELINE_OUTCOMES)),
        migration=given["migration"],
        requirement=_form("requirement", given["requirement"], _REQUIREMENT, "REQ-o00043 or REQ-o00043-K"),
    )


def instant(name: str, text: str) -> str:
    """The stamp of an instant with a zone. Raises UsageError."""
    try:
        found = datetime.fromisoformat(text.strip())
        if len(text.strip()) <= len("2026-03-01") or found.tzinfo is None:
            raise UsageError(f"--{name}={text}: an instant has a time and a zone; right is {_INSTANT}")
        return stamp(found)
    except (ValueError, OverflowError):
        raise UsageError(f"--{name}={text} is no instant; right is {_INSTANT}") from None


def stores(reports: Path, environments: Sequence[str], *, rehearsal: bool) -> dict[str, Path]:
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
        return instant(name, text)


def _form(name: str, text: str, pattern: re.Pattern[str], right: str) -> str:
    if text and pattern.fullmatch(text) is None:
        raise UsageError(f"--{name}={text}: right is {right}")
    return text


def _some(name: str, text: str, known: Sequence[str]) -> tuple[str, ...]:
    some = tuple(word.strip() for word in text.split(",") if word.strip())
    if wrong := [word for word in some if word not in known]:
        raise UsageError(f"--{name}={text}: {', '.join(wrong)} is none; right is some of {', '.join(known)}")
    return some
