"""An environment's migrations, opened for a command; and when a command may move a schema."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pytest_deploy.errors import Refused
from pytest_deploy.migrate.migrations import Migrations
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.load import policy_of
from pytest_deploy.record import lease
from pytest_deploy.record.actor import local_actor
from pytest_deploy.record.run_id import new_run_id
from pytest_deploy.workspace import Workspace


@contextmanager
def opened(env: str) -> Iterator[tuple[Environment, Migrations]]:
    """An environment and its migrations, with its platform open."""
    workspace = Workspace(Path.cwd(), env)
    with closing(Environment(workspace, policy_of(workspace))) as environment:
        yield environment, Migrations.of(environment)


@contextmanager
def under_lease(environment: Environment) -> Iterator[None]:
    """No run goes on meanwhile, and the log says who had the environment. Raises LeaseHeld, ManualInterventionRequired."""
    name = environment.policy.environment
    taken = lease.take(environment.log, new_run_id(name, environment.clock), name=name, actor=local_actor())
    try:
        with taken.renewing():
            yield
    finally:
        taken.release()


def refuse_where_approval_is_asked(environment: Environment, word: str, instead: str) -> None:
    policy = environment.policy
    if asks_for_approval(environment):
        raise Refused(
            f"migrate {word}: {policy.environment} asks for approval, so its schema moves in a run alone; "
            f"the way is {instead}"
        )


def asks_for_approval(environment: Environment) -> bool:
    """Whether somebody has to approve what changes the environment."""
    policy = environment.policy
    return "approval" not in policy.phases.leave_out or bool(policy.approval.roles)
