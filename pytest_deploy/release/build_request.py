"""What would be deployed now, as a request's bytes: by a plan for people to approve, or by a run for itself.

The same function renders both, and renders once more right before an approved request is run: any drift voids it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pytest_deploy.errors import RecordError
from pytest_deploy.migrate import read
from pytest_deploy.pipeline import steps_lock
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.phases import phases_of
from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.record.actor import local_actor
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event
from pytest_deploy.release import live, request
from pytest_deploy.release.request import Earlier, Plan
from pytest_deploy.release.source import Source

PIPELINE = "deploy"
"""What a request asks for."""


@dataclass(frozen=True)
class Asked:
    """A rendered request."""

    content: bytes
    earlier: Earlier

    @property
    def sha256(self) -> str:
        """What people sign, hex."""
        return request.digest(self.content)

    def says(self) -> dict[str, Any]:
        """The request as an object."""
        said: dict[str, Any] = json.loads(self.content)
        return said

    def made(self) -> dict[str, Any]:
        """The data of its `request.made`."""
        said = self.says()
        return {
            "request_sha256": self.sha256,
            "requested_by": local_actor(),
            "pipeline": PIPELINE,
            "image": said["artefact"]["image"],
            "earlier": said["earlier"],
            "config_sha256": said["policy_sha256"],
            **{key: said[key] for key in ("expires", "environment", "commit", "branch", "version", "steps_sha256")},
            **({"plan": said["plan"]["run"]} if said["plan"] is not None else {}),
            **{key: said[key] for key in ("reason", "ticket") if said[key]},
        }


def built(events: Sequence[Event]) -> str:
    """The artefact that the build phase stated. Raises RecordError where it stated none, or several."""
    images = [e.data["image"] for e in events if e.type == "step.finished" and e.data.get("image")]
    if len(images) != 1:
        raise RecordError(f"the build phase stated {len(images)} artefacts; right is one `record.built(image)`")
    return str(images[0])


def ask(
    environment: Environment, context: RunContext, source: Source, *, run: str, image: str, plan: Plan | None = None
) -> Asked:
    """The request that would be made now for the run `run`. Raises ConfigurationError, PlatformUnavailable, ManualInterventionRequired."""
    policy = environment.policy
    migrations = read.read(context.workspace.root / policy.database.migrations)
    steps = [step for step in steps_lock.read(context.workspace.steps_lock) if step.phase in phases_of(PIPELINE)]
    earlier = live.read_earlier(environment.platform)
    content = request.render(
        environment=policy.environment,
        run=run,
        source=source,
        image=image,
        migrations=[{"version": m.version, "name": m.name, "sha256": m.sha256} for m in migrations],
        earlier=earlier,
        policy_sha256=policy.digest(),
        steps_sha256=steps_lock.digest(steps),
        expires=stamp(environment.clock.now() + timedelta(hours=policy.approval.expires_h)),
        reason=context.reason,
        ticket=context.ticket,
        plan=plan,
    )
    return Asked(content, earlier)
