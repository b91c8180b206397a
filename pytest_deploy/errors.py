"""Every error this package raises on purpose, grouped by whose turn it is to act.

    DeployError
    ├── UsageError                        exit 4   what was asked is not valid; nothing was written
    │   ├── ConfigurationError                     deploy.yaml or --deploy-set: every fault, with file, line, key, remedy
    │   ├── OptionRefused                          an option, ini value or plugin that could thin or bend the run
    │   └── CollectionRefused                      the collected steps are not those of suites/steps.lock
    ├── Refused                           exit 1   it may not go now; the environment is as it was
    │   ├── RequestRefused                         gates refused an approved request, or it drifted; the record says why
    │   ├── LeaseHeld                              another run holds the lease, by whom and until when
    │   ├── StackLocked                            another update holds the Pulumi stack, or died with its lock
    │   ├── PendingOperations                      an interrupted update of the stack was not made good
    │   └── MigrationsRefused                      the files or the history are faulty: every fault, with file and line
    ├── Failed                            exit 1   it was tried and did not work; carries the state it left
    │   ├── MigrationFailed                        applied, failed, not run
    │   ├── RevisionFailed                         the new revision never became ready; its last log lines
    │   ├── InfrastructureFailed                   Pulumi's update did not go through; what was done, what failed
    │   └── PlatformUnavailable                    the platform did not answer, or answered with an error
    ├── Interrupted                       exit 2   a signal, as an ordinary exception in the running step
    ├── RecordError                       exit 3   the record could not be written or is not what it should be
    │   ├── StoreUnavailable                       no record store, no deployment
    │   ├── AnchorUnavailable                      an anchor could not be made or read back
    │   ├── IllegalEvent                           an event that is not legal next, or whose data does not fit its type
    │   ├── SecretLeft                             a long part of a known secret would be written
    │   └── RecordTampered                         the log does not verify; names the first bad event
    └── ManualInterventionRequired        exit 20  rollback failed or impossible, or an unrecovered run

Each message says what happened, where, and what the reader can do.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final


class DeployError(Exception):
    """The root of the tree. `exit_code` is what pytest or the program ends with when nothing else is known."""

    exit_code: ClassVar[int] = 3


class UsageError(DeployError):
    """What was asked is not valid; nothing was written."""

    exit_code: ClassVar[int] = 4


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong in a file that people write."""

    file: str
    """Path as the reader would type it."""
    line: int | None
    """1-based; None where the fault has no line (a missing file)."""
    key: str
    """Dotted path of the key, or the item's own name."""
    problem: str
    """What is wrong."""
    remedy: str
    """What would be right."""

    @property
    def place(self) -> str:
        """`file:line key`, as far as there is a line and a key."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place} {self.key}".rstrip()

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        key = f" {self.key}:" if self.key else ""
        return f"{place}:{key} {self.problem}; {self.remedy}"


_TOLD_ONE_BY_ONE: Final = 3
"""Faults that are alike; more of them are told as one, with their places."""


class Faults(DeployError):
    """An error that lists every fault at once. Mixed into the classes that need it."""

    faults: tuple[Fault, ...]

    def __init__(self, subject: str, faults: list[Fault] | tuple[Fault, ...]) -> None:
        self.faults = tuple(faults)
        count = f"{len(self.faults)} faults" if len(self.faults) != 1 else "1 fault"
        super().__init__("\n".join([f"{subject}: {count}", *(f"  {line}" for line in self._lines())]))

    def _lines(self) -> Iterator[str]:
        return map(str, self.faults)


class ConfigurationError(Faults, UsageError):
    """deploy.yaml or --deploy-set is not valid: every fault, with file, line, key and what would be right."""


class OptionRefused(UsageError):
    """An option, ini value, plugin or variable that could thin or bend the run."""


class CollectionRefused(Faults, UsageError):
    """The collected steps are not those of suites/steps.lock."""


class Refused(DeployError):
    """It may not go now; the environment is as it was."""

    exit_code: ClassVar[int] = 1


class RequestRefused(Refused):
    """An approved request was not started: gates refused it, or it drifted. Its run's events say why."""


class LeaseHeld(Refused):
    """Another run holds the environment's lease."""


class StackLocked(Refused):
    """Another update holds the Pulumi stack, or one that died left its lock. `locks` are as Pulumi tells them."""

    def __init__(self, message: str, *, locks: tuple[str, ...]) -> None:
        self.locks = locks
        super().__init__(message)


class PendingOperations(Refused):
    """The stack holds operations whose end nobody knows, of an update that was interrupted."""


class MigrationsRefused(Faults, Refused):
    """Migration files or history are faulty: every fault, with file and line; what more than three have is said once."""

    def _lines(self) -> Iterator[str]:
        alike: dict[tuple[str, str], list[Fault]] = {}
        for fault in self.faults:
            alike.setdefault((fault.problem, fault.remedy), []).append(fault)
        for (problem, remedy), faults in alike.items():
            if len(faults) <= _TOLD_ONE_BY_ONE:
                yield from map(str, faults)
            else:
                yield f"{len(faults)} times: {problem}; {remedy}:"
                yield from (f"  {fault.place}" for fault in faults)


class Failed(DeployError):
    """It was tried and did not work; carries the state it left."""

    exit_code: ClassVar[int] = 1


@dataclass(frozen=True)
class RefusedRows:
    """Rows that the server did not take or could not convert, as far as it says where they are. Never a row itself."""

    table: str
    """`schema.table`, unquoted; empty where it does not say."""
    column: str
    """Empty where it does not say."""
    nulls: bool
    """Whether what it refused was a null."""


class MigrationFailed(Failed):
    """A migration did not go through; the transaction left nothing behind unless `applied` says so."""

    def __init__(
        self,
        message: str,
        *,
        failed: str = "",
        applied: tuple[str, ...] = (),
        not_run: tuple[str, ...] = (),
        rows: RefusedRows | None = None,
    ) -> None:
        """`rows` where the server refused rows, and not the migration itself."""
        self.rows = rows
        self.applied = applied
        self.failed = failed
        self.not_run = not_run
        super().__init__(message)


class RevisionFailed(Failed):
    """The new revision never became ready. `log` holds its last lines of output."""

    def __init__(self, message: str, *, revision: str, log: str = "") -> None:
        self.revision = revision
        self.log = log
        super().__init__(message + (f"\nits last output:\n{log}" if log else ""))


class InfrastructureFailed(Failed):
    """An update of the stack did not go through. `done` says what was changed all the same."""

    def __init__(self, message: str, *, done: tuple[str, ...] = ()) -> None:
        self.done = done
        super().__init__(message + "".join(f"\n  done: {one}" for one in done))


class PlatformUnavailable(Failed):
    """The platform did not answer, or answered with an error; says which call and what would help."""


class Interrupted(DeployError):
    """A signal reached the run; raised once, in the running step, as an ordinary exception."""

    exit_code: ClassVar[int] = 2

    def __init__(self, signum: int, then: str = "the step stops here, what was changed is undone") -> None:
        self.signum = signum
        super().__init__(f"{signal.Signals(signum).name} received: {then}")


class RecordError(DeployError):
    """The record could not be written or is not what it should be."""


class StoreUnavailable(RecordError):
    """The record store cannot be written. No record store, no deployment."""


class AnchorUnavailable(RecordError):
    """An anchor could not be made, or read back: which one, and what would help."""


class IllegalEvent(RecordError):
    """An event that is not legal next, or whose data does not fit its type."""


class SecretLeft(RecordError):
    """What would be written holds a long part of a known secret, in a spelling that cannot be cut."""


class RecordTampered(RecordError):
    """The log does not verify; the message names the first bad event."""


class ManualInterventionRequired(DeployError):
    """Rollback failed or impossible, evidence incomplete after a change, or an unrecovered run."""

    exit_code: ClassVar[int] = 20
