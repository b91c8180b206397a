"""The files of a run's folder: what people read is put into it before it is sealed, and a page shows what lies in it.

Each file is rendered on its own: one that fails is named in `run.closed.missing`, and does not take the others with it.
What a page shows is held against the digest that the record states for it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from pytest_deploy.errors import RecordTampered
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import RequestMade, RunDecided, StepFinished, given
from pytest_deploy.record.run_folder import RunFolder
from pytest_deploy.reports.run_summary import RunSummary, StepSummary, summarize
from pytest_deploy.traceability.matrix import NOT_RUN

COPIED: Final = ("junit.xml", "pytest.html", "allure-results")
"""What pytest's own report writers make."""
REPORT: Final = "report.html"
RENDERED: Final = ("statement.json", REPORT)
"""What is made of the events."""
APPLIED_DIFF: Final = "schema/diff.txt"
PLANNED_DIFF: Final = "schema/planned.diff"
_SAMPLES: Final = "samples/"
_DIFF_LINES: Final = 1500
"""Lines of a diff that a page shows; the file holds the rest."""

RunEvents = Callable[[str], Sequence[Event]]
"""The events of any run of the same log, by its name."""


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
    missing = [name for name in COPIED if not (files / name).exists()]
    for name in COPIED:
        if name not in missing and not _attempt(name, partial(_copy, files / name, folder, name, redact)):
            missing.append(name)
    renderers = (lambda: render_statement(events), lambda: _report(folder, events, checkpoint, of_run))
    for name, render in zip(RENDERED, renderers, strict=True):
        if not _attempt(name, partial(_put, folder, name, render)):
            missing.append(name)
    return tuple(missing)


def remove(files: Path) -> None:
    """Forget what the report writers made, once it lies in the run folder."""
    shutil.rmtree(files, ignore_errors=True)


def _attempt(name: str, render: Callable[[], None]) -> bool:
    try:
        render()
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


def _put(folder: RunFolder, name: str, render: Callable[[], bytes]) -> None:
    # A report that lies there is of the same events, by a process that was killed after it; it may know a smaller log.
    if name != REPORT or not (folder.path / name).exists():
        folder.create(name, render())


def _report(folder: RunFolder, events: Sequence[Event], checkpoint: str, of_run: RunEvents) -> bytes:
    from pytest_deploy.reports.run_page import render_run

    return render_run(events, files=page_files(folder.path, events, of_run), checkpoint=checkpoint).encode()


@dataclass(frozen=True)
class SchemaDiff:
    """What a run did to the schema, or would have done."""

    what: str
    """applied: found by comparing before and after. planned: what the plan's dry run showed."""
    file: str
    """Path in the store."""
    sha256: str
    text: str
    """Its first lines; the file holds them all."""
    more: int
    """How many lines the file holds besides."""


@dataclass(frozen=True)
class PageFiles:
    """What a run's page shows besides its events."""

    request: Mapping[str, Any] | None = None
    """request.json, where the run has one."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Attachments that a page draws, by name."""
    diff: SchemaDiff | None = None
    plan: tuple[Event, ...] = ()
    """The events of the plan that made the request."""


def page_files(folder: Path, events: Sequence[Event], of_run: RunEvents) -> PageFiles:
    """Read what the page of a run shows besides its events. `folder`: runs/<run> of the store.

    A request was planned by another run, and a plan asks for another: their events come from `of_run`. Raises RecordTampered
    where a file is not what the record says of it, or is gone.
    """
    attached: dict[str, str] = {}
    for event in events:
        if isinstance(event.content, StepFinished):
            attached |= event.content.attachments
    texts = {name: _text(folder / name, sha256) for name, sha256 in attached.items() if name.startswith(_SAMPLES)}
    request = _request(folder, events) or _requested_by_plan(folder, events, of_run)
    plan = (request or {}).get("plan")
    return PageFiles(
        request,
        texts,
        next(_diffs(folder, attached, plan), None),
        tuple(of_run(plan["run"])) if plan is not None else (),
    )


def _request(folder: Path, events: Sequence[Event]) -> Mapping[str, Any] | None:
    made = next((event.content for event in events if isinstance(event.content, RequestMade)), None)
    if made is None:
        return None
    request: Mapping[str, Any] = json.loads(_text(folder / "request.json", made.request_sha256))
    return request


def _requested_by_plan(folder: Path, events: Sequence[Event], of_run: RunEvents) -> Mapping[str, Any] | None:
    """The request that a plan asks for; it lies in the folder of the run that people approve."""
    decided = next((event.content for event in events if isinstance(event.content, RunDecided)), None)
    run = given(decided.request) if decided is not None else None
    return None if run is None else _request(folder.parent / run, of_run(run))


def _diffs(folder: Path, attached: Mapping[str, str], plan: Mapping[str, Any] | None) -> Iterator[SchemaDiff]:
    """What was applied, else what was planned."""
    if APPLIED_DIFF in attached:
        yield _diff("applied", folder / APPLIED_DIFF, attached[APPLIED_DIFF])
    if plan is not None:
        yield _diff("planned", folder.parent / plan["run"] / PLANNED_DIFF, plan["schema_diff_sha256"])


def _diff(what: str, path: Path, sha256: str) -> SchemaDiff:
    lines = _text(path, sha256).splitlines()
    name = path.relative_to(path.parents[3]).as_posix()
    return SchemaDiff(what, name, sha256, "\n".join(lines[:_DIFF_LINES]), max(0, len(lines) - _DIFF_LINES))


def _text(path: Path, sha256: str) -> str:
    """The file's text. Raises RecordTampered where it is gone or another."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecordTampered(f"{path} cannot be read, though the record names it: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise RecordTampered(f"{path} is not the file the record names: its SHA-256 is not {sha256}")
    return content.decode("utf-8", "replace")


# --- statement.json: the run's steps as an in-toto Statement v1, predicate test-result v0.1, for verifiers of the supply chain.
#
#     https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
#     https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md
#
# Its subjects are the artefact and the commit. It is a view, bound like every file of the run by SHA256SUMS; the predicate
# knows neither phases nor times nor steps that were not run: those stand in the events. `url` is left out: the record has none.

STATEMENT: Final = "https://in-toto.io/Statement/v1"
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
    statement = {
        "_type": STATEMENT,
        "subject": list(_subjects(summary)),
        "predicateType": PREDICATE,
        "predicate": {
            "result": _result(summary),
            "configuration": list(_configuration(summary)),
            "passedTests": [step.nodeid for step in summary.steps if _passed(step) and not _warned(step)],
            "warnedTests": [step.nodeid for step in summary.steps if _passed(step) and _warned(step)],
            # Skipped, in error and unfinished are no passes; what never began was not tested, and stands nowhere.
            "failedTests": [s.nodeid for s in summary.steps if not _passed(s) and s.outcome != NOT_RUN],
        },
    }
    return json.dumps(statement, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False).encode() + b"\n"


def _passed(step: StepSummary) -> bool:
    return step.outcome == "passed"


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
    requested = summary.opened.request_sha256
    requested = requested or next((made.request_sha256 for made in summary.contents(RequestMade)), None)
    if requested:
        yield {"name": f"runs/{summary.run}/request.json", "digest": {"sha256": requested}}
