"""What the gates are asked about: a request that was approved, or what a run has built and would ask for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_deploy.migrate.migration_folder import read_migrations
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.record import stored_file
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import StepFinished
from pytest_deploy.record.planned import plan_fault
from pytest_deploy.release import source
from pytest_deploy.release.live import migrations_sha256
from pytest_deploy.release.request import built_images, pending


@dataclass(frozen=True)
class ReleaseCandidate:
    """One release on its way, as gates know it."""

    pipeline: str
    run: str
    commit: str
    built: str | None
    """The digest the build stated, `sha256:<64 hex>`; None before it did."""
    approved: str | None
    """The digest in the request; None where no request lives."""
    migrations_sha256: str
    request: str | None
    """The run whose approvals count; None where no request lives."""
    holds_lease: bool = False
    """Whether the run that asks took the lease before it asked."""
    reason: str = ""
    ticket: str = ""
    planning: bool = False
    """Whether the plan that makes the request still goes on: how it ends is not known yet."""
    failed: tuple[str, ...] = ()
    """Steps of the build phase that did not pass."""

    @property
    def digest(self) -> str | None:
        return self.approved or self.built


def of_request(store: Path, run: str, *, events: Sequence[Event] = ()) -> ReleaseCandidate:
    """What a request in a store asks for; `events` are those of the run that asks, where its build has run again."""
    request = json.loads(stored_file.read(stored_file.file_of(store, f"runs/{run}/request.json")))
    approved = request["artefact"]["image"].partition("@")[2]
    return ReleaseCandidate(
        pipeline=request.get("pipeline", "deploy"),
        run=run,
        commit=request["commit"],
        built=_built_digest(events) if events else approved,
        approved=approved,
        migrations_sha256=migrations_sha256(
            (migration["version"], migration["sha256"]) for migration in request["migrations"]
        ),
        request=run,
        holds_lease=bool(events),
        reason=request.get("reason", ""),
        ticket=request.get("ticket", ""),
        failed=_failed_builds(events),
    )


def of_run(environment: Environment, context: RunContext, events: Sequence[Event]) -> ReleaseCandidate:
    """What a run is about: its request, else its build; a plan counts the approvals of a request that lives already."""
    if context.request or context.pipeline == "rollback":  # a rollback has a request from its start
        return of_request(context.workspace.store, context.run, events=events)
    migrations = read_migrations(environment.migrations_folder)
    commit = source.read(context.workspace.root).commit
    is_plan = context.pipeline == "plan"
    history = environment.log.history()
    waiting = pending(history, environment.clock.now()) if is_plan else ()
    pipeline = "rollback" if context.goes_back else context.pipeline
    # A rollback is of an earlier commit, and but one request of one lives at a time.
    alike = [live for live in waiting if (live.pipeline == pipeline if context.goes_back else live.commit == commit)]
    of_commit = [live for live in alike if not plan_fault(history, live.run)]
    return ReleaseCandidate(
        pipeline=pipeline,
        run=context.run,
        commit=commit,
        built=_built_digest(events),
        approved=None,
        migrations_sha256=migrations_sha256((migration.version, migration.sha256) for migration in migrations),
        request=of_commit[-1].run if of_commit else None,
        holds_lease=not is_plan,
        reason=context.reason,
        ticket=context.ticket,
        failed=_failed_builds(events),
    )


def _built_digest(events: Sequence[Event]) -> str | None:
    images = built_images(events)
    return images[0].partition("@")[2] if len(images) == 1 else None


def _failed_builds(events: Sequence[Event]) -> tuple[str, ...]:
    steps = (step for _, step in of_type(events, StepFinished))
    return tuple(
        step.nodeid for step in steps if step.phase == "build" and step.outcome not in {"passed", "not-applicable"}
    )
