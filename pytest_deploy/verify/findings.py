"""What a verification is made of: twelve numbered steps, what each concluded, and every fault with its place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from pytest_deploy.record import stored_file
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
    10: "approvals, sign-offs and verdicts",
    11: "anchors",
    12: "timestamps",
}
"""The steps of record-format.md, "Verifying": numbered here, and each number repeated where the step is done."""

NONE: Final = "none present"
"""What a step says that had nothing to look at: it claims nothing."""


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

    @classmethod
    def unreadable(cls, step: int, store: Path, error: OSError) -> Self:
        """The finding of a step that could not read a file of the store."""
        place = os.path.relpath(error.filename, store) if error.filename is not None else "log/"
        said = (
            str(error.strerror) if isinstance(error, stored_file.NotOfARecord) else f"cannot be read: {error.strerror}"
        )
        return cls(step, place, said)


@dataclass(frozen=True)
class Check:
    """What one step concluded."""

    number: int
    findings: tuple[Finding, ...]
    examined: str
    concluded: bool = True
    """Whether the step could look at everything."""

    @property
    def title(self) -> str:
        return TITLES[self.number]

    @property
    def ok(self) -> bool:
        """Nothing wrong was found, and the step could look at everything."""
        return self.concluded and not self.findings

    @property
    def detail(self) -> str:
        """The first finding and how many more there are; where there is none, how much was looked at."""
        if not self.findings:
            return self.examined
        more = f" (and {len(self.findings) - 1} more)" if len(self.findings) > 1 else ""
        return f"{self.findings[0]}{more}"


@dataclass(frozen=True)
class Verification:
    """The result: the record is what was written, or where it is not."""

    checks: tuple[Check, ...]
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
    def ok(self) -> bool:
        """Every step concluded, and nothing was found."""
        return [check.number for check in self.checks if check.ok] == list(TITLES)

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(finding for check in self.checks for finding in check.findings)

    @property
    def anchor(self) -> str:
        """The line to keep outside: `tlog <origin> <size> <root>`."""
        return f"tlog {self.origin} {self.size} {self.root}"
