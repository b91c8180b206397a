"""The files of a run that people read, put into its folder before the folder is sealed.

Each is rendered on its own: one that fails is named in `run.closed.missing`, and does not take the others with it.
"""

from __future__ import annotations

import shutil
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from pytest_deploy.record.event import Event
from pytest_deploy.record.run_folder import RunFolder
from pytest_deploy.reports import attachments
from pytest_deploy.reports.attachments import RunEvents
from pytest_deploy.reports.statement import render_statement

COPIED = ("junit.xml", "pytest.html", "allure-results")
"""What pytest's own report writers make."""
REPORT = "report.html"
RENDERED = ("statement.json", REPORT)
"""What is made of the events."""


def write(
    folder: RunFolder,
    events: Sequence[Event],
    *,
    files: Path,
    checkpoint: str,
    redact: Callable[[bytes], bytes],
    of_run: RunEvents,
) -> tuple[str, ...]:
    """Fill the run folder; returns the names of what could not be rendered. `events`: the run's, up to `run.decided`.

    `checkpoint` is the anchor line of the log at that point. `redact` cuts secrets from what others wrote. `of_run` reads
    the events of another run of the same log.
    """
    if folder.sealed:  # by a process that was gone before it could say so
        return tuple(name for name in (*COPIED, *RENDERED) if not (folder.path / name).exists())
    missing = [name for name in COPIED if not (files / name).exists()]
    for name in COPIED:
        if name not in missing and not _attempt(name, partial(_copy, files / name, folder, name, redact)):
            missing.append(name)
    made = (lambda: render_statement(events), lambda: _report(folder, events, checkpoint, of_run))
    for name, make in zip(RENDERED, made, strict=True):
        if not _attempt(name, partial(_put, folder, name, make)):
            missing.append(name)
    return tuple(missing)


def _attempt(name: str, render: Callable[[], None]) -> bool:
    try:
        render()
    except Exception:  # noqa: BLE001 -- whatever goes wrong in one report, the run is closed and says so
        print(f"evidence: {name} could not be rendered", file=sys.stderr)  # noqa: T201 -- the one place where a report's failure is explained
        traceback.print_exc()
        return False
    return True


def _copy(found: Path, folder: RunFolder, name: str, redact: Callable[[bytes], bytes]) -> None:
    if found.is_dir():
        for path in sorted(path for path in found.rglob("*") if path.is_file()):
            folder.create(f"{name}/{path.relative_to(found).as_posix()}", redact(path.read_bytes()))
    else:
        folder.create(name, redact(found.read_bytes()))


def _put(folder: RunFolder, name: str, make: Callable[[], bytes]) -> None:
    # A report that lies there is of the same events, by a process that was killed after it; it may know a smaller log.
    if name != REPORT or not (folder.path / name).exists():
        folder.create(name, make())


def _report(folder: RunFolder, events: Sequence[Event], checkpoint: str, of_run: RunEvents) -> bytes:
    from pytest_deploy.reports.run_page import render_run

    return render_run(events, bound=attachments.read(folder.path, events, of_run), checkpoint=checkpoint).encode()


def remove(files: Path) -> None:
    """Forget what the report writers made, once it lies in the run folder."""
    shutil.rmtree(files, ignore_errors=True)
