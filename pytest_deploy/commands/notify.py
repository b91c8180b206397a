"""`pytest-deploy notify ENV`: tell people what nobody could tell them yet. For a schedule, and after a channel was down."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pytest_deploy.commands import Env, say
from pytest_deploy.errors import UsageError
from pytest_deploy.notify import channel, outbox
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.load import policy_of
from pytest_deploy.record.plain_text import shortened
from pytest_deploy.workspace import Workspace


def notify(
    env: Env,
    *,
    test: Annotated[
        bool,
        typer.Option("--test", help="send one message to each channel that says it is a test; nothing is recorded"),
    ] = False,
) -> None:
    """Tell people what is not told yet: how runs of the last day ended, approvals that expire soon. 1 where a channel did not take it."""
    workspace = Workspace(Path.cwd(), env)
    environment = Environment(workspace, policy_of(workspace))
    if not environment.policy.notify:
        raise UsageError(
            f"deploy.yaml names nobody to tell for {env}: give notify: [{{to: …, occasions: […], url_variable: …}}]"
        )
    try:
        well = _test(environment) if test else _deliver(environment)
    finally:
        environment.close()
    if not well:
        raise typer.Exit(1)


def _deliver(environment: Environment) -> bool:
    if not environment.has_record:
        raise UsageError(f"{environment.policy.environment} has no record yet: there is nothing to tell")
    return outbox.deliver_all(environment, say=say)


def _test(environment: Environment) -> bool:
    name = environment.policy.environment
    all_taken = True
    for route in environment.policy.notify:
        subject = f"test: {route.to} is told of {environment.policy.service.name} in {name}"
        lines = [f"of        {', '.join(route.occasions)}", "do        nothing: this is a test"]
        reason = channel.send(outbox.address_of(environment, route), subject, lines)
        told = shortened(environment.redact(reason), outbox.TOLD_BYTES)
        say(f"{route.to} was not told: {told}" if reason else f"told {route.to}")
        all_taken = all_taken and not reason
    return all_taken
