"""What several gates are judged by, gathered where it lies when it is first asked for, and once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from pytest_deploy.approvals import overrides
from pytest_deploy.approvals.evaluate import ApprovalContext, Evaluation, evaluate
from pytest_deploy.approvals.overrides import Override
from pytest_deploy.approvals.roster import Roster, in_force
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.asked_gates import missing_roles
from pytest_deploy.policy.policy import Policy
from pytest_deploy.record import stored_file
from pytest_deploy.record.actor import local_actor
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import RequestMade
from pytest_deploy.record.run_state import LogState
from pytest_deploy.release import source
from pytest_deploy.release.candidate import ReleaseCandidate
from pytest_deploy.workspace import Workspace


class GateFacts:
    """One environment and one release on its way to it. What cannot be gathered raises, and the gate that asked blocks."""

    def __init__(self, environment: Environment, candidate: ReleaseCandidate, *, deployer: str = "") -> None:
        """`deployer` is the actor of this process, but where somebody else's request is looked at (`approve`)."""
        self.environment = environment
        self.candidate = candidate
        self.deployer = deployer or local_actor()

    @property
    def policy(self) -> Policy:
        return self.environment.policy

    @property
    def workspace(self) -> Workspace:
        return self.environment.workspace

    @cached_property
    def history(self) -> tuple[Event, ...]:
        return self.environment.log.history()

    @cached_property
    def state(self) -> LogState:
        """What the log amounts to: runs, lease, claims, freezes, the commit that serves."""
        return LogState.of(self.history)

    @cached_property
    def roster(self) -> Roster:
        return in_force(self.environment.log.store, self.history)[0]

    @cached_property
    def authors(self) -> tuple[str, ...]:
        """Who wrote, committed or co-wrote what is deployed since this environment's last release; the way back brings nothing new."""
        if self.candidate.pipeline == "rollback":
            return ()
        return source.authors(self.workspace.root, self.candidate.commit, self.state.deployed_commit)

    @property
    def needed_roles(self) -> tuple[str, ...]:
        """The roles that must sign: the way back has a policy of its own."""
        return self.policy.rollback.roles if self.candidate.pipeline == "rollback" else self.policy.approval.roles

    @cached_property
    def unasked_roles(self) -> tuple[str, ...]:
        """The roles that approve by the roster that administrators signed, and that policy does not ask as often."""
        if self.roster.signed is None or self.candidate.pipeline not in {"deploy", "plan"}:
            return ()
        return missing_roles(self.roster.signed.approvers, self.policy.approval.roles)

    @cached_property
    def approval_context(self) -> ApprovalContext:
        """What signatures are judged against; without a request, of what can be signed at all."""
        run = self.candidate.request
        return ApprovalContext(
            store=self.environment.log.store.folder(f"runs/{run or '-'}/"),
            run=run or "",
            request=b""
            if run is None
            else stored_file.read(stored_file.file_of(self.workspace.store, f"runs/{run}/request.json")),
            events=[event for event in self.history if event.run == run],
            roster=self.roster,
            now=self.environment.clock.now(),
            at=self.environment.system_clock.now(),
            roles=self.needed_roles,
            expires_h=self.policy.approval.expires_h,
            who=self.deployer,
            authors=self.authors,
            outside=self.policy.approval.outside,
            asked_of=self._asked_of,
            trust_root=self.policy.approval.trust_root,
            user_verification=self.policy.approval.user_verification,
        )

    @property
    def _asked_of(self) -> Roster | None:
        """The roster in force when the request was made."""
        run = self.candidate.request
        made = next((event.seq for event, _ in of_type(self.history, RequestMade) if event.run == run), None)
        if made is None:
            return None
        return in_force(self.environment.log.store, [event for event in self.history if event.seq < made])[0]

    @cached_property
    def evaluation(self) -> Evaluation:
        """The signatures under the request, counted and refused; none where no request lives."""
        return evaluate(self.approval_context)

    @cached_property
    def overrides(self) -> Mapping[str, Override]:
        """The gates that two people override for this request."""
        return {} if self.candidate.request is None else overrides.overrides(self.approval_context)

    def incomplete_override(self, gate: str) -> str:
        """Why what was signed to override a gate does not count; empty where nothing was signed, or it counts."""
        return "" if self.candidate.request is None else overrides.incomplete_override(self.approval_context, gate)
