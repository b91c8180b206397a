"""Whether a request may be run now: whether it drifted, and the gates, at the lease and before a change.

A refusal before the lease leaves the request alive; a drift voids it. Both are in the record, with every reason.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_deploy.errors import Refused, RequestRefused
from pytest_deploy.gates.rate_limit import limited
from pytest_deploy.gates.registry import Gatekeeper
from pytest_deploy.gates.verdict import Verdict
from pytest_deploy.pipeline.requests import (
    approved_request,
    request_now,
    rollback_request,
)
from pytest_deploy.pipeline.sequence import Cause
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.record.actor import PIPELINE_ACTOR
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import GatePoint, RequestVoided
from pytest_deploy.record.log import AppendCondition, LogView
from pytest_deploy.record.run_state import LogState
from pytest_deploy.release import request
from pytest_deploy.release.candidate import ReleaseCandidate, of_request, of_run
from pytest_deploy.release.live import Baseline
from pytest_deploy.release.source import Source
from pytest_deploy.rollback import request as rollback

# --- at the lease


def authorize_lease(environment: Environment, context: RunContext, source_: Source) -> None:
    """Hold the request against what it would say now, then ask every gate. Raises RequestRefused naming every refusal."""
    _refuse_drift(environment, context, source_)
    verdicts = _ask(environment, context, of_request(context.workspace.store, context.run), "lease")
    refused = [verdict for verdict in verdicts if verdict.blocks]
    if refused:
        count = "1 gate" if len(refused) == 1 else f"{len(refused)} gates"
        lines = "".join(f"\n  {verdict.gate}: {verdict.sentence}" for verdict in refused)
        raise RequestRefused(
            f"{count} of {len(verdicts)} refused {context.run}; nothing was changed, the request stays live{lines}"
        )


def rate_limit_condition(environment: Environment, context: RunContext) -> AppendCondition | None:
    """The rate limit as a condition of the lease: asked again on every try to take the lease, so that one of two wins."""
    rule = environment.policy.rate_limit
    if rule is None:
        return None

    def within_the_limit(view: LogView) -> None:
        whole = LogState.of(reversed(list(view.log.backwards())))
        why = limited(rule, environment.clock.now(), whole.counted_runs(), own=context.run)
        if why:
            raise Refused(f"rate-limit: {why}")

    return within_the_limit


def _refuse_drift(environment: Environment, context: RunContext, source_: Source) -> None:
    approved = approved_request(environment, context)
    if approved.pipeline == rollback.PIPELINE:
        asked = rollback.rollback_to(environment, Baseline.of(approved.parsed["earlier"]))
        current = rollback_request(environment, context, source_, asked)
    else:
        current = request_now(environment, context, source_, approved.image)
    drifted = request.drift(approved.parsed, current.parsed)
    if not drifted:
        return
    void = RequestVoided(cause="drift", request_sha256=approved.sha256, detail=list(drifted), by=context.run)
    environment.log.append(void, run=context.run, actor=PIPELINE_ACTOR)
    lines = "".join(f"\n  {difference}" for difference in drifted)
    raise RequestRefused(
        f"what was approved is not what would run now: {context.run} is void; plan again and have it approved{lines}"
    )


# --- before the first change


def authorize_change(environment: Environment, context: RunContext, events: Sequence[Event]) -> Cause | None:
    """Ask every gate once more, right before the first change; the cause not to make it. `events`: the run's own."""
    verdicts = _ask(environment, context, of_run(environment, context, events), "change")
    refused = [f"{verdict.gate}: {verdict.sentence}" for verdict in verdicts if verdict.blocks]
    return Cause("gate", f"before the first change: {'; '.join(refused)}") if refused else None


def _ask(
    environment: Environment, context: RunContext, candidate: ReleaseCandidate, point: GatePoint
) -> tuple[Verdict, ...]:
    """Record the signatures that count, then every gate's verdict."""
    gates = Gatekeeper(environment, candidate)
    if context.request:
        gates.count_signatures(actor=PIPELINE_ACTOR)
    verdicts = gates.check_all()
    for verdict in verdicts:
        environment.log.append(verdict.event(point), run=context.run, actor=PIPELINE_ACTOR)
    return verdicts
