"""`pytest-deploy approve`, `reject` and `override`: what is signed is shown in words, then signed with the person's own key."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from pytest_deploy.approvals.roster import Person
from pytest_deploy.approvals.sign_request import sign_approval, sign_override, sign_rejection
from pytest_deploy.commands import Key, Role, print_lines, say
from pytest_deploy.commands.ask import Question, Show, Yes
from pytest_deploy.commands.pending_request import PendingRequest, pending_request
from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.policy.asked_gates import OVERRIDABLE
from pytest_deploy.record.events import ApprovalSigned
from pytest_deploy.record.meanings import LONGEST_OVERRIDE
from pytest_deploy.record.plain_text import escape_line, require_plain, says_something

_LONGEST_H: Final = LONGEST_OVERRIDE / timedelta(hours=1)


def approve(
    run: Annotated[str, typer.Argument(metavar="RUN", help="the request, as its plan named it")],
    *,
    role: Role = "",
    key: Key = None,
    comment: Annotated[str, typer.Option(help="stands in what is signed")] = "",
    yes: Yes = False,
    show: Show = False,
) -> None:
    """Show in words what a request changes, and sign it with your SSH key (ssh-keygen, agent and hardware keys included)."""
    question = Question.of("approve", yes=yes, show=show)
    require_plain("--comment", comment)
    pending = pending_request(Path.cwd(), run)
    said = [f"comment   {comment}"] if comment else []
    signer = _shown(pending, question, partial(_who_may_judge, pending, role, key), *said)
    if signer is None:
        return
    person, role, key = signer
    event = sign_approval(
        pending.environment.log,
        pending.environment.workspace.store,
        run,
        person=person,
        role=role,
        key=key,
        comment=comment,
        now=pending.environment.clock.now(),
        user_verification=pending.environment.policy.approval.user_verification,
    )
    typer.echo(f"signed    by {person.printed_name} <{person.email}> as {role}: {event.read(ApprovalSigned).meaning}")
    evaluation = pending.gates().facts.evaluation
    for file in evaluation.refused:
        say(escape_line(f"uncounted {file.file.rpartition('/')[2]}: {file.reason}"))
    for rejection in evaluation.rejected:
        typer.echo(escape_line(f"rejected  by {rejection}"))
    nobody = "nobody, but it is rejected" if evaluation.rejected else "nobody: it may be run"
    typer.echo(f"missing   {', '.join(evaluation.missing) or nobody}")


def reject(
    run: Annotated[str, typer.Argument(metavar="RUN", help="the request, as its plan named it")],
    *,
    reason: Annotated[str, typer.Option(help="why it must not be deployed; stands in what is signed")],
    role: Role = "",
    key: Key = None,
    yes: Yes = False,
    show: Show = False,
) -> None:
    """Sign that a request must not be deployed: it is refused until the same person approves it, whoever else has signed."""
    question = Question.of("reject", yes=yes, show=show)
    if not says_something(reason):
        raise UsageError("pytest-deploy reject: say --reason: whoever planned it has to know what to change")
    require_plain("--reason", reason)
    pending = pending_request(Path.cwd(), run)
    judge = partial(_who_may_judge, pending, role, key)
    signer = _shown(pending, question, judge, f"rejects   because {reason}", planned=False)
    if signer is None:
        return
    person, role, key = signer
    environment = pending.environment
    sign_rejection(
        environment.log, environment.workspace.store, run,
        person=person, role=role, key=key, reason=reason, now=environment.clock.now(),
    )  # fmt: skip
    typer.echo(f"rejected  by {person.printed_name} <{person.email}> as {role}; it may be run once they approve it")


def override(
    gate: Annotated[str, typer.Argument(metavar="GATE", help="window, blackout, rate-limit or incidents")],
    run: Annotated[str, typer.Argument(metavar="RUN", help="the request")],
    *,
    reason: Annotated[str, typer.Option(help="why it cannot wait")],
    incident: Annotated[str, typer.Option(help="the incident it is for")],
    hours: Annotated[float, typer.Option(min=0.1, max=_LONGEST_H, help="how long it lasts")] = 1.0,
    role: Role = "",
    key: Key = None,
    yes: Yes = False,
    show: Show = False,
) -> None:
    """Sign, in an emergency, that one gate be overridden for one request; it counts when a second person has signed too."""
    question = Question.of("override", yes=yes, show=show)
    if gate not in OVERRIDABLE:
        raise UsageError(
            f"{gate} cannot be overridden by anybody: only {', '.join(OVERRIDABLE)} can, which say when, not what or by whom"
        )
    if not says_something(reason) or not says_something(incident):
        raise UsageError("an override has a --reason and an --incident: it is read by an inspector years later")
    require_plain("--reason", reason)
    require_plain("--incident", incident)
    pending = pending_request(Path.cwd(), run)
    said = (f"overrides {gate}, for {hours:g} h from now", f"incident  {incident}", f"because   {reason}")
    signer = _shown(pending, question, partial(pending.choose_signer, role, key), *said)
    if signer is None:
        return
    person, role, key = signer
    now = pending.environment.clock.now()
    sign_override(
        pending.environment.log,
        pending.environment.workspace.store,
        run,
        gate=gate,
        person=person,
        role=role,
        key=key,
        reason=reason,
        incident=incident,
        expires=now + timedelta(hours=hours),
        now=now,
        user_verification=pending.environment.policy.approval.user_verification,
    )
    typer.echo(f"signed    override of {gate} by {person.printed_name} as {role}, {hours:g} h")
    counts = pending.gates().facts.overrides.get(gate) is not None
    typer.echo(
        "counts    yes" if counts else "counts    not yet: a second person must sign the same, with the same incident"
    )


_Signer = tuple[Person, str, Path]
"""Who signs, in which role, with what."""


def _shown(
    pending: PendingRequest,
    question: Question,
    choose: Callable[[], _Signer],
    *said: str,
    planned: bool = True,
) -> _Signer | None:
    """Who signs, once they were shown what and said yes; None where it was only to be shown.

    `planned`: what is signed lets the request go, so its plan must have passed. Raises Refused, UsageError.
    """
    print_lines(map(escape_line, (*pending.described(), *said)), typer.echo)
    try:
        if planned:
            pending.require_plan()
        person, role, key = choose()
    except (Refused, UsageError) as refused:
        if not question.show:
            raise
        say(escape_line(f"refused   {refused}"))
        return None
    typer.echo(escape_line(pending.key_line(key)))
    typer.echo(
        escape_line(f"signing   as {person.printed_name} <{person.email}>, {role or 'in no role that is asked for'}")
    )
    if question.show:
        return None
    question.require_yes(role or person.printed_name)
    return person, role, key


def _who_may_judge(pending: PendingRequest, role: str, key: Path | None) -> _Signer:
    """Who signs for a request or against it, in which role, with what. Raises Refused where it would not count."""
    needed = pending.needed_roles
    person, role, key = pending.choose_signer(role, key)
    if role not in needed:
        raise Refused(
            f"{pending.environment.policy.environment} asks for {', '.join(needed) or 'nobody'}; {role or 'none of your roles'} is not among them"
        )
    if part := pending.gates().facts.approval_context.ineligible_signers.get(person.email):
        raise Refused(f"{person.printed_name} {part}, so their signature would not count: another must sign")
    return person, role, key
