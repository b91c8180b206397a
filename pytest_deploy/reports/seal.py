"""Sealing a decided run: what people read is rendered and bound, the run is closed and anchored, the lease given back."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from pytest_deploy.anchors.kinds import Anchor, TimestampAuthority, anchors_of, file_name
from pytest_deploy.approvals.enrollment import trust_authority
from pytest_deploy.errors import DeployError
from pytest_deploy.pipeline.outcome import MANUAL_INTERVENTION
from pytest_deploy.pipeline.run import Run
from pytest_deploy.platform.environment import Environment
from pytest_deploy.record.actor import local_actor
from pytest_deploy.record.bucket import copy_of
from pytest_deploy.record.event import of_type
from pytest_deploy.record.events import AlertRaised, AnchorMade, RunClosed, StepStarted
from pytest_deploy.record.log import Log
from pytest_deploy.record.log_entry import SignedCheckpoint
from pytest_deploy.record.run_folder import RunFolder
from pytest_deploy.record.store import Exists
from pytest_deploy.release import live
from pytest_deploy.reports import evidence, index

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
    missing = evidence.write(
        folder,
        events,
        files=context.session,
        checkpoint=run.log.checkpoint(),
        redact=environment.redact_file,
        of_run=run.log.run,
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
    # 3. Somebody else is told of the record while the lease is still held; then the next run may begin.
    anchor_record(environment, run=context.run, say=say)
    release_run(run)
    serving = _serving(environment)
    environment.close()
    # 4. Evidence that lacks after a change needs a person.
    code = judgement.exit_code
    if missing:
        say(f"evidence incomplete: {', '.join(missing)} could not be rendered")
        changed = any(step.changes for _, step in of_type(events, StepStarted))
        code = MANUAL_INTERVENTION if changed else 3
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
        "report": f"{workspace.shown(run.context.run_folder)}/report.html",
        "anchor": run.log.checkpoint(),
        "record": copy_of(workspace.store),
        "verify": f"python deploy.py verify {workspace.shown(workspace.store)}",
    }
    lines += [(f"{name:<10}{fact}", {}) for name, fact in facts.items() if fact]
    if judgement.outcome == "rollback-failed":
        text = "a person is needed: the environment is not proven to be as it was; see the report's rollback section"
        lines.append((text, {"red": True}))
    return lines


def _serving(environment: Environment) -> str:
    """What serves now, in words, read from the platform."""
    try:
        now = live.read_baseline(environment.platform)
        state = environment.platform.runtime.state()
    except DeployError as error:
        return f"not known: {error}"
    if now.release is None:
        return f"nothing yet: {now.revision} answers 503 at {state.url}"
    schema = now.migrations[-1] if now.migrations else "none"
    name = environment.policy.service.name
    return f"{name} {now.release.version} ({now.revision}), schema {schema}, at {state.url}"


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
    say(f"{detail}; then: python deploy.py anchor ENV")
    try:
        log.append(AlertRaised(alert="anchor", detail=detail), run=run, actor=_ANCHOR_ACTOR)
    except DeployError as error:
        say(f"nor could that be recorded: {error}")
