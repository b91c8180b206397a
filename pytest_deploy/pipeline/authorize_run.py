"""Whether an approved request may be run now: which one, whether it drifted, and the gates, at the lease and before a change.

A refusal before the lease leaves the request alive; a drift voids it. Both are in the record, with every reason.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from typing import Any

from pytest_deploy.approvals.evaluate import record_signatures
from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.gates.rate_limit import limited
from pytest_deploy.gates.registry import Gates
from pytest_deploy.gates.verdict import Verdict
from pytest_deploy.pipeline import steps_lock
from pytest_deploy.pipeline.run import Run
from pytest_deploy.pipeline.sequence import Cause
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.policy import Policy
from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.record.actor import PIPELINE_ACTOR
from pytest_deploy.record.events import GatePoint
from pytest_deploy.record.log import Claim, LogView
from pytest_deploy.release import request, source
from pytest_deploy.release.candidate import of_request, of_run
from pytest_deploy.release.request import build_request
from pytest_deploy.release.source import Source


def chosen(context: RunContext, policy: Policy) -> str:
    """The run id of the request to execute. Raises UsageError with the list where there is not exactly one; writes nothing."""
    environment = Environment(context.workspace, policy, run=context.run, shift_s=context.shift_s)
    if not environment.has_record:
        return request.choose([], environment=policy.environment, commit="", run=context.request).run
    live = request.pending(environment.log.history(), environment.clock.now())
    commit = source.read(context.workspace.root).commit
    return request.choose(live, environment=policy.environment, commit=commit, run=context.request).run


class Permission:
    """What stands between a request and its run."""

    def __init__(
        self, environment: Environment, context: RunContext, source_: Source, say: Callable[[str], None]
    ) -> None:
        self._environment = environment
        self._context = context
        self._source = source_
        self._say = say

    @cached_property
    def _content(self) -> bytes:
        return request.stored_request(
            self._context.workspace.store, self._context.run, self._environment.log.run(self._context.run)
        )

    @property
    def approved(self) -> dict[str, Any]:
        """The request as it was approved. Raises Refused where request.json is not what was made."""
        said: dict[str, Any] = json.loads(self._content)
        return said

    @property
    def request_sha256(self) -> str:
        """What people signed, hex."""
        return request.digest(self._content)

    def at_lease(self) -> None:
        """Hold the request against what it would say now, then ask every gate. Raises Refused naming every refusal."""
        self._refuse_drift()
        gates = Gates(self._environment, of_request(self._environment, self._context.run))
        record_signatures(self._environment.log, gates.facts.approval_context, actor=PIPELINE_ACTOR)
        verdicts = gates.check_all()
        for verdict in verdicts:
            self._record(verdict, "lease")
        refused = [verdict for verdict in verdicts if not verdict.passed]
        if refused:
            count = "1 gate" if len(refused) == 1 else f"{len(refused)} gates"
            lines = "".join(f"\n  {verdict.gate}: {verdict.sentence}" for verdict in refused)
            raise Refused(
                f"{count} of {len(verdicts)} refused {self._context.run}; nothing was changed, the request stays live{lines}"
            )

    def claim(self) -> Claim | None:
        """The rate limit as a claim on the log: asked again on every try to take the lease, so that one of two wins."""
        rule = self._environment.policy.rate_limit
        if rule is None:
            return None

        def within_the_limit(view: LogView) -> None:
            claims = view.whole_state().claims()
            why = limited(rule, self._environment.clock.now(), claims, own=self._context.run)
            if why:
                raise Refused(f"rate-limit: {why}")

        return within_the_limit

    def before_change(self, run: Run) -> Cause | None:
        """Ask every gate once more, right before the first change."""
        gates = Gates(self._environment, of_run(self._environment, self._context, run.events()))
        if self._context.request:
            record_signatures(self._environment.log, gates.facts.approval_context, actor=PIPELINE_ACTOR)
        verdicts = gates.check_all()
        for verdict in verdicts:
            self._record(verdict, "change")
        refused = [f"{verdict.gate}: {verdict.sentence}" for verdict in verdicts if not verdict.passed]
        return Cause("gate", f"before the first change: {'; '.join(refused)}") if refused else None

    def _record(self, verdict: Verdict, point: GatePoint) -> None:
        self._environment.log.append(verdict.event(point), run=self._context.run, actor=PIPELINE_ACTOR)

    def _refuse_drift(self) -> None:
        approved = self.approved
        found = build_request(
            self._environment,
            self._context,
            self._source,
            run=self._context.run,
            image=approved["artefact"]["image"],
            steps_sha256=steps_lock.digest_of_pipeline(self._context.workspace.steps_lock, request.PIPELINE),
        )
        drifted = request.drift(approved, found.parsed())
        if not drifted:
            return
        self._environment.log.append(
            "request.voided",
            {"cause": "drift", "request_sha256": self.request_sha256, "detail": list(drifted), "by": self._context.run},
            run=self._context.run,
            actor=PIPELINE_ACTOR,
        )
        lines = "".join(f"\n  {one}" for one in drifted)
        raise Refused(
            f"what was approved is not what would run now: {self._context.run} is void; plan again and have it approved{lines}"
        )


def unwanted(context: RunContext, policy: Policy) -> None:
    """Refuse a request where none is asked for. Raises UsageError."""
    if context.request and not policy.approval.roles:
        raise UsageError(f"--deploy-run={context.request}: {policy.environment} asks for no approval; leave it out")
    if context.request and context.pipeline != "deploy":
        raise UsageError(
            f"--deploy-run={context.request}: a request is run by the pipeline deploy, not {context.pipeline}"
        )
