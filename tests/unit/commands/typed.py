"""A command as it is typed in a checkout, without a process of its own."""

from __future__ import annotations

import contextlib
import inspect
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any


def typed(
    root: Path, command: Callable[..., None], *given: Any, printed: list[str] | None = None, **options: Any
) -> list[str]:
    """The lines that a command prints; what it raises is raised. `printed` gets them in either case.

    There is no terminal here: a command that would ask whether to sign is told `--yes`, unless the options say otherwise.
    """
    lines = [] if printed is None else printed
    output = io.StringIO()
    if "yes" in inspect.signature(command).parameters:
        options = {"yes": True, **options}
    try:
        with contextlib.chdir(root), contextlib.redirect_stdout(output):
            command(*given, **options)
    finally:
        lines += output.getvalue().split("\n")[:-1]
    return lines
