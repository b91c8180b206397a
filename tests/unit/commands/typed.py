"""A command as it is typed in a checkout, without a process of its own."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any


def typed(
    root: Path, command: Callable[..., None], *given: Any, printed: list[str] | None = None, **options: Any
) -> list[str]:
    """The lines that a command prints; what it raises is raised. `printed` gets them in either case."""
    lines = [] if printed is None else printed
    output = io.StringIO()
    try:
        with contextlib.chdir(root), contextlib.redirect_stdout(output):
            command(*given, **options)
    finally:
        lines += output.getvalue().split("\n")[:-1]
    return lines
