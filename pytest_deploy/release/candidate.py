"""What the gates are asked about: a request that was approved, or what a run has built and would ask for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_deploy.migrate import read
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.record.event import Event
from pytest_deploy.release import pending_requests, source
from pytest_deploy.release.request import migrations_sha256


@dataclass(frozen=True)
class Subject:
    """One release on its way, as gates know it."""

    pipeline: str
    run: str
    """The run that asks."""
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
    failed: tuple[str, ...] = ()
    """Steps of the build phase that did not pass."""

    @property
    def digest(self) -> str | None:
        """What would be deployed."""
        return self.approved or self.built


def of_request(environment: Environment, run: str, *, events: Sequence[Event] = ()) -> Subject:
    """What a request asks for; `events` are those of the run that asks, where its build has run again."""
    said = json.loads((environment.workspace.store / "runs" / run / "request.json").read_bytes())
    approved = said["artefact"]["image"].partition("@")[2]
    return Subject(
        pipeline="deploy",
        run=run,
        commit=said["commit"],
        built=_built(events) if events else approved,
        approved=approved,
        migrations_sha256=migrations_sha256((one["version"], one["sha256"]) for one in said["migrations"]),
        request=run,
        holds_lease=bool(events),
        failed=_failed(events),
    )


def of_run(environment: Environment, context: RunContext, events: Sequence[Event]) -> Subject:
    """What a run is about: its request, else its build; a plan counts the approvals of a request that lives already."""
    if context.request:
        return of_request(environment, context.run, events=events)
    migrations = read.read(context.workspace.root / environment.policy.database.migrations)
    commit = source.read(context.workspace.root).commit
    waiting = (
        pending_requests.live(environment.log.history(), environment.clock.now()) if context.pipeline == "plan" else ()
    )
    mine = [one for one in waiting if one.commit == commit]
    return Subject(
        pipeline=context.pipeline,
        run=context.run,
        commit=commit,
        built=_built(events),
        approved=None,
        migrations_sha256=migrations_sha256((one.version, one.sha256) for one in migrations),
        request=mine[-1].run if mine else None,
        holds_lease=context.pipeline != "plan",
        reason=context.reason,
        ticket=context.ticket,
        failed=_failed(events),
    )


def _built(events: Sequence[Event]) -> str | None:
    images = [e.data["image"] for e in events if e.type == "step.finished" and e.data.get("image")]
    return str(images[0]).partition("@")[2] if len(images) == 1 else None


def _failed(events: Sequence[Event]) -> tuple[str, ...]:
    build = [e for e in events if e.type == "step.finished" and e.data["phase"] == "build"]
    return tuple(e.data["nodeid"] for e in build if e.data["outcome"] != "passed")
