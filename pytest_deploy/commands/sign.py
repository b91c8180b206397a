"""`deploy.py approve` and `override`: what is signed is shown in words, then signed with the person's own key."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pytest_deploy.approvals.roster import Person, Roster, in_force
from pytest_deploy.approvals.sign_request import sign_approval, sign_override
from pytest_deploy.commands.signer import signer
from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.gates.facts import Gates
from pytest_deploy.gates.registry import OVERRIDABLE
from pytest_deploy.pipeline.plan import PLANNED_DIFF
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.run_context import policy_of
from pytest_deploy.record.open_record import record_store
from pytest_deploy.record.plain_text import escape_line, require_plain
from pytest_deploy.release import request
from pytest_deploy.release.candidate import of_request
from pytest_deploy.workspace import Workspace

_RUN = re.compile(r"(?P<rehearsal>rehearsal-)?(?P<environment>[a-z][a-z0-9-]*)-\d{8}T\d{6}Z-[0-9a-f]{4}", re.ASCII)
_SHOWN_LINES = 200


@dataclass(frozen=True)
class Waiting:
    """A request that waits for signatures, and the environment it is for."""

    environment: Environment
    run: str
    request: Mapping[str, Any]
    requested_by: str
    """The actor that planned it, and so will deploy it."""

    @property
    def roster(self) -> Roster:
        """The people in force."""
        log = self.environment.log
        return in_force(log.store, log.history())[0]

    def gates(self) -> Gates:
        """The gates over it, as they stand for whoever asked for it."""
        return Gates(self.environment, of_request(self.environment, self.run), who=self.requested_by)

    def signer(self, role: str, key: Path | None) -> tuple[Person, Path]:
        """Who signs, and with what."""
        workspace, roles = self.environment.workspace, self.environment.policy.approval.roles
        return signer(workspace, self.roster, role or next(iter(roles), ""), key)

    @property
    def now(self) -> datetime:
        """The request's own clock: a rehearsal's goes on where its plan set it."""
        return self.environment.clock.now()


def named(run: str) -> tuple[str, bool]:
    """The environment of a run id, and whether it is a rehearsal's. Raises UsageError."""
    parts = _RUN.fullmatch(run)
    if parts is None:
        raise UsageError(f"{run!r} is no run; right is the name a plan printed, e.g. production-20261122T201500Z-4f1c")
    return parts["environment"], parts["rehearsal"] is not None


def waiting(root: Path, run: str) -> Waiting:
    """The live request of a run id. Raises UsageError for no run id, Refused where no request lives under it."""
    environment, rehearsal = named(run)
    workspace = Workspace(root, environment, rehearsal=rehearsal)
    policy = policy_of(workspace)
    record_store(workspace, policy).folder(f"runs/{run}/")
    place = workspace.run_folder(run) / "request.json"
    if not place.is_file():
        raise Refused(
            f"no request {run} lies in {workspace.store.relative_to(root)}: plan first, --deploy-pipeline=plan"
        )
    made = [e for e in Environment(workspace, policy, run=run).log.run(run) if e.type == "request.made"]
    if not made:
        raise Refused(f"{run}: the record holds no request.made for it; plan anew")
    shift = (made[0].instant - made[0].time).total_seconds()
    held = Environment(workspace, policy, run=run, shift_s=shift)
    if not any(one.run == run for one in request.pending(held.log.history(), held.clock.now())):
        raise Refused(f"{run} waits for nobody: it was run, voided or has expired; plan anew")
    said = json.loads(request.stored_request(workspace.store, run, made))
    return Waiting(held, run, said, made[0].data["requested_by"])


def approve(root: Path, run: str, *, role: str, key: Path | None, comment: str, say: Callable[[str], None]) -> None:
    """Show what is signed, sign it for one role, say who is still missing. Raises UsageError, Refused."""
    require_plain("--comment", comment)
    asked = waiting(root, run)
    for line in in_words(asked):
        say(escape_line(line))
    needed = asked.environment.policy.approval.roles
    person, key = asked.signer(role, key)
    role = role or next((one for one in needed if one in person.roles), "")
    if role not in needed:
        raise Refused(
            f"{asked.environment.policy.environment} asks for {', '.join(needed) or 'nobody'}; {role or 'none of your roles'} is not among them"
        )
    gates = asked.gates()
    if person.email in gates.case.barred:
        raise Refused(
            f"{person.printed_name} deploys this or wrote part of it, so their signature would not count: another must sign"
        )
    event = sign_approval(
        asked.environment.log,
        asked.environment.workspace.store,
        run,
        person=person,
        role=role,
        key=key,
        comment=comment,
        now=asked.now,
    )
    say(f"signed    by {person.printed_name} <{person.email}> as {role}: {event.data['meaning']}")
    judged = asked.gates().judged
    missing = judged.missing if judged is not None else needed
    say(f"missing   {', '.join(missing)}" if missing else "missing   nobody: it may be run")


def override(
    root: Path,
    gate: str,
    run: str,
    *,
    reason: str,
    incident: str,
    hours: float,
    role: str,
    key: Path | None,
    say: Callable[[str], None],
) -> None:
    """Sign an override of one gate for one request; it counts once a second person has signed. Raises UsageError, Refused."""
    if gate not in OVERRIDABLE:
        raise UsageError(
            f"{gate} cannot be overridden by anybody: only {', '.join(OVERRIDABLE)} can, which say when, not what or by whom"
        )
    if not reason.strip() or not incident.strip():
        raise UsageError("an override has a --reason and an --incident: it is read by an inspector years later")
    require_plain("--reason", reason)
    require_plain("--incident", incident)
    asked = waiting(root, run)
    for line in in_words(asked):
        say(escape_line(line))
    person, key = asked.signer(role, key)
    needed = asked.environment.policy.approval.roles
    role = role or next((one for one in needed if one in person.roles), "")
    sign_override(
        asked.environment.log,
        asked.environment.workspace.store,
        run,
        gate=gate,
        person=person,
        role=role,
        key=key,
        reason=reason,
        incident=incident,
        expires=asked.now + timedelta(hours=hours),
        now=asked.now,
    )
    say(f"signed    override of {gate} by {person.printed_name} as {role}, {hours:g} h")
    by = asked.gates().overrides.get(gate)
    say(
        "counts    yes"
        if by is not None
        else "counts    not yet: a second person must sign the same, with the same incident"
    )


def in_words(asked: Waiting) -> Iterator[str]:
    """What a signature is put under: what changes, the migrations, the schema diff, the release before."""
    said = asked.request
    earlier = said["earlier"]["release"]
    rehearsed = " (REHEARSAL: nothing here counts for real)" if asked.environment.workspace.rehearsal else ""
    yield f"request   {asked.run}{rehearsed}"
    yield f"to        {said['environment']}, until {said['expires']}"
    yield f"release   {said['version']}, commit {said['commit']}"
    yield f"artefact  {said['artefact']['image']}"
    yield f"replaces  {'nothing: the first release' if earlier is None else earlier['version'] + ', commit ' + earlier['commit']}"
    applied = set(said["earlier"]["migrations"])
    pending = [one for one in said["migrations"] if one["version"] not in applied]
    yield f"migrates  {', '.join(one['version'] + ' ' + one['name'] for one in pending) or 'nothing'}"
    for key in ("reason", "ticket"):
        if said[key]:
            yield f"{key:<9} {said[key]}"
    yield "schema    as planned:"
    yield from (f"          {line}" for line in _diff(asked))


def _diff(asked: Waiting) -> list[str]:
    plan = asked.request["plan"]
    if plan is None:
        return ["(the run made this request itself: no plan)"]
    place = asked.environment.workspace.store / "runs" / plan["run"] / PLANNED_DIFF
    text = place.read_bytes()
    import hashlib

    if hashlib.sha256(text).hexdigest() != plan["schema_diff_sha256"]:
        raise Refused(f"{place} is not the diff the request names: somebody changed it; do not sign, verify the record")
    lines = text.decode().splitlines()
    more = [f"... {len(lines) - _SHOWN_LINES} more lines in {place}"] if len(lines) > _SHOWN_LINES else []
    return [*lines[:_SHOWN_LINES], *more]
