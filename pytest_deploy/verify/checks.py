"""What a verification is made of: twelve numbered steps, what each concluded, and every fault with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pytest_deploy.record.plain_text import escape_to_ascii

TITLES: Final[Mapping[int, str]] = {
    1: "names and positions",
    2: "canonical JSON",
    3: "chain of prev hashes",
    4: "time never goes back",
    5: "inclusion paths and roots",
    6: "checkpoint signatures",
    7: "types legal in sequence",
    8: "runs closed, abandoned or in progress",
    9: "files of finished runs",
    10: "approvals and sign-offs",
    11: "anchors",
    12: "timestamps",
}
"""The steps of record-format.md, "Verifying", numbered once."""

NONE: Final = "none present"
"""The detail of a step that found nothing to look at: it says so, and claims nothing."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it was recorded."""

    step: int
    """Number in TITLES."""
    place: str
    """The first bad file, relative to the store: `log/00000003.event`."""
    problem: str

    def __str__(self) -> str:
        return escape_to_ascii(f"{self.place}: {self.problem}")


@dataclass(frozen=True)
class Check:
    """What one step concluded."""

    number: int
    title: str
    ok: bool
    """Nothing wrong was found, and the step could look at everything."""
    detail: str


@dataclass(frozen=True)
class Outcome:
    """What the function of a step returns."""

    findings: tuple[Finding, ...]
    detail: str
    """How much was looked at, where nothing was wrong."""
    concluded: bool = True
    """Whether it could look at everything."""

    def check(self, number: int) -> Check:
        """The step's line in the result."""
        if self.findings:
            more = f" (and {len(self.findings) - 1} more)" if len(self.findings) > 1 else ""
            return Check(number, TITLES[number], ok=False, detail=f"{self.findings[0]}{more}")
        return Check(number, TITLES[number], ok=self.concluded, detail=self.detail)


@dataclass(frozen=True)
class Verification:
    """The result: the record is what was written, or where it is not."""

    ok: bool
    """Every step concluded, and nothing was found."""
    checks: tuple[Check, ...]
    """One a step, in order."""
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    """What a reader should know and what is no fault."""
    origin: str
    """Empty where the log's key could not be read."""
    vkey: str
    """The key its newest head is signed with, as trust/log.vkey has it; empty where it could not be read."""
    size: int
    """Events that stand, from 0 to the first bad one."""
    root: str
    """Base64, of the tree of that size; empty for none."""
    in_progress: tuple[str, ...]
    """Runs neither closed nor abandoned."""

    @property
    def anchor(self) -> str:
        """The line to keep outside: `tlog <origin> <size> <root>`."""
        return f"tlog {self.origin} {self.size} {self.root}"
