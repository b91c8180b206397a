"""The infrastructure of a release: what its program would change, as a request says it.

A request holds it under `infrastructure`:

    {"changes": [...], "digest": SHA-256 of them, "earlier": {"digest": ..., "resources": {URN: SHA-256}}}

`earlier` is the stack's state that a rollback returns to. The program is always the commit's, in a fresh folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pytest_deploy.errors import Refused
from pytest_deploy.platform.environment import Environment
from pytest_deploy.platform.infrastructure import NoInfrastructure, Preview, StackState, refusals
from pytest_deploy.platform.pulumi.settings import SERVICE
from pytest_deploy.policy.infrastructure import Infrastructure
from pytest_deploy.release import git
from pytest_deploy.release.program_folder import refuse_uncommitted, written_out

KEY: Final = "infrastructure"
"""Of a request."""


@dataclass(frozen=True)
class PlannedInfrastructure:
    """What a request says of the stack."""

    preview: Preview
    """What the release's program would change."""
    earlier: StackState
    """What the stack was: what a rollback returns to."""

    def to_json(self) -> dict[str, Any]:
        """For the request."""
        return {**self.preview.to_json(), "earlier": self.earlier.to_json()}

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> PlannedInfrastructure | None:
        """What a request holds; None where it plans none. Raises ValueError where a digest is not that of its content."""
        planned = request.get(KEY)
        if planned is None:
            return None
        return cls(Preview.from_json(planned), StackState.from_json(planned["earlier"]))


def program_of(environment: Environment, commit: str) -> AbstractContextManager[Path]:
    """The Pulumi program of a commit, in a fresh folder. Raises Refused, UsageError, as `written_out`."""
    return written_out(environment.workspace.root, commit, section_of(environment).program)


def plan_infrastructure(environment: Environment, commit: str, *, earlier_commit: str) -> PlannedInfrastructure | None:
    """Preview the program of a commit; None where the environment changes no infrastructure.

    Args:
        environment: whose stack it is.
        commit: the release's, whole.
        earlier_commit: of the release that serves, whose program a rollback runs; empty before the first.

    Raises:
        Refused: the preview destroys what policy does not name, or touches the service; operations are pending; its folder
            has uncommitted changes; the earlier commit is not in this clone.
        PlatformUnavailable: the engine does not run, or ends with an error.
    """
    stack = environment.platform.infrastructure
    if isinstance(stack, NoInfrastructure):
        return None
    given, root = section_of(environment), environment.workspace.root
    refuse_uncommitted(root, given.program)
    if earlier_commit:
        try:
            git.history(root, "cat-file", "-e", f"{earlier_commit}^{{commit}}")
        except Refused:
            raise Refused(
                f"commit {earlier_commit}, whose program a rollback would run, is not in this clone: fetch it whole (fetch-depth: 0)"
            ) from None
    with program_of(environment, commit) as program:
        preview = stack.preview(program)
        earlier = stack.state(program)
    said = refusals(preview.changes, may_destroy=frozenset(given.may_destroy), never_touched=frozenset({SERVICE}))
    if said:
        raise Refused(
            f"what {given.program} would change of stack {given.stack} is refused:"
            + "".join(f"\n  {one}" for one in said)
            + "\nwhat may be deleted or replaced stands under infrastructure.may_destroy of deploy.yaml, by URN"
        )
    return PlannedInfrastructure(preview, earlier)


def changes_of(then: Any, now: Any) -> tuple[str, ...]:
    """How a request's infrastructure differs from what the same request would say now, a sentence each; none where either is not one."""
    try:
        before, after = PlannedInfrastructure.of({KEY: then}), PlannedInfrastructure.of({KEY: now})
    except (ValueError, KeyError, TypeError):
        return ()
    if before is None or after is None:
        return ()
    old, new = set(before.preview.changes), set(after.preview.changes)
    return (
        *(f"infrastructure: no longer: {change}" for change in sorted(old - new)),
        *(f"infrastructure: now: {change}" for change in sorted(new - old)),
        *(
            f"infrastructure: the stack's state of {urn} is another than it was"
            for urn in after.earlier.differences(before.earlier)
        ),
    )


def section_of(environment: Environment) -> Infrastructure:
    """Policy's section on it. Raises Refused where there is none."""
    given = environment.policy.infrastructure
    if given is None:
        raise Refused("deploy.yaml names no infrastructure for this environment: name it, or plan again without")
    return given
