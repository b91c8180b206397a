"""What a killed update leaves, made good: its locks, and operations whose end nobody knows.

Nothing is cleared blindly. What was being made is written into the state under the id that its inputs tell, and a refresh asks
the provider for that very id: what exists is then in the state as it is, what does not goes. (Pulumi's own
`refresh --import-pending-creates` does not serve: tried with 3.276.0, it drops the operation and imports nothing.) A lock is
removed only where all locks are the interrupted run's: Pulumi's `cancel` removes every one, and stops nobody.
"""

from __future__ import annotations

import copy
import json
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from pytest_deploy.errors import ManualInterventionRequired, PlatformUnavailable, StackLocked
from pytest_deploy.platform.infrastructure import InterruptedUpdate, PendingOperation, Recovered
from pytest_deploy.platform.pulumi import engine
from pytest_deploy.platform.pulumi.import_ids import import_id
from pytest_deploy.platform.pulumi.settings import StackSettings
from pytest_deploy.platform.pulumi.state import read_state, resource_ids

_LOCK: Final = re.compile(
    r"^(?P<address>\S+): created by (?P<user>.+)@(?P<host>[^@\s]+) \(pid (?P<pid>\d+)\) at (?P<at>\S+)$"
)
_MAKES: Final = frozenset({"creating", "importing"})
_POLL_S: Final = 0.5
_SECOND: Final = timedelta(seconds=1)
"""Locks tell whole seconds."""


@dataclass(frozen=True)
class Lock:
    """Who holds a stack, as Pulumi's own backend writes it down."""

    text: str
    host: str
    pid: int
    at: datetime

    @classmethod
    def read(cls, text: str) -> Lock:
        """From Pulumi's message. Raises ManualInterventionRequired where it is worded otherwise."""
        match = _LOCK.match(text)
        if match is None:
            raise ManualInterventionRequired(
                f"whose lock is this? {text!r}; look who updates the stack, then `pulumi cancel`"
            )
        return cls(text, match["host"], int(match["pid"]), datetime.fromisoformat(match["at"]).astimezone(UTC))

    def belongs_to(self, interrupted: InterruptedUpdate) -> bool:
        """Whether the interrupted update made it, and its process is dead as far as this machine can tell."""
        within = interrupted.began - _SECOND <= self.at <= interrupted.ended + _SECOND
        return self.host in interrupted.hosts and within and not self.is_held_here()

    def is_held_here(self) -> bool:
        """Whether its process is one of this machine, and lives."""
        return self.host == socket.gethostname() and _lives(self.pid)


def recover(
    settings: StackSettings, program: Path, *, interrupted: InterruptedUpdate, message: str, ids: Mapping[str, str]
) -> Recovered:
    """Make good what the interrupted update left. Called under our own lease, so no run of ours updates the stack meanwhile.

    Raises:
        ManualInterventionRequired: a lock of somebody else, or a creation whose id nobody can tell.
        PlatformUnavailable: the engine does not run, or the provider does not answer.
    """
    found = read_state(_ask(settings, "export", program))
    creating = [one for one in found.pending if one.operation in _MAKES]
    known = _known_ids(creating, ids)
    removed: tuple[str, ...] = ()
    settle = partial(_settle, settings, program, known, message=message, read_anew=bool(found.pending))
    # 1. What was being made is written down under its id. 2. What is there is read anew, whatever was done to it.
    try:
        settle()
    except StackLocked as locked:
        removed = _unlock(settings, program, interrupted, locked.locks)
        settle()
    exported = _ask(settings, "export", program)
    after = read_state(exported)
    if after.pending:
        raise ManualInterventionRequired(
            f"stack {settings.stack}: still pending after a refresh: {', '.join(map(str, after.pending))}; see `pulumi refresh --help`"
        )
    there = resource_ids(exported)
    return Recovered(
        locks_removed=removed,
        imported={urn: there[urn] for urn in known if urn in there},
        absent=tuple(sorted(urn for urn in known if urn not in there)),
        refreshed=tuple(one.urn for one in found.pending if one not in creating),
        state=after,
    )


def _settle(settings: StackSettings, program: Path, known: Mapping[str, str], *, message: str, read_anew: bool) -> None:
    """Raises StackLocked before anything is changed: whatever writes a state locks it first.

    Where nothing is pending the state is written back as it is, which meets a lock; a change by hand is not taken into it.
    """
    if known or not read_anew:
        state = with_made(_ask(settings, "export", program), known)
        with tempfile.TemporaryDirectory(prefix="pulumi-state-") as folder:
            file = Path(folder) / "state.json"  # the folder is for this user alone
            file.write_text(json.dumps(state), encoding="utf-8")
            _ask(settings, "import_state", program, file=str(file))
    if read_anew:
        _ask(settings, "refresh", program, message=message)


def with_made(exported: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, Any]:
    """The exported state, in which what was being made stands among the resources, under these ids (by URN)."""
    state: dict[str, Any] = copy.deepcopy(dict(exported))
    deployment = state["deployment"]
    operations = deployment.get("pending_operations") or []
    made = [one["resource"] for one in operations if one["type"] in _MAKES and one["resource"]["urn"] in known]
    deployment["pending_operations"] = [one for one in operations if one["resource"] not in made]
    deployment["resources"] += [{**one, "id": known[one["urn"]]} for one in made]
    return state


def _known_ids(creating: Iterable[PendingOperation], told: Mapping[str, str]) -> dict[str, str]:
    known = {one.urn: told.get(one.urn) or import_id(one) for one in creating}
    unknown = [one for one in creating if not known[one.urn]]
    if unknown:
        raise ManualInterventionRequired(
            "whether these were made cannot be asked, since Google gives them their ids; look them up (console, gcloud) and tell "
            "the id of each:" + "".join(f"\n  {one}  {one.urn}" for one in unknown)
        )
    return {urn: id_ for urn, id_ in known.items() if id_}


def _unlock(
    settings: StackSettings, program: Path, interrupted: InterruptedUpdate, locks: tuple[str, ...]
) -> tuple[str, ...]:
    """Remove the stack's locks if all are the interrupted update's; what they were. An engine that still ends in order is waited for."""
    ends = time.monotonic() + 2 * settings.stop_s
    while any(Lock.read(lock).is_held_here() for lock in locks) and time.monotonic() < ends:
        time.sleep(_POLL_S)
    others = [lock for lock in locks if not Lock.read(lock).belongs_to(interrupted)]
    if others or not locks:
        raise ManualInterventionRequired(
            f"stack {settings.stack} is locked by others than the interrupted run ({', '.join(sorted(interrupted.hosts))}, "
            f"{interrupted.began:%Y-%m-%d %H:%M:%S} to {interrupted.ended:%H:%M:%S} UTC), and Pulumi removes all locks or none:"
            + "".join(f"\n  {lock}" for lock in others)
            + "\nlet that update end; where it is dead, `pulumi cancel` by whoever owns it"
        )
    _ask(settings, "cancel", program)
    return locks


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _ask(settings: StackSettings, operation: str, program: Path, **request: Any) -> Any:
    try:
        return engine.run(settings, operation, program, deadline_s=settings.question_s, **request)
    except engine.EngineFailed as error:
        raise PlatformUnavailable(str(error)) from error
