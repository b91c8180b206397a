"""The files of a run's folder: what people read is put into it before it is sealed.

Each file is rendered on its own: one that fails is named in `run.closed.missing`, and does not take the others with it.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from pytest_deploy.record.event import Event
from pytest_deploy.record.events import RequestMade
from pytest_deploy.record.run_folder import RunFolder
from pytest_deploy.reports.run_page import RunEvents, page_files, render_run
from pytest_deploy.reports.run_summary import RunSummary, StepSummary, summarize
from pytest_deploy.traceability.matrix import NOT_RUN

COPIED: Final = ("junit.xml", "pytest.html", "allure-results")
"""What pytest's own report writers make."""
STATEMENT: Final = "statement.json"
REPORT: Final = "report.html"
RENDERED: Final = (STATEMENT, REPORT)
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
    """Fill a run's folder.

    Args:
        folder: The run's.
        events: The run's own, up to `run.decided`.
        files: Where pytest's report writers left theirs.
        checkpoint: The log's anchor line at that point.
        redact: Cuts secrets from what others wrote.
        of_run: Reads the events of another run of the same log.

    Returns:
        The names of what could not be rendered.
    """
    if folder.sealed:  # by a process that was gone before it could say so
        return tuple(name for name in (*COPIED, *RENDERED) if not (folder.path / name).exists())

    def report() -> None:
        # One that lies there is of the same events, by a process that was killed after it; it may know a smaller log.
        if not (folder.path / REPORT).exists():
            shown = page_files(folder.path, events, of_run)
            folder.create(REPORT, render_run(events, files=shown, checkpoint=checkpoint).encode())

    make: dict[str, Callable[[], object]] = {
        **{name: partial(_copy, files / name, folder, name, redact) for name in COPIED if (files / name).exists()},
        STATEMENT: lambda: folder.create(STATEMENT, render_statement(events)),
        REPORT: report,
    }
    return tuple(name for name in (*COPIED, *RENDERED) if name not in make or not _attempt(name, make[name]))


def _attempt(name: str, make: Callable[[], object]) -> bool:
    try:
        make()
    except Exception:  # noqa: BLE001 -- whatever goes wrong in one report, the run is closed and says so
        print(f"evidence: {name} could not be rendered", file=sys.stderr)  # noqa: T201 -- the one place where a report's failure is explained
        traceback.print_exc()
        return False
    return True


def _copy(source: Path, folder: RunFolder, name: str, redact: Callable[[bytes], bytes]) -> None:
    if source.is_dir():
        for path in sorted(path for path in source.rglob("*") if path.is_file()):
            folder.create(f"{name}/{path.relative_to(source).as_posix()}", redact(path.read_bytes()))
    else:
        folder.create(name, redact(source.read_bytes()))


# --- statement.json: the run's steps as an in-toto Statement v1, predicate test-result v0.1, for verifiers of the supply chain.
#
#     https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
#     https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md
#
# Its subjects are the artefact and the commit. It is a view, bound like every file of the run by SHA256SUMS; the predicate
# knows neither phases nor times nor steps that were not run: those stand in the events. `url` is left out: the record has none.

TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "https://in-toto.io/attestation/test-result/v0.1"
_SUCCESSFUL: Final = frozenset({"deployed", "passed"})
_CONFIGURATION: Final[Mapping[str, str]] = {
    "config_sha256": "policy",
    "spec_sha256": "specification",
    "suites_sha256": "suites",
    "lock_sha256": "suites/steps.lock",
}


def render_statement(events: Sequence[Event]) -> bytes:
    """The statement of one run from its own events up to `run.decided`. Raises ValueError where none opens the run."""
    summary = summarize(events)
    passed = [step for step in summary.steps if step.outcome == "passed"]
    statement = {
        "_type": TYPE,
        "subject": list(_subjects(summary)),
        "predicateType": PREDICATE,
        "predicate": {
            "result": _result(summary),
            "configuration": list(_configuration(summary)),
            "passedTests": [step.nodeid for step in passed if not _warned(step)],
            "warnedTests": [step.nodeid for step in passed if _warned(step)],
            # Skipped, in error and unfinished are no passes; what never began was not tested, and stands nowhere.
            "failedTests": [step.nodeid for step in summary.steps if step.outcome not in {"passed", NOT_RUN}],
        },
    }
    return json.dumps(statement, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False).encode() + b"\n"


def _warned(step: StepSummary) -> bool:
    return bool(step.warnings) or step.attempts > 1


def _result(summary: RunSummary) -> str:
    """PASSED and WARNED only where the run itself went well: a run that was rolled back failed, whatever passed in it."""
    if summary.outcome not in _SUCCESSFUL:
        return "FAILED"
    return "WARNED" if any(_warned(step) for step in summary.steps) else "PASSED"


def _subjects(summary: RunSummary) -> Iterator[dict[str, Any]]:
    if summary.image is not None:
        name, _, digest = summary.image.partition("@sha256:")
        yield {"name": name, "digest": {"sha256": digest}}
    yield {"name": summary.opened.version, "digest": {"gitCommit": summary.opened.commit}}


def _configuration(summary: RunSummary) -> Iterator[dict[str, Any]]:
    """What the steps were run under: resource descriptors, each with its digest."""
    for key, name in _CONFIGURATION.items():
        if sha256 := getattr(summary.opened, key):
            yield {"name": name, "digest": {"sha256": sha256}}
    requested = summary.opened.request_sha256 or next(
        (made.request_sha256 for made in summary.contents(RequestMade)), None
    )
    if requested:
        yield {"name": f"runs/{summary.run}/request.json", "digest": {"sha256": requested}}
