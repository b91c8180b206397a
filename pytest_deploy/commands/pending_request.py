"""A request that waits for signatures, and what people are shown before they sign it: its plan, the schema, the keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from pytest_deploy.approvals.roster import Person, Roster, fingerprint_of, in_force
from pytest_deploy.approvals.sign_request import choose_signer
from pytest_deploy.commands import workspace_of_run
from pytest_deploy.errors import Refused
from pytest_deploy.gates.registry import Gatekeeper
from pytest_deploy.gates.verdict import span
from pytest_deploy.migrate.readable_diff import readable
from pytest_deploy.pipeline.plan import PLANNED_DIFF, read_planned_diff
from pytest_deploy.pipeline.sequence import goes_on
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.load import policy_of
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import GateVerdict, KeyRotated, RequestMade, RunDecided, StepFinished, StepNotRun
from pytest_deploy.record.open_record import record_store
from pytest_deploy.record.planned import PLAN, plan_fault, plan_of
from pytest_deploy.release import request as requests
from pytest_deploy.release.candidate import of_request
from pytest_deploy.rollback.request import PIPELINE

_LINES_SHOWN: Final = 200
"""Lines of a schema diff; the rest is in the file that is named."""
_FAILING_FIRST: Final = ("refused", "still-needed", "passed", "not-applicable")
_IN_WORDS: Final[Mapping[str, str]] = {
    "refused": "refuses", "still-needed": "would refuse", "passed": "passed", "not-applicable": "not applicable",
}  # fmt: skip


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

    @property
    def needed_roles(self) -> tuple[str, ...]:
        """The roles that must sign it."""
        policy = self.environment.policy
        return policy.rollback.roles if self._goes_back else policy.approval.roles

    @property
    def _goes_back(self) -> bool:
        return self.request.get("pipeline") == PIPELINE

    @cached_property
    def history(self) -> tuple[Event, ...]:
        return self.environment.log.history()

    @property
    def plan(self) -> str | None:
        """The run that planned it, as request.json says, which people sign; None where it says none."""
        plan = self.request["plan"]
        return None if plan is None else str(plan["run"])

    def require_plan(self) -> None:
        """Raises Refused where its plan did not pass: then nobody has seen it work, and nobody answers for it."""
        fault = plan_fault(self.history, self.run)
        if not fault and self.plan != plan_of(self.history, self.run):
            fault = "request.json and the record name different plans"
        if fault:
            raise Refused(f"{self.run} cannot be signed: {fault}; mend what failed, and plan again")

    def choose_signer(self, role: str, key: Path | None) -> tuple[Person, str, Path]:
        """Who signs, in which role (empty where they hold none that is asked for), and with what."""
        needed = self.needed_roles
        person, key = choose_signer(self.environment.workspace, self._roster, role or next(iter(needed), ""), key)
        return person, role or next((own_role for own_role in needed if own_role in person.roles), ""), key

    @property
    def _roster(self) -> Roster:
        return in_force(self.environment.log.store, self.history)[0]

    # --- what is shown

    def described(self) -> Iterator[str]:
        """What a signature is put under: what changes, what its plan found, the migrations, the schema, the log's key."""
        request = self.request
        before = request["serving" if self._goes_back else "earlier"]["release"]
        rehearsal = " (REHEARSAL: nothing here counts for real)" if self.environment.workspace.rehearsal else ""
        yield f"request   {self.run}{rehearsal}"
        yield f"to        {request['environment']}, until {request['expires']}"
        yield f"{'back to' if self._goes_back else 'release':<9} {request['version']}, commit {request['commit']}"
        yield f"artefact  {request['artefact']['image']}"
        yield f"written   by {', '.join(request.get('authors', ())) or 'nobody who is named'}"
        yield f"replaces  {'nothing: the first release' if before is None else before['version'] + ', commit ' + before['commit']}"
        for key in ("reason", "ticket"):
            if request[key]:
                yield f"{key:<9} {request[key]}"
        yield from self._plan_lines()
        applied = set(request["earlier"]["migrations"])
        moved = [migration for migration in request["migrations"] if migration["version"] not in applied]
        moved = request["undo"] if self._goes_back else moved
        named = ", ".join(f"{migration['version']} {migration['name']}" for migration in moved)
        yield f"{'undoes' if self._goes_back else 'migrates':<9} {named or 'nothing'}"
        yield "schema    as planned:"
        yield from (f"          {line}" for line in self._schema_lines())
        yield f"log key   {self.environment.log.key.vkey.rpartition('+')[0]}, {self._aged(self._log_key_since)}"

    def key_line(self, key: Path) -> str:
        """The age and the end of the key that signs."""
        fingerprint = fingerprint_of(key)
        known = next(one for one in self._roster.keys if one.fingerprint == fingerprint)
        return f"key       {fingerprint}, enrolled {self._aged(known.valid_after)}; ends {known.valid_before:%Y-%m-%d %H:%M} UTC"

    def _aged(self, since: datetime) -> str:
        return f"{since:%Y-%m-%d}, {span(self.environment.system_clock.now() - since)} ago"

    @property
    def _log_key_since(self) -> datetime:
        """When the log began to be signed with the key it is signed with now."""
        rotated = [event for event, _ in of_type(self.history, KeyRotated)]
        return (rotated or self.history)[-1 if rotated else 0].time

    def _plan_lines(self) -> Iterator[str]:
        """How its plan ended, and all that it found: first what did not pass."""
        events = [event for event in self.history if event.run == self.plan]
        decided = next((decided for _, decided in of_type(events, RunDecided)), None)
        if not events:
            yield "plan      none"
            return
        cause = f": {decided.cause}" if decided is not None and decided.cause else ""
        yield f"plan      {self.plan}: {'not decided' if decided is None else decided.outcome}{cause}"
        yield from (f"          {line}" for line in _failed_steps(events))
        newest = {verdict.gate: verdict for _, verdict in of_type(events, GateVerdict)}
        for verdict in sorted(newest.values(), key=lambda verdict: _FAILING_FIRST.index(verdict.verdict)):
            yield f"          {_IN_WORDS[verdict.verdict]:<14}  {verdict.gate}: {' '.join(verdict.reason.split())}"

    def _schema_lines(self) -> list[str]:
        plan = self.request["plan"]
        if plan is None:
            return ["(the run made this request itself: no plan)"]
        store = self.environment.workspace.store
        lines = list(readable(read_planned_diff(store, plan)))
        place = store / "runs" / plan["run"] / PLANNED_DIFF
        more = [f"... {len(lines) - _LINES_SHOWN} more lines in {place}"] if len(lines) > _LINES_SHOWN else []
        return [*lines[:_LINES_SHOWN], *more]


def _failed_steps(events: Sequence[Event]) -> Iterator[str]:
    """The steps of a plan that did not pass and wait for nothing."""
    for _, step in of_type(events, StepFinished):
        if not goes_on(step.outcome, PLAN):
            message = (step.message or "").strip().splitlines()
            yield f"{step.outcome:<14}  {step.nodeid}{': ' + message[0] if message else ''}"
    for _, unrun in of_type(events, StepNotRun):
        yield f"{'not run':<14}  {unrun.nodeid}: {unrun.cause}"


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
