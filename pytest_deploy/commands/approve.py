"""`deploy.py approve`, `reject` and `override`: what is signed is shown in words, then signed with the person's own key."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from pytest_deploy.approvals.roster import Person, in_force
from pytest_deploy.approvals.sign_request import choose_signer, sign_approval, sign_override, sign_rejection
from pytest_deploy.commands import Key, Role, print_lines, workspace_of_run
from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.gates.registry import Gatekeeper
from pytest_deploy.pipeline.plan import PLANNED_DIFF
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.asked_gates import OVERRIDABLE
from pytest_deploy.policy.load import policy_of
from pytest_deploy.record import stored_file
from pytest_deploy.record.event import of_type
from pytest_deploy.record.events import ApprovalSigned, RequestMade
from pytest_deploy.record.meanings import LONGEST_OVERRIDE
from pytest_deploy.record.open_record import record_store
from pytest_deploy.record.plain_text import escape_line, require_plain, says_something
from pytest_deploy.release import request as requests
from pytest_deploy.release.candidate import of_request

_LONGEST_H: Final = LONGEST_OVERRIDE / timedelta(hours=1)
_LINES_SHOWN = 200
"""Lines of a schema diff; the rest is in the file that is named."""


def approve(
    run: Annotated[str, typer.Argument(metavar="RUN", help="the request, as its plan named it")],
    role: Role = "",
    key: Key = None,
    comment: Annotated[str, typer.Option(help="stands in what is signed")] = "",
) -> None:
    """Show in words what a request changes, and sign it with your SSH key (ssh-keygen, agent and hardware keys included)."""
    require_plain("--comment", comment)
    pending = pending_request(Path.cwd(), run)
    print_lines(map(escape_line, describe_request(pending)))
    person, role, key = _who_may_judge(pending, role, key)
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
        typer.echo(escape_line(f"uncounted {file.file.rpartition('/')[2]}: {file.reason}"))
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
) -> None:
    """Sign that a request must not be deployed: it is refused until the same person approves it, whoever else has signed."""
    if not says_something(reason):
        raise UsageError("deploy.py reject: say --reason: whoever planned it has to know what to change")
    require_plain("--reason", reason)
    pending = pending_request(Path.cwd(), run)
    print_lines(map(escape_line, describe_request(pending)))
    person, role, key = _who_may_judge(pending, role, key)
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
) -> None:
    """Sign, in an emergency, that one gate be overridden for one request; it counts when a second person has signed too."""
    if gate not in OVERRIDABLE:
        raise UsageError(
            f"{gate} cannot be overridden by anybody: only {', '.join(OVERRIDABLE)} can, which say when, not what or by whom"
        )
    if not says_something(reason) or not says_something(incident):
        raise UsageError("an override has a --reason and an --incident: it is read by an inspector years later")
    require_plain("--reason", reason)
    require_plain("--incident", incident)
    pending = pending_request(Path.cwd(), run)
    print_lines(map(escape_line, describe_request(pending)))
    person, role, key = pending.choose_signer(role, key)
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


@dataclass(frozen=True)
class PendingRequest:
    """A request that waits for signatures, and the environment it is for."""

    environment: Environment
    run: str
    request: Mapping[str, Any]
    """What request.json holds."""
    requested_by: str
    """The actor that planned it, and so will deploy it."""

    def gates(self) -> Gatekeeper:
        """The gates over it, as they stand for whoever asked for it."""
        store = self.environment.workspace.store
        return Gatekeeper(self.environment, of_request(store, self.run), deployer=self.requested_by)

    def choose_signer(self, role: str, key: Path | None) -> tuple[Person, str, Path]:
        """Who signs, in which role (empty where they hold none that is asked for), and with what."""
        log, needed = self.environment.log, self.environment.policy.approval.roles
        roster = in_force(log.store, log.history())[0]
        person, key = choose_signer(self.environment.workspace, roster, role or next(iter(needed), ""), key)
        return person, role or next((own_role for own_role in needed if own_role in person.roles), ""), key


def _who_may_judge(pending: PendingRequest, role: str, key: Path | None) -> tuple[Person, str, Path]:
    """Who signs for a request or against it, in which role, with what. Raises Refused where it would not count."""
    needed = pending.environment.policy.approval.roles
    person, role, key = pending.choose_signer(role, key)
    if role not in needed:
        raise Refused(
            f"{pending.environment.policy.environment} asks for {', '.join(needed) or 'nobody'}; {role or 'none of your roles'} is not among them"
        )
    if person.email in pending.gates().facts.approval_context.ineligible_signers:
        raise Refused(
            f"{person.printed_name} deploys this or wrote part of it, so their signature would not count: another must sign"
        )
    return person, role, key


def pending_request(root: Path, run: str) -> PendingRequest:
    """The live request of a run id. Raises UsageError for no run id, Refused where no request lives under it."""
    workspace = workspace_of_run(root, run)
    policy = policy_of(workspace)
    record_store(workspace, policy).folder(f"runs/{run}/")
    place = workspace.run_folder(run) / "request.json"
    if not place.is_file():
        raise Refused(
            f"no request {run} lies in {workspace.shown(workspace.store)}: plan first: `{workspace.command_line('run', '--pipeline', 'plan')}`"
        )
    events = Environment(workspace, policy, run=run).log.run(run)
    made = next((event for event, _ in of_type(events, RequestMade)), None)
    if made is None:
        raise Refused(f"{run}: the record holds no request.made for it; plan anew")
    shift = (made.instant - made.time).total_seconds()
    environment = Environment(workspace, policy, run=run, shift_s=shift)
    if not any(waiting.run == run for waiting in requests.pending(environment.log.history(), environment.clock.now())):
        raise Refused(f"{run} waits for nobody: it was run, voided or has expired; plan anew")
    content = requests.stored_request(workspace.store, run, [made]).parsed
    return PendingRequest(environment, run, content, made.read(RequestMade).requested_by)


def describe_request(pending: PendingRequest) -> Iterator[str]:
    """What a signature is put under: what changes, the migrations, the schema diff, the release before."""
    request = pending.request
    before = request["earlier"]["release"]
    rehearsal = " (REHEARSAL: nothing here counts for real)" if pending.environment.workspace.rehearsal else ""
    yield f"request   {pending.run}{rehearsal}"
    yield f"to        {request['environment']}, until {request['expires']}"
    yield f"release   {request['version']}, commit {request['commit']}"
    yield f"artefact  {request['artefact']['image']}"
    yield f"replaces  {'nothing: the first release' if before is None else before['version'] + ', commit ' + before['commit']}"
    applied = set(request["earlier"]["migrations"])
    to_apply = [migration for migration in request["migrations"] if migration["version"] not in applied]
    yield f"migrates  {', '.join(migration['version'] + ' ' + migration['name'] for migration in to_apply) or 'nothing'}"
    for key in ("reason", "ticket"):
        if request[key]:
            yield f"{key:<9} {request[key]}"
    yield "schema    as planned:"
    yield from (f"          {line}" for line in _schema_diff(pending))


def _schema_diff(pending: PendingRequest) -> list[str]:
    plan = pending.request["plan"]
    if plan is None:
        return ["(the run made this request itself: no plan)"]
    place = stored_file.file_of(pending.environment.workspace.store, f"runs/{plan['run']}/{PLANNED_DIFF}")
    content = stored_file.read(place)
    if hashlib.sha256(content).hexdigest() != plan["schema_diff_sha256"]:
        raise Refused(f"{place} is not the diff the request names: somebody changed it; do not sign, verify the record")
    lines = content.decode().splitlines()
    more = [f"... {len(lines) - _LINES_SHOWN} more lines in {place}"] if len(lines) > _LINES_SHOWN else []
    return [*lines[:_LINES_SHOWN], *more]
