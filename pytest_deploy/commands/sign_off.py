"""`pytest-deploy sign-off`, `accept-deviation`, `thaw`: what is signed is said in words, then signed with an own key."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from pytest_deploy.approvals.after_run import (
    AcceptedDeviation,
    AfterRun,
    SignOff,
    Thaw,
    event_hash,
    sign_statement,
)
from pytest_deploy.approvals.roster import Person, Roster, in_force
from pytest_deploy.approvals.sign_request import choose_signer
from pytest_deploy.commands import Env, Key, Rehearse, Role, print_lines, workspace_of_run
from pytest_deploy.commands.ask import Question, Show, Yes
from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.platform.environment import record_of
from pytest_deploy.policy.load import policy_of
from pytest_deploy.policy.policy import Policy
from pytest_deploy.record.clock import SystemClock, stamp
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import (
    EnvironmentFrozen,
    RunClosed,
    RunDecided,
    RunOpened,
    Signed,
    StepFinished,
    StepNotRun,
)
from pytest_deploy.record.log import Log
from pytest_deploy.record.meanings import REJECTED, SIGN_OFFS
from pytest_deploy.record.open_record import record_store
from pytest_deploy.record.plain_text import escape_line, require_plain, says_something
from pytest_deploy.record.run_folder import SUMS
from pytest_deploy.record.run_state import LogState
from pytest_deploy.record.store import Missing
from pytest_deploy.workspace import Workspace, verify_command


def sign_off(
    run: Annotated[str, typer.Argument(metavar="RUN", help="a closed run")],
    *,
    role: Role = "",
    meaning: Annotated[
        str,
        typer.Option(
            help="what the signature stands for: reviewed, or rejected, which says in --comment what was found"
        ),
    ] = "",
    comment: Annotated[str, typer.Option(help="what was found; stands in what is signed")] = "",
    key: Key = None,
    yes: Yes = False,
    show: Show = False,
) -> None:
    """Sign, in a role, for the record of a closed run; not for one's own deployment."""
    question = Question.of("sign-off", yes=yes, show=show)
    if not says_something(role) or not says_something(meaning):
        raise UsageError(
            "pytest-deploy sign-off: say --role, and --meaning: what the signature stands for, e.g. 'reviewed'"
        )
    if meaning not in SIGN_OFFS:
        raise UsageError(
            f"pytest-deploy sign-off: --meaning {meaning!r}: right is {' or '.join(SIGN_OFFS)}; what you found belongs into --comment"
        )
    if meaning == REJECTED and not says_something(comment):
        raise UsageError(
            "pytest-deploy sign-off: --meaning rejected: say in --comment what was found, whoever mends it needs it"
        )
    require_plain("--comment", comment)
    signing = Signing.of(workspace_of_run(Path.cwd(), run), role=role, key=key)
    events, record_sha256 = signing.sealed(run)
    print_lines(map(escape_line, _describe_run(run, events, record_sha256)), typer.echo)
    if comment:
        typer.echo(f"comment   {comment}")
    signing.refuse_deployer(events, "sign it off")
    statement = SignOff(**signing.signer_fields(meaning), run=run, record_sha256=record_sha256, comment=comment)
    signing.refuse_second(events, statement, "role", "meaning")
    signing.sign(statement, question)


def accept_deviation(
    run: Annotated[str, typer.Argument(metavar="RUN", help="a closed run")],
    *,
    step: Annotated[str, typer.Option(metavar="NODEID", help="the step that did not pass")],
    reason: Annotated[str, typer.Option(help="why it is accepted; stands in what is signed")],
    role: Role = "",
    key: Key = None,
    yes: Yes = False,
    show: Show = False,
) -> None:
    """Sign that a step which did not pass is accepted, by who may approve and did not deploy."""
    question = Question.of("accept-deviation", yes=yes, show=show)
    require_reason("accept-deviation", reason)
    signing = Signing.of(workspace_of_run(Path.cwd(), run), role=role, key=key)
    events, record_sha256 = signing.sealed(run)
    deviation = _deviation(run, step, events)
    described = (*_describe_run(run, events, record_sha256), f"step      {step}", f"deviation {deviation}")
    print_lines(map(escape_line, described), typer.echo)
    typer.echo(f"reason    {reason}")
    needed = signing.policy.approval.roles
    if needed and signing.role not in needed:
        raise Refused(f"a deviation is accepted by who may approve, {' or '.join(needed)}, not as {signing.role}")
    signing.refuse_deployer(events, "accept its deviations")
    statement = AcceptedDeviation(
        **signing.signer_fields(AcceptedDeviation.MEANING),
        run=run, record_sha256=record_sha256, nodeid=step, deviation=deviation, reason=reason,
    )  # fmt: skip
    signing.refuse_second(events, statement, "nodeid")
    signing.sign(statement, question)


def thaw(
    env: Env,
    *,
    reason: Annotated[str, typer.Option(help="why it may be deployed to again; stands in what is signed")],
    role: Role = "",
    key: Key = None,
    rehearse: Rehearse = False,
    yes: Yes = False,
    show: Show = False,
) -> None:
    """Sign that a frozen environment may be deployed to again; the gate `freeze` then passes."""
    question = Question.of("thaw", yes=yes, show=show)
    require_reason("thaw", reason)
    workspace = Workspace(Path.cwd(), env, rehearsal=rehearse)
    roles = policy_of(workspace).thaw.roles
    role = role or (roles[0] if len(roles) == 1 else "")
    signing = Signing.of(workspace, role=role, key=key)
    freeze = LogState.of(signing.log.history()).freeze
    if freeze is None or freeze.thaws:
        raise Refused(f"{env} is not frozen: nothing to release")
    frozen = freeze.event
    typer.echo(f"frozen    {env}, since {stamp(frozen.time)}, by event {frozen.seq} of {frozen.run}")
    typer.echo(escape_line(f"because   {frozen.read(EnvironmentFrozen).reason}"))
    typer.echo(f"reason    {reason}")
    if signing.role not in roles:
        raise Refused(f"{env} is released by {' or '.join(roles)}, not by {signing.role}")
    statement = Thaw(
        **signing.signer_fields(Thaw.MEANING),
        origin=signing.log.key.origin, frozen=frozen.seq, event_sha256=event_hash(frozen), reason=reason,
    )  # fmt: skip
    signing.sign(statement, question)


@dataclass(frozen=True)
class Signing:
    """One environment's record, a person, the role they sign in, and their key."""

    workspace: Workspace
    policy: Policy
    log: Log
    roster: Roster
    person: Person
    role: str
    key: Path

    @classmethod
    def of(cls, workspace: Workspace, *, role: str, key: Path | None) -> Signing:
        """Raises UsageError (no record, no key), Refused (nobody's key, no role)."""
        policy = policy_of(workspace)
        if next(iter(record_store(workspace, policy).names("log/")), None) is None:
            raise UsageError(f"{workspace.shown(workspace.store)} holds no record: nothing was recorded there yet")
        log = record_of(workspace, policy, SystemClock())
        roster = in_force(log.store, log.history())[0]
        roles = policy.approval.roles or policy.thaw.roles
        person, key = choose_signer(workspace, roster, role or roles[0], key)
        role = role or next((own_role for own_role in roles if own_role in person.roles), next(iter(person.roles), ""))
        if not role:
            raise Refused(f"{person.printed_name} holds no role, so nobody can tell what the signature stands for")
        return cls(workspace, policy, log, roster, person, role, key)

    def signer_fields(self, meaning: str) -> dict[str, str]:
        return {
            "meaning": meaning,
            "printed_name": self.person.printed_name,
            "signer": self.person.email,
            "role": self.role,
            "signed_at": stamp(self.log.clock.now()),
        }

    def sealed(self, run: str) -> tuple[list[Event], str]:
        """A closed run's events and the SHA-256 of its seal, found as the log binds it. Raises Refused."""
        events = [event for event in self.log.history() if event.run == run]
        closed = [event for event in events if event.type == "run.closed"]
        if not events:
            raise Refused(f"{run} is not in {self.workspace.shown(self.workspace.store)}; history lists its runs")
        if not closed:
            raise Refused(f"{run} is not closed ({events[-1].type} was last): only a closed run's record is signed")
        bound = closed[0].read(RunClosed).record_sha256
        try:
            sha256 = hashlib.sha256(self.log.store.get(f"runs/{run}/{SUMS}")).hexdigest()
        except Missing:
            sha256 = "missing"
        if sha256 != bound:
            raise Refused(
                f"runs/{run}/{SUMS} is not the one the log binds: do not sign; see `{verify_command(self.workspace.store)}`"
            )
        return events, bound

    def refuse_deployer(self, events: list[Event], what: str) -> None:
        """Nobody judges their own deployment. Raises Refused, also where nobody can tell whose it was."""
        who = next(opened.deployer for _, opened in of_type(events, RunOpened))
        self.refuse_actor("it", who, what)

    def refuse_actor(self, deployed: str, who: str, what: str) -> None:
        """As `refuse_deployer`, by who deployed what. Raises Refused."""
        deployer = self.roster.of_actor(who)
        if deployer is None:
            raise Refused(
                f"{who} deployed {deployed} and is nobody in the roster, so it cannot be told who may {what}: enroll them"
            )
        if deployer.email == self.person.email:
            raise Refused(f"{self.person.printed_name} deployed {deployed} and cannot {what}: another must")

    def refuse_second(self, events: list[Event], statement: AfterRun, *same: str) -> None:
        """A person says a thing once. Raises Refused."""
        signed = statement.event_data()
        for event in events:
            same_type = event.type == statement.type
            if same_type and all(getattr(event.content, key) == signed[key] for key in ("signer", *same)):
                raise Refused(f"{statement.signer} has signed this already (event {event.seq}, {stamp(event.time)})")

    def sign(self, statement: AfterRun, question: Question) -> None:
        typer.echo(f"signing   {statement.meaning}, as {self.person.printed_name} <{self.person.email}>, {self.role}")
        if question.show:
            return
        question.require_yes(self.role)
        # They took their time to read: it was signed now.
        statement = replace(statement, signed_at=stamp(self.log.clock.now()))
        asked = self.policy.approval.user_verification
        event = sign_statement(self.log, statement, person=self.person, key=self.key, user_verification=asked)
        typer.echo(f"signed    {event.read(Signed).file}, counted by event {event.seq}")


def require_reason(command: str, reason: str) -> None:
    if not says_something(reason):
        raise UsageError(f"pytest-deploy {command}: say --reason: it is read by an inspector years later")
    require_plain("--reason", reason)


def _describe_run(run: str, events: list[Event], record_sha256: str) -> Iterator[str]:
    _, opened = next(of_type(events, RunOpened))
    _, decided = next(of_type(events, RunDecided))
    yield f"run       {run}{' (REHEARSAL: nothing here counts for real)' if opened.rehearsal else ''}"
    yield f"release   {opened.version}, commit {opened.commit}, to {opened.environment}"
    yield f"deployer  {opened.deployer}"
    yield f"outcome   {decided.outcome}{f': {decided.cause}' if decided.cause else ''}"
    yield f"record    SHA-256 {record_sha256}"


def _deviation(run: str, step: str, events: list[Event]) -> str:
    """How a step deviated, in words. Raises Refused where it did not."""
    ends = (event.content for event in events if isinstance(event.content, StepFinished | StepNotRun))
    ended = [end for end in ends if end.nodeid == step]
    if not ended:
        raise Refused(f"{run} has no step {step!r}; right is a node id, e.g. suites/smoke/test_api.py::test_it")
    end = ended[-1]
    if isinstance(end, StepNotRun):
        return escape_line(f"not run: {end.cause}")
    if end.outcome == "passed":
        raise Refused(f"{step} passed: there is no deviation to accept")
    message = (end.message or "").strip().splitlines()
    return escape_line(f"{end.outcome}: {message[0] if message else 'no message'}")
