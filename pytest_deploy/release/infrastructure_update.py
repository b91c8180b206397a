"""The update of the stack that a run's request names: what was approved is what is carried out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from pytest_deploy.errors import RecordError, Refused
from pytest_deploy.platform.environment import Environment
from pytest_deploy.platform.infrastructure import Applied, NoInfrastructure
from pytest_deploy.record import stored_file
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import RunOpened
from pytest_deploy.release.infrastructure import PlannedInfrastructure, program_of, section_of
from pytest_deploy.release.request import stored_request

BEGUN: Final = "infrastructure/begun.json"
"""A file of the run's folder: that an update of the stack was begun, and which."""


@dataclass(frozen=True)
class InfrastructureUpdate:
    """The update of the stack that a run's request names; the `infrastructure` fixture of a step."""

    environment: Environment
    commit: str
    """The release's."""
    planned: PlannedInfrastructure

    @property
    def digest(self) -> str:
        """SHA-256 hex of the preview that was approved."""
        return self.planned.preview.digest

    @property
    def changes(self) -> Sequence[str]:
        """What was approved, a line each."""
        return [str(change) for change in self.planned.preview.changes]

    def apply(self, keep: Callable[[str, bytes], object]) -> Applied:
        """Carry out what was approved, and nothing else.

        `keep` puts a file into the run's folder, as `record.attach` does: `BEGUN`, right before anything is changed. A rollback
        that does not find it leaves the stack alone: whatever is different there, others made.

        Raises Refused where it is another than approved (nothing was changed), InfrastructureFailed where it does not go through.
        """
        stack, given = self.environment.platform.infrastructure, section_of(self.environment)
        if isinstance(stack, NoInfrastructure):
            raise Refused(f"the request names an update of a stack, and here is none: {stack.reason}; plan again")
        with program_of(self.environment, self.commit) as program:
            return stack.apply(
                program,
                approved=self.planned.preview,
                may_destroy=frozenset(given.may_destroy),
                message=f"run {self.environment.run}",
                deadline_s=given.update_s,
                begin=lambda: keep_begun(keep, self.planned),
            )


def keep_begun(keep: Callable[[str, bytes], object], planned: PlannedInfrastructure) -> None:
    """Write down that the update begins."""
    keep(BEGUN, json.dumps(planned.preview.to_json(), indent=2, sort_keys=True).encode() + b"\n")


def was_begun(environment: Environment) -> bool:
    """Whether the run began to update the stack."""
    return stored_file.file_of(environment.workspace.store, f"runs/{environment.run}/{BEGUN}").exists()


def approved_update(environment: Environment, events: Sequence[Event]) -> InfrastructureUpdate | NoInfrastructure:
    """The update that a run's request names, read from request.json as it was signed.

    Args:
        environment: whose run it is.
        events: the run's own.

    Raises:
        Refused: request.json is gone, or another than was made.
        RecordError: what it says of the infrastructure is not whole.
    """
    planned = planned_of(environment, events)
    if planned is None:
        return NoInfrastructure("the request plans no change of the infrastructure")
    _, opened = next(of_type(events, RunOpened))
    return InfrastructureUpdate(environment, opened.commit, planned)


def planned_of(environment: Environment, events: Sequence[Event]) -> PlannedInfrastructure | None:
    """What a run's request says of the stack; None where it plans nothing of it. Raises as `approved_update`."""
    request = stored_request(environment.workspace.store, environment.run, events)
    try:
        return PlannedInfrastructure.of(request.parsed)
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(
            f"runs/{environment.run}/request.json: what it says of the infrastructure is not whole: {error}"
        ) from None
