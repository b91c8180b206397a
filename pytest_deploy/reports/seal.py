"""Sealing a decided run: what people read is rendered and bound, the run is closed and anchored, the lease given back."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from pytest_deploy.anchors.kinds import Anchor, TimestampAuthority, anchors_of, file_name
from pytest_deploy.approvals.enrollment import trust_authority
from pytest_deploy.errors import DeployError
from pytest_deploy.pipeline.outcome import EVIDENCE, exit_code
from pytest_deploy.pipeline.run import Run
from pytest_deploy.platform.environment import Environment
from pytest_deploy.record.actor import local_actor
from pytest_deploy.record.bucket import copy_of
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import AlertRaised, AnchorMade, RequestMade, RunClosed
from pytest_deploy.record.log import Log
from pytest_deploy.record.log_entry import SignedCheckpoint
from pytest_deploy.record.run_folder import RunFolder
from pytest_deploy.record.store import Exists
from pytest_deploy.release import live
from pytest_deploy.reports import index
from pytest_deploy.reports.others_page import with_policy
from pytest_deploy.reports.run_page import RunEvents, page_files, render_run
from pytest_deploy.reports.run_summary import RunSummary, StepSummary, summarize
from pytest_deploy.rollback.rollback import announced
from pytest_deploy.traceability.matrix import NOT_RUN
from pytest_deploy.workspace import Workspace, deploy_py, verify_command

logger = logging.getLogger(__name__)

Line = tuple[str, dict[str, bool]]
"""A line for the person watching, and its markup."""


@dataclass(frozen=True)
class Sealed:
    exit_code: int
    serving: str
    """What serves now, in words."""


def seal(run: Run) -> Sealed:
    """Decide, render what people read, bind it, close the run, release the lease.

    Raises RecordError where the record cannot be written.
    """
    judgement = run.judgement or run.decide()
    environment, context, say = run.environment, run.context, run.observer.line
    events = run.events()
    # 1. The evidence, into the run's folder. What cannot be rendered is named, and does not stop the rest.
    folder = RunFolder(run.log.store, context.run)
    missing = write_evidence(
        folder,
        events,
        files=context.session,
        checkpoint=run.log.checkpoint(),
        redact=environment.redact_file,
        of_run=run.log.run,
        root=context.workspace.root,
    )
    # 2. The folder is bound by SHA256SUMS, and the run is closed over its digest.
    run.append(
        RunClosed(
            outcome=judgement.outcome,
            record=f"runs/{context.run}",
            record_sha256=folder.seal(),
            missing=list(missing),
        )
    )
    logger.info("run %s is closed", context.run)
    # 3. The run is sealed: its exit code stands. Evidence that lacks after a change needs a person.
    code = judgement.exit_code
    if missing:
        say(f"evidence incomplete: {', '.join(missing)} could not be rendered")
        code = exit_code(judgement.outcome, changed=announced(events), cause=EVIDENCE)
    # 4. Somebody else is told of the record while the lease is still held; then the next run may begin. What fails here is
    #    said, and changes nothing.
    for act in (lambda: anchor_record(environment, run=context.run, say=say), lambda: release_run(run)):
        try:
            act()
        except Exception as error:  # noqa: BLE001 -- the run is decided and closed
            say(f"after the seal: {type(error).__name__}: {error}")
    serving = _serving(environment)
    with suppress(Exception):
        environment.close()
    return Sealed(code, serving)


def release_run(run: Run) -> None:
    """Give the lease back, forget what the report writers left, and list the run in the index."""
    if run.lease is not None:
        run.lease.stop_renewing()
        run.lease.release()
    shutil.rmtree(run.context.session, ignore_errors=True)
    for fault in index.write(run.context.workspace.reports):
        run.observer.line(fault)


def summary(run: Run, sealed: Sealed, *, code: int | None = None) -> list[Line]:
    """What happened, what serves now, where the evidence lies, how to check it. `code`: to show in place of the run's."""
    judgement = run.judgement or run.decide()
    shown = sealed.exit_code if code is None else code
    workspace = run.context.workspace
    lines: list[Line] = [
        (
            f"{judgement.outcome} in {run.elapsed():.1f} s · exit {shown}",
            {"bold": True, "green": shown == 0, "red": shown != 0},
        )
    ]
    facts = {
        "cause": judgement.cause,
        "serving": sealed.serving,
        "report": f"{workspace.shown(workspace.run_folder(run.context.run))}/report.html",
        "anchor": run.log.checkpoint(),
        "record": copy_of(workspace.store),
        "verify": verify_command(workspace.store),
    }
    lines += fact_lines(facts)
    if judgement.outcome == "rollback-failed":
        text = "a person is needed: the environment is not proven to be as it was; see the report's rollback section"
        lines.append((text, {"red": True}))
    return lines


def fact_lines(facts: Mapping[str, str | None]) -> list[Line]:
    """Each fact behind its name, as a run ends with them; one that there is not is left out."""
    return [(f"{name:<10}{fact}", {}) for name, fact in facts.items() if fact]


def _serving(environment: Environment) -> str:
    """What serves now, in words, read from the platform: only to be printed, so it decides and stops nothing."""
    try:
        now = live.read_baseline(environment.platform)
        state = environment.platform.runtime.state()
    except Exception as error:  # noqa: BLE001 -- whatever a platform, a driver or a network raises
        return f"not known: {_one_line(error)}"
    if now.release is None:
        return f"nothing yet: {now.revision} answered 503"
    schema = now.migrations[-1] if now.migrations else "none"
    name = environment.policy.service.name
    # The embedded platform ends with what opened it.
    while_ = "the rehearsal lasts" if environment.workspace.rehearsal else f"`{deploy_py('local')}` runs"
    at = state.url if environment.policy.platform.kind != "embedded" else f"{state.url} while {while_}"
    return f"{name} {now.release.version} ({now.revision}), schema {schema}, at {at}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


# --- the files of the run's folder

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
        root: The checkout, for the specification.

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


# --- statement.json: the run's steps as an in-toto Statement v1, predicate test-result v0.1, for verifiers of the supply chain.
#
#     https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
#     https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md
#
# Its subjects are the artefact and the commit. It is a view, bound like every file of the run by SHA256SUMS; the predicate
# knows neither phases nor times nor steps that were not run: those stand in the events. `url` is left out: the record has none.

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
    result = "WARNED" if any(map(_warned, summary.steps)) else "PASSED"
    if summary.outcome not in {"deployed", "passed"}:  # a run that was rolled back failed, whatever passed in it
        result = "FAILED"
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": list(_subjects(summary)),
        "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
        "predicate": {
            "result": result,
            "configuration": list(_configuration(summary)),
            "passedTests": [step.nodeid for step in passed if not _warned(step)],
            "warnedTests": [step.nodeid for step in passed if _warned(step)],
            # Skipped, in error and unfinished are no passes. What never began was not tested, and stands nowhere; what neither
            # passed nor failed stands among the configuration, for the predicate has no list for it.
            "failedTests": [step.nodeid for step in summary.steps if step.outcome not in _NO_FAILURES],
        },
    }
    return json.dumps(statement, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False).encode() + b"\n"


_NO_FAILURES: Final = frozenset({"passed", "still-needed", "not-applicable", NOT_RUN})


def _warned(step: StepSummary) -> bool:
    return bool(step.warnings) or step.attempts > 1


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
    for outcome in ("still-needed", "not-applicable"):
        if steps := [step.nodeid for step in summary.steps if step.outcome == outcome]:
            digest = hashlib.sha256("".join(f"{step}\n" for step in steps).encode()).hexdigest()
            yield {"name": f"{outcome} steps", "annotations": {"steps": steps}, "digest": {"sha256": digest}}


# --- anchors: made when a run has closed, or when somebody asks; each is an event, and so is a failure

_ANCHOR_ACTOR: Final = "system:anchor"


def anchor_record(environment: Environment, *, run: str, say: Callable[[str], None]) -> bool:
    """Make every anchor of the record as it stands, and record each; whether all were made.

    A failure is said and raised as an alert, and raises nothing: the outcome of a run is what it is.
    """
    workspace, log = environment.workspace, environment.log
    try:
        anchors = anchors_of(workspace, environment.policy, log.store)
        for anchor in anchors:
            if isinstance(anchor, TimestampAuthority):
                trust_authority(log, workspace.store, anchor.ca, actor=local_actor())
        signed = log.signed()
        if anchors:
            with suppress(Exists):
                log.store.create(file_name(signed), signed.text.encode())
    except DeployError as error:
        _report_failure(log, run, f"no anchor was made: {error}", say)
        return False
    made = [_make_anchor(log, anchor, signed, run, say) for anchor in anchors]
    return all(made)


def _make_anchor(log: Log, anchor: Anchor, signed: SignedCheckpoint, run: str, say: Callable[[str], None]) -> bool:
    checkpoint = signed.checkpoint
    try:
        details = anchor.make(signed)
        content = AnchorMade(
            kind=anchor.kind,
            size=checkpoint.size,
            root=checkpoint.anchor.rpartition(" ")[2],
            place=anchor.place,
            file=file_name(signed),
            sha256=hashlib.sha256(signed.text.encode()).hexdigest(),
            **details,
        )
        log.append(content, run=run, actor=_ANCHOR_ACTOR)
    except DeployError as error:
        _report_failure(log, run, f"the anchor at {anchor.place} was not made: {error}", say)
        return False
    return True


def _report_failure(log: Log, run: str, detail: str, say: Callable[[str], None]) -> None:
    say(f"{detail}; then: `{Workspace.of_store(log.store.path).command_line('anchor')}`")
    try:
        log.append(AlertRaised(alert="anchor", detail=detail), run=run, actor=_ANCHOR_ACTOR)
    except DeployError as error:
        say(f"nor could that be recorded: {error}")
