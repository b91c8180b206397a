"""`pytest-deploy review-trail`: the periodic review of the audit trail (21 CFR 11.10(e), EU GMP Annex 11.9), as a signed event.

A review begins where the one before it ended, so that none of the trail is left out, and names the root of the log as it was read.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated

import typer

from pytest_deploy.approvals.after_run import TrailReview
from pytest_deploy.commands import Env, Key, Rehearse, Role, print_lines
from pytest_deploy.commands.ask import Question, Show, Yes
from pytest_deploy.commands.sign_off import Signing
from pytest_deploy.errors import UsageError
from pytest_deploy.record.plain_text import escape_line, require_plain, says_something
from pytest_deploy.reports.trail import Trail
from pytest_deploy.workspace import Workspace


def review_trail(
    env: Env,
    *,
    findings: Annotated[
        str, typer.Option(help="what was found, 'none' where nothing was; stands in what is signed")
    ] = "",
    to: Annotated[
        int | None, typer.Option(metavar="SEQ", help="the last event that is reviewed; else the newest")
    ] = None,
    role: Role = "",
    key: Key = None,
    yes: Yes = False,
    show: Show = False,
    rehearse: Rehearse = False,
) -> None:
    """Sign, in a role, that the audit trail was reviewed from where the last review ended; shows first what it holds."""
    question = Question.of("review-trail", yes=yes, show=show)
    if not show and not says_something(findings):
        raise UsageError("pytest-deploy review-trail: say --findings: what you found, 'none' where nothing was")
    require_plain("--findings", findings)
    signing = Signing.of(Workspace(Path.cwd(), env, rehearsal=rehearse), role=role, key=key)
    trail = Trail.of(signing.log.history())
    newest = len(trail.events) - 1
    last = newest if to is None else to
    if not trail.first <= last <= newest:
        raise UsageError(
            f"pytest-deploy review-trail: --to {last}: right is {trail.first} to {newest}: from where the last review ended to the newest event"
        )
    print_lines(map(escape_line, trail.lines(last + 1)), typer.echo)
    if show:
        return
    for run, deployer in trail.deployed(last + 1):
        signing.refuse_actor(run, deployer, "review the trail of it")
    typer.echo(f"findings  {findings}")
    statement = TrailReview(
        **signing.signer_fields(TrailReview.MEANING),
        origin=signing.log.key.origin, first=trail.first, size=last + 1,
        root=base64.b64encode(signing.log.root(last + 1)).decode(), findings=findings,
    )  # fmt: skip
    signing.sign(statement, question)
