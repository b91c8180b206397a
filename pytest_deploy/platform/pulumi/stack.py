"""One environment's stack: previewed, changed, read and led back by Pulumi's own engine. Implements platform.protocol.Infrastructure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_deploy.errors import (
    InfrastructureFailed,
    ManualInterventionRequired,
    PendingOperations,
    PlatformUnavailable,
    Refused,
)
from pytest_deploy.platform.infrastructure import (
    Applied,
    Change,
    InterruptedUpdate,
    Preview,
    Recovered,
    StackState,
    Update,
    digest_of,
    refusals,
)
from pytest_deploy.platform.pulumi import engine, recovery
from pytest_deploy.platform.pulumi.settings import StackSettings
from pytest_deploy.platform.pulumi.state import read_state

_UNCHANGED = frozenset({"same", "read", "refresh"})
"""The engine's operations that change nothing that is there."""


@dataclass
class _Steps:
    """What the engine tells of one preview or update."""

    begun: list[Change] = field(default_factory=list)
    done: list[Change] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def __call__(self, event: engine.Event) -> None:
        if event["is"] in {"pre", "done", "failed"} and event["operation"] not in _UNCHANGED:
            change = _change(event)
            if event["is"] == "failed":
                self.failed.append(str(change))
            else:
                (self.begun if event["is"] == "pre" else self.done).append(change)
        elif event["is"] == "error" and event["message"].strip():
            self.failed.append(event["message"].strip())


class PulumiStack:
    """A stack in a backend. Each method runs the engine once or a few times; nothing is kept between them."""

    def __init__(self, settings: StackSettings) -> None:
        self.settings = settings

    def preview(self, program: Path) -> Preview:
        """What `apply` would do, after reading what is really there. Raises PendingOperations, as every plan does on them."""
        self._refuse_pending(program)
        steps = _Steps()
        self._ask("preview", program, on_event=steps, refresh=True)
        return Preview(tuple(sorted(steps.begun)))

    def apply(
        self,
        program: Path,
        *,
        approved: Preview,
        may_destroy: frozenset[str],
        message: str,
        deadline_s: float,
        begin: Callable[[], None] = lambda: None,
    ) -> Applied:
        """Carry out what was approved and nothing else; then the program has nothing more to change, or it failed."""
        current = self.preview(program)
        if current.digest != approved.digest:
            raise Refused(
                f"the infrastructure is not as it was when its preview was approved: {_drift(approved, current)}; plan again"
            )
        said = refusals(current.changes, may_destroy=may_destroy, never_touched=self.settings.never_touched)
        if said:
            raise Refused("the infrastructure's preview is refused:" + "".join(f"\n  {one}" for one in said))
        begin()
        applied = self._up(program, message=message, refresh=True, deadline_s=deadline_s)
        beyond = [change for change in applied.changes if _what(change) not in {_what(one) for one in current.changes}]
        if beyond:
            raise InfrastructureFailed(
                "Pulumi changed what nobody approved, since something changed between preview and update:"
                + "".join(f"\n  {change}" for change in beyond),
                done=tuple(map(str, applied.changes)),
            )
        self._expect_no_changes(program, applied)
        return applied

    def restore(self, program: Path, *, to: StackState, message: str, deadline_s: float) -> Applied:
        """Run an earlier program until the state is what it was; it may only touch what has become different since."""
        before = self.state(program)
        if before.pending:
            raise ManualInterventionRequired(
                f"stack {self.settings.stack} cannot be led back: operations are pending ({_list(before.pending)}); `recover` first"
            )
        differing = frozenset(before.differences(to))
        steps = _Steps()
        self._ask("preview", program, on_event=steps, refresh=False)
        strange = [change for change in steps.begun if change.urn not in differing]
        said = refusals(steps.begun, may_destroy=differing, never_touched=self.settings.never_touched)
        if strange or said:
            raise ManualInterventionRequired(
                f"stack {self.settings.stack} is not led back: the last good release's program would change more than what is "
                "different since:" + "".join(f"\n  {one}" for one in (*map(str, strange), *said))
            )
        try:
            applied = self._up(program, message=message, refresh=False, deadline_s=deadline_s)
        except InfrastructureFailed as error:
            raise ManualInterventionRequired(f"stack {self.settings.stack} is not led back: {error}") from error
        if left := applied.state.differences(to):
            raise ManualInterventionRequired(
                f"stack {self.settings.stack} is not as it was, though the last good release's program was run; different are "
                f"{', '.join(left)}: compare `pulumi stack export` with the state of the run before"
            )
        return applied

    def state(self, program: Path) -> StackState:
        """The stack's state, with what is pending."""
        return read_state(self.export(program))

    def export(self, program: Path) -> Mapping[str, Any]:
        """The state as it lies in the backend, in Pulumi's own format; secrets stay encrypted."""
        exported: Mapping[str, Any] = self._ask("export", program)
        return exported

    def refresh(self, program: Path, *, message: str) -> tuple[str, ...]:
        """Read what is really there into the state; what is gone from there goes from the state. URNs that changed, sorted."""
        before = self.state(program)
        self._ask("refresh", program, message=message)
        return self.state(program).differences(before)

    def history(self, program: Path, count: int = 10) -> tuple[Update, ...]:
        """The last updates, newest first."""
        told = self._ask("history", program, count=count)
        return tuple(Update(one["kind"], one["result"], one["message"] or "", one["started"]) for one in told)

    def init(self, program: Path) -> None:
        """Make the stack, once in its life; what encrypts its secrets is written beside the program."""
        self._ask("init", program)

    def recover(
        self, program: Path, *, interrupted: InterruptedUpdate, message: str, ids: Mapping[str, str] | None = None
    ) -> Recovered:
        """Make good what a killed update left: see `recovery`."""
        return recovery.recover(self.settings, program, interrupted=interrupted, message=message, ids=ids or {})

    def _refuse_pending(self, program: Path) -> None:
        if pending := self.state(program).pending:
            raise PendingOperations(
                f"stack {self.settings.stack} holds operations of an interrupted update whose end nobody knows: {_list(pending)}; "
                "`recover` that run: it looks up what exists and takes it into the state"
            )

    def _up(self, program: Path, *, message: str, refresh: bool, deadline_s: float) -> Applied:
        steps = _Steps()
        try:
            engine.run(
                self.settings, "up", program, deadline_s=deadline_s, on_event=steps, message=message, refresh=refresh
            )
        except engine.EngineFailed as error:
            faults = "".join(f"\n  failed: {one}" for one in dict.fromkeys(steps.failed))
            raise InfrastructureFailed(
                f"{error}{faults}", done=tuple(str(change) for change in sorted(steps.done))
            ) from error
        return Applied(tuple(sorted(steps.done)), self.state(program))

    def _expect_no_changes(self, program: Path, applied: Applied) -> None:
        steps = _Steps()
        self._ask("preview", program, on_event=steps, refresh=True)
        if steps.begun:
            raise InfrastructureFailed(
                "the program still wants changes after it was carried out, so no two previews of it agree; "
                "correct what it asks for to what the provider answers:"
                + "".join(f"\n  {change}" for change in sorted(steps.begun)),
                done=tuple(map(str, applied.changes)),
            )

    def _ask(self, operation: str, program: Path, *, on_event: Any = lambda _: None, **request: Any) -> Any:
        """What changes nothing that is there. Raises PlatformUnavailable where the engine ends with an error."""
        try:
            return engine.run(
                self.settings, operation, program, deadline_s=self.settings.question_s, on_event=on_event, **request
            )
        except engine.EngineFailed as error:
            faults = list(dict.fromkeys(on_event.failed)) if isinstance(on_event, _Steps) else []
            raise PlatformUnavailable(f"{error}" + "".join(f"\n  {one}" for one in faults)) from error


def _change(event: engine.Event) -> Change:
    inputs = event["inputs"]
    return Change(
        urn=event["urn"],
        operation=event["operation"],
        type=event["type"],
        paths=tuple(event["paths"]),
        replace_keys=tuple(event["replace_keys"]),
        inputs_sha256="" if inputs is None else digest_of(inputs),
    )


def _what(change: Change) -> tuple[str, str, tuple[str, ...]]:
    """Of a change, what is known of it before and after alike: inputs may hold what is not known before."""
    return change.urn, change.operation, change.replace_keys


def _drift(approved: Preview, current: Preview) -> str:
    then, now = set(approved.changes), set(current.changes)
    gone = [f"no longer: {change}" for change in sorted(then - now)]
    return "; ".join([*gone, *(f"now: {change}" for change in sorted(now - then))])


def _list(pending: Any) -> str:
    return ", ".join(map(str, pending))
