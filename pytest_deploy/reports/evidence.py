"""The files of a run's folder that people read: each is rendered on its own, and what fails is named."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from pytest_deploy.record.event import Event
from pytest_deploy.record.run_folder import RunFolder
from pytest_deploy.reports.others_page import with_policy
from pytest_deploy.reports.run_page import RunEvents, page_files, render_run
from pytest_deploy.reports.statement import (
    render_statement,
)

COPIED: Final = ("junit.xml", "pytest.html", "allure-results")
"""What pytest's own report writers make."""


STATEMENT: Final = "statement.json"


REPORT: Final = "report.html"


RENDERED: Final = (STATEMENT, REPORT)
"""What is made of the events."""


def write_evidence(
    folder: RunFolder,
    events: Sequence[Event],
    *,
    files: Path,
    checkpoint: str,
    redact: Callable[[bytes], bytes],
    of_run: RunEvents,
    root: Path | None = None,
) -> tuple[str, ...]:
    """Put what people read into a run's folder before it is sealed.

    Each file is rendered on its own: one that fails is named in `run.closed.missing`, and does not take the others with it.

    Args:
        folder: The run's.
        events: The run's own, up to `run.decided`.
        files: Where pytest's report writers left theirs.
        checkpoint: The log's anchor line at that point.
        redact: Cuts secrets from what others wrote.
        of_run: Reads the events of another run of the same log.
        root: The checkout, for the register of requirements.

    Returns:
        The names of what could not be rendered.
    """
    if folder.sealed:  # by a process that was gone before it could say so
        return tuple(name for name in (*COPIED, *RENDERED) if not (folder.path / name).exists())

    def report() -> None:
        # One that lies there is of the same events, by a process that was killed after it; it may know a smaller log.
        if not (folder.path / REPORT).exists():
            shown = page_files(folder.path, events, of_run, root=root)
            folder.create(REPORT, render_run(events, files=shown, checkpoint=checkpoint).encode())

    make: dict[str, Callable[[], object]] = {
        **{name: partial(_copy, files / name, folder, name, redact) for name in COPIED if (files / name).exists()},
        STATEMENT: lambda: folder.create(STATEMENT, render_statement(events)),
        REPORT: report,
    }
    return tuple(name for name in (*COPIED, *RENDERED) if name not in make or not attempt(name, make[name]))


def attempt(name: str, make: Callable[[], object]) -> bool:
    """Make a file that people read; whether that worked. What went wrong is explained on standard error, and raised to nobody."""
    try:
        make()
    except Exception:  # noqa: BLE001 -- whatever goes wrong in one report, the run is closed and says so
        with suppress(OSError, ValueError):  # nobody reads standard error any more
            print(f"evidence: {name} could not be rendered", file=sys.stderr)  # noqa: T201 -- the one place where a report's failure is explained
            traceback.print_exc()
        return False
    return True


def _copy(source: Path, folder: RunFolder, name: str, redact: Callable[[bytes], bytes]) -> None:
    if source.is_dir():
        for path in sorted(path for path in source.rglob("*") if path.is_file()):
            folder.create(f"{name}/{path.relative_to(source).as_posix()}", redact(path.read_bytes()))
    else:
        content = redact(source.read_bytes())
        folder.create(name, with_policy(content) if name.endswith(".html") else content)
