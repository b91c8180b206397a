"""The register of assertions: what the specification asks for, read from its text.

    # REQ-o00043: Automated Deployment Pipeline
    ## Assertions
    A. The system SHALL automatically trigger …

makes `REQ-o00043-A` and its text. A run's matrix has one row an assertion of it, exercised or not.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from pytest_deploy.errors import UsageError
from pytest_deploy.workspace import SPECIFICATION

Register = Mapping[str, str]
"""The text of each assertion by its id, in the specification's order."""
_REQUIREMENT: Final = re.compile(r"# (?P<id>[A-Za-z][\w-]*): .+")
_ASSERTION: Final = re.compile(r"(?P<letter>[A-Z]{1,2})\. (?P<text>\S.*)")
_CLOSE_ONES: Final = 5


def parse(text: str) -> Register:
    """The register of a specification: the lettered lines under `## Assertions` of each requirement."""
    register: dict[str, str] = {}
    requirement, within = "", False
    for line in text.splitlines():
        if heading := _REQUIREMENT.fullmatch(line.strip()):
            requirement, within = heading["id"], False
        elif line.startswith("#"):
            within = bool(requirement) and line.strip() == "## Assertions"
        elif line.startswith(("*End*", "---")):
            requirement, within = "", False
        elif within and (assertion := _ASSERTION.fullmatch(line.strip())):
            register[f"{requirement}-{assertion['letter']}"] = assertion["text"].strip()
    return register


def read(root: Path, sha256: str | None = None) -> Register:
    """The register of a checkout; empty where it has no specification, or another than the one of this SHA-256."""
    try:
        content = (root / SPECIFICATION).read_bytes()
    except OSError:
        return {}
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        return {}
    return parse(content.decode("utf-8", "replace"))


def covers(asked: str, assertion: str) -> bool:
    """Whether an id that is asked for is this assertion, or the requirement it belongs to."""
    return assertion == asked or assertion.startswith(f"{asked}-")


def require_known(asked: str, known: Iterable[str]) -> None:
    """Refuse an id that neither the register nor any record knows. Raises UsageError naming close ones."""
    names = sorted(set(known))
    if any(covers(asked, name) for name in names):
        return
    requirements = {name.rpartition("-")[0] for name in names if name.rpartition("-")[0].count("-")}
    close = get_close_matches(asked.upper(), [*names, *sorted(requirements)], n=_CLOSE_ONES)
    close = close or get_close_matches(asked, [*names, *sorted(requirements)], n=_CLOSE_ONES)
    hint = f"; close to it: {', '.join(close)}" if close else ""
    raise UsageError(f"--requirement={asked}: neither the specification nor any record knows it{hint}")
