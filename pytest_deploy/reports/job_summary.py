"""How a run ended, on the page of the job that ran it: GitHub shows what a step adds to the file that GITHUB_STEP_SUMMARY names."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

MOST_BYTES: Final = 900_000
"""A step whose summary is larger than 1,024 kB fails."""
_CUT: Final = "\n… cut: the report has it whole"


def add(heading: str, lines: Sequence[str]) -> None:
    """Add how a run ended, where the job has such a file; nothing anywhere else.

    The lines stand as they are: no Markdown or HTML in them is read as such. Raises OSError where the file cannot be written.
    """
    named = os.environ.get("GITHUB_STEP_SUMMARY", "")
    if not named:
        return
    path = Path(named)
    text = "\n".join(lines)
    # A fence is ended by none that is shorter than it.
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    head, tail = f"### {heading}\n\n{fence}text\n", f"\n{fence}\n\n"
    room = MOST_BYTES - (path.stat().st_size if path.exists() else 0) - len(f"{head}{_CUT}{tail}".encode())
    if room <= 0:
        return
    encoded = text.encode()
    if len(encoded) > room:
        text = encoded[:room].decode("utf-8", "ignore") + _CUT
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{head}{text}{tail}")
