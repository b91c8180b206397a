"""The command line, `pytest-deploy`: its commands by name, and how it ends.

Exit codes: 0 done; 1 refused or found wrong; 3 an answer or a record could not be written; 4 usage; 20 a person is needed.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command

from pytest_deploy.commands import GROUP
from pytest_deploy.errors import DeployError, UsageError
from pytest_deploy.plugin.closed_output import write_without_reader
from pytest_deploy.program import as_called, called
from pytest_deploy.record.atomic_file import keep_from_others

COMMANDS: Final[Mapping[str, str]] = {
    "init": "init.init",
    "doctor": "doctor.doctor",
    "run": "run.run",
    "plan": "plan.plan",
    "rehearse": "rehearse.rehearse",
    "approve": "approve.approve",
    "reject": "approve.reject",
    "override": "approve.override",
    "rollback": "rollback.rollback",
    "recover": "recover.recover",
    "migrate": "migrate.migrate",
    "local": "local.local",
    "reset": "local.reset",
    "steps": "run.steps",
    "history": "history.history",
    "show": "history.show",
    "export": "export.export",
    "verify": "audit.verify",
    "audit": "audit.audit",
    "anchor": "audit.anchor",
    "notify": "notify.notify",
    "keys": "keys.keys",
    "sign-off": "sign_off.sign_off",
    "amend": "amend.amend",
    "annotate": "amend.annotate",
    "accept-deviation": "sign_off.accept_deviation",
    "thaw": "sign_off.thaw",
    "review-trail": "review_trail.review_trail",
}
"""Each command, and the function (or the group of commands) in `commands/` that is it."""


class Commands(TyperGroup):
    """Imports a command's module when the command is called or listed: `run` waits for nothing that `approve` needs.

    Contexts and commands are click's, which typer gives no public types of.
    """

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 -- click's signature
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 -- click's signature
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(".")
        command = getattr(import_module(f"pytest_deploy.commands.{module}"), name)
        if not isinstance(command, typer.Typer):
            single = typer.Typer(**GROUP)
            single.command(cmd_name)(command)
            command = single
        built = get_command(command)
        built.name = cmd_name
        return built


app = typer.Typer(
    **GROUP,
    cls=Commands,
    context_settings={"max_content_width": 160},  # as wide as the terminal: what a command does is said whole
)


@app.callback()
def deployments() -> None:
    """Deployments as pytest runs: what CI, QA and auditors type beside `pytest --deploy-env=ENV`."""


def main() -> None:
    """Run one command; an error of ours is one message and its exit code, never a traceback.

    Who reads it may go away (`| head`), or nobody may ever have read it (`>&-`): the command goes on, and ends as it would have.
    """
    keep_from_others()
    write_without_reader()
    try:
        _run_and_flush()
    except SystemExit as ended:
        # Click ends with 2 where the usage is wrong; here 2 means that a signal came.
        raise SystemExit(UsageError.exit_code if ended.code == 2 else ended.code) from None  # noqa: PLR2004 -- click's number
    except DeployError as error:
        typer.echo(as_called(f"{error}"), err=True)
        raise SystemExit(error.exit_code) from None


def _run_and_flush() -> None:
    """Run the command until all its output is written: a full disk is reported while somebody can still be told."""
    try:
        try:
            app(prog_name=shlex.join(called().program))
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.filename is not None:
            raise DeployError(f"{error.filename} cannot be read or written: {error.strerror}") from error
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is not tried again at exit
        raise DeployError(f"the answer could not be written: {error.strerror}; it is not whole") from error
