"""Sealing a decided run: what people read is rendered and bound, the run is closed and anchored, the lease given back."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from pytest_deploy.pipeline.outcome import EVIDENCE, exit_code
from pytest_deploy.pipeline.run import Run
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.load import embedded
from pytest_deploy.record.bucket import copy_of
from pytest_deploy.record.events import AlertRaised, RunClosed
from pytest_deploy.record.plain_text import STATED_BYTES, shortened
from pytest_deploy.record.run_folder import RunFolder
from pytest_deploy.release import live
from pytest_deploy.reports import index
from pytest_deploy.reports.anchor_record import anchor_record
from pytest_deploy.reports.evidence import write_evidence
from pytest_deploy.rollback.rollback import announced
from pytest_deploy.workspace import program_command, verify_command

logger = logging.getLogger(__name__)

_MOST_NAMED: Final = 10
"""Of the files that were set aside, so many are named each."""

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
    set_aside(run)
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
    serving = serving_now(environment)
    with suppress(Exception):
        environment.close()
    return Sealed(code, serving)


def set_aside(run: Run) -> None:
    """What a step laid into the run's folder by hand, and no list can hold, keeps no run from its seal: it is moved, and said."""
    moved = RunFolder(run.log.store, run.context.run).set_aside()
    if not moved:
        return
    more = [f"and {len(moved) - _MOST_NAMED} more beside it"] if len(moved) > _MOST_NAMED else []
    named = [*moved[:_MOST_NAMED], *more]
    for sentence in named:
        run.observer.line(sentence)
    run.append(AlertRaised(alert="evidence", detail=shortened("; ".join(named), STATED_BYTES)))


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
    well, waits = shown == 0, judgement.outcome == "still-needed"
    lines: list[Line] = [
        (
            f"{judgement.outcome} in {run.elapsed():.1f} s · exit {shown}",
            {"bold": True, "green": well and not waits, "yellow": well and waits, "red": not well},
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


def serving_now(environment: Environment) -> str:
    """What serves now, in words, read from the platform: only to be printed, so it decides and stops nothing."""
    try:
        now = live.read_baseline(environment.platform)
        state = environment.platform.runtime.state()
    except Exception as error:  # noqa: BLE001 -- whatever a platform, a driver or a network raises
        return f"not known: {_one_line(error)}"
    if now.release is None:
        return f"nothing yet: {now.revision} is of no deployment"
    schema = now.migrations[-1] if now.migrations else "of no migration"
    name = environment.policy.service.name
    # The embedded platform ends with what opened it.
    workspace = environment.workspace
    several = len(embedded(workspace.config_file)) > 1
    held_by = program_command("local", *([workspace.environment] if several else []))
    while_ = "the rehearsal lasts" if workspace.rehearsal else f"`{held_by}` runs"
    at = state.url if environment.policy.platform.kind != "embedded" else f"{state.url} while {while_}"
    return f"{name} {now.release.version} ({now.revision}), schema {schema}, at {at}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
