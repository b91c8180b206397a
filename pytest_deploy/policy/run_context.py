"""What was asked of one run: the few values that travel to xdist's workers. The rest is read from the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pytest_deploy.policy.load import policy_of
from pytest_deploy.policy.policy import Policy
from pytest_deploy.workspace import Workspace


@dataclass(frozen=True)
class RunContext:
    """One run, as any of its processes must know it."""

    workspace: Workspace
    pipeline: str
    sets: tuple[str, ...] = ()
    """The --deploy-set values as given."""
    reason: str = ""
    run: str = ""
    """The run id: made by the controller at its start, or the approved request's; the lease is taken under it."""
    request: str = ""
    """The approved request to execute, where one was named (`--deploy-run`)."""
    shift_s: float = 0.0
    """Seconds a rehearsal's clock is ahead of the real one (`--deploy-at`)."""
    ticket: str = ""
    to: str = ""
    """What a rollback by hand returns to: a version, a run, or `earlier`."""

    @property
    def goes_back(self) -> bool:
        """Whether it is a rollback that somebody asks for, or the plan of one."""
        return self.pipeline == "rollback" or (self.pipeline == "plan" and bool(self.to))

    @property
    def rehearsal(self) -> bool:
        return self.workspace.rehearsal

    @property
    def session(self) -> Path:
        """What pytest's report writers and the workers leave for the controller while the run lasts."""
        return self.workspace.session(self.run)

    def policy(self) -> Policy:
        """The policy, with what --deploy-set changes of it. Raises ConfigurationError listing every fault."""
        return policy_of(self.workspace, self.sets)

    def to_json(self) -> dict[str, Any]:
        """For xdist's `workerinput`."""
        return {**asdict(self), "workspace": {**asdict(self.workspace), "root": str(self.workspace.root)}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RunContext:
        at = value["workspace"]
        return cls(
            **{**value, "workspace": Workspace(**{**at, "root": Path(at["root"])}), "sets": tuple(value["sets"])}
        )
