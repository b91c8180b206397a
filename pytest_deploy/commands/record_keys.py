"""The record of one environment as `pytest-deploy keys` sees it: its log, and who may sign there."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from pathlib import Path

import typer

from pytest_deploy.approvals.roster import in_force
from pytest_deploy.approvals.signed_file import signing_key
from pytest_deploy.platform.environment import record_of
from pytest_deploy.policy.load import policy_of
from pytest_deploy.record.clock import SystemClock
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import ApprovalSigned, KeyRevoked, OverrideSigned, given
from pytest_deploy.record.key import trust_set, write_plain_copies
from pytest_deploy.record.log import Log
from pytest_deploy.record.plain_text import escape_line
from pytest_deploy.release.request import pending
from pytest_deploy.workspace import Workspace


class RecordKeys:
    """The record of the environment that is named, and so its roster."""

    def __init__(self, env: str, *, rehearsal: bool, new_record: str = "") -> None:
        """`new_record` is why one begins where one was before. Raises ConfigurationError where deploy.yaml knows no such environment."""
        self.workspace = Workspace(Path.cwd(), env, rehearsal=rehearsal)
        self.policy = policy_of(self.workspace)
        self._new_record = new_record

    @cached_property
    def log(self) -> Log:
        """Opened, and begun where there was none, once what was asked for is found right."""
        log = record_of(self.workspace, self.policy, SystemClock(), new_record=self._new_record)
        # Whoever changed the roster elsewhere, or died while changing it here, left older plain copies.
        with suppress(OSError):
            write_plain_copies(self.workspace.store, trust_set(log.store, in_force(log.store, log.history())[1]))
        return log

    def tell_lost_signatures(self, revoked: Event) -> None:
        """What a key that was ended signed under requests that wait: it counts no longer there."""
        ended = (revoked.read(KeyRevoked).fingerprint or "").split(", ")
        events = self.log.history()
        waiting = {request.run for request in pending(events, SystemClock().now(), real=True)}
        counted: list[tuple[Event, ApprovalSigned | OverrideSigned]] = [
            *of_type(events, ApprovalSigned), *of_type(events, OverrideSigned)
        ]  # fmt: skip
        for event, signed in counted:
            if event.run in waiting and signing_key(self.log.store, signed) in ended:
                who, role = given(signed.printed_name), given(signed.role)
                typer.echo(escape_line(f"lost      {event.run}: what {who} signed as {role} counts no longer there"))

    def tell_unfilled_roles(self) -> None:
        """Roles that policy asks for and nobody can fill now."""
        roster = in_force(self.log.store, self.log.history())[0]
        for role in dict.fromkeys([*self.policy.approval.roles, *self.policy.rollback.roles]):
            if not roster.holders(role, SystemClock().now()):
                typer.echo(f"needed    nobody holds the role {role} with a valid key")
