"""One run as a listing tells it: a fold over its events, the same whether they come from an index's builder or the log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple, Self

from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event

REQUESTED: Final = "requested"
VOIDED: Final = "voided"
IN_PROGRESS: Final = "in-progress"
ABANDONED: Final = "abandoned"
OUTCOMES: Final = (
    *("deployed", "refused", "failed", "rolled-back", "rollback-failed", "passed", "not-passed"),
    *(ABANDONED, IN_PROGRESS, REQUESTED, VOIDED),
)
"""What a row's outcome may be: a run's, or how far it has come."""


class Fact(NamedTuple):
    """Something an event says that runs are looked up by."""

    kind: str
    """signer, migration, requirement or revision."""
    value: str


@dataclass
class Row:
    """One run."""

    run: str
    environment: str = ""
    pipeline: str = ""
    commit: str = ""
    version: str = ""
    digest: str = ""
    """`sha256:<64 hex>` of the artefact; empty until it is known."""
    deployer: str = ""
    """Empty until the run opens."""
    requested_by: str = ""
    approvers: tuple[str, ...] = ()
    """Who signed, once each, in order."""
    bypassed: tuple[str, ...] = ()
    """Gates that were overridden, deviations that were accepted."""
    amended: tuple[str, ...] = ()
    """What was corrected since, by the keys of its events; what a row says is what the events say."""
    outcome: str = REQUESTED
    """One of OUTCOMES."""
    cause: str = ""
    began: str = ""
    """UTC stamp of its first event here."""
    opened: str = ""
    """UTC stamp of its run.opened; empty for a request that waits, or was voided."""
    ended: str = ""
    """UTC stamp of its closing; empty while it is open."""
    duration_s: float | None = None
    events: tuple[int, ...] = ()
    """Positions of the events this rests on."""

    @property
    def over(self) -> str:
        """The stamp from which on nothing of it happened: its end; its request, where it never ran; empty while it goes on."""
        return self.ended or ("" if self.opened else self.began)

    @classmethod
    def of(cls, events: Iterable[Event]) -> Self:
        """The row of one run's events, in order. Raises ValueError where there is none."""
        row: Self | None = None
        for event in events:
            row = row or cls(event.run)
            row.take_in(event)
        if row is None:
            raise ValueError("no event, no run")
        return row

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> Self:
        """From `to_json`."""
        lists = {key: tuple(value[key]) for key in ("approvers", "bypassed", "amended", "events")}
        return cls(**{**value, **lists})

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def take_in(self, event: Event) -> None:
        """Note what an event of this run says; most say nothing of a run as a whole."""
        change = _CHANGES.get(event.type)
        if change is not None:
            self.began = self.began or stamp(event.time)
            change(self, event)
            self.events = (*self.events, event.seq)

    def _asked(self, event: Event) -> None:
        self.requested_by = event.data["requested_by"]
        for key in ("environment", "pipeline", "commit", "version"):
            setattr(self, key, getattr(self, key) or event.data.get(key) or "")
        self._built(event)

    def _void(self, event: Event) -> None:
        self.outcome = VOIDED
        self.cause = event.data["cause"]

    def _opened(self, event: Event) -> None:
        for key in ("environment", "pipeline", "commit", "version", "deployer"):
            setattr(self, key, event.data[key])
        self.outcome = IN_PROGRESS
        self.opened = stamp(event.time)
        self._built(event)

    def _built(self, event: Event) -> None:
        self.digest = (event.data.get("image") or "").partition("@")[2] or self.digest

    def _signed(self, event: Event) -> None:
        self.approvers = tuple(dict.fromkeys([*self.approvers, event.data["signer"]]))

    def _passed_over(self, event: Event) -> None:
        said = event.data.get("gate") or event.data.get("deviation") or event.type
        self.bypassed = tuple(dict.fromkeys([*self.bypassed, said]))

    def _corrected(self, event: Event) -> None:
        self.amended = tuple(dict.fromkeys([*self.amended, event.data.get("key", "")]))

    def _decided(self, event: Event) -> None:
        self.cause = event.data["cause"] or ""
        self.duration_s = event.data["duration_s"]

    def _closed(self, event: Event) -> None:
        self.outcome = event.data["outcome"]
        self.ended = stamp(event.time)

    def _abandoned(self, event: Event) -> None:
        self.outcome = ABANDONED
        self.cause = event.data["cause"]
        self.ended = stamp(event.time)


_CHANGES: Final[Mapping[str, Callable[[Row, Event], None]]] = {
    "request.made": Row._asked,  # noqa: SLF001 -- its own methods, as a table
    "request.voided": Row._void,  # noqa: SLF001
    "run.opened": Row._opened,  # noqa: SLF001
    "revision.deployed": Row._built,  # noqa: SLF001
    "approval.signed": Row._signed,  # noqa: SLF001
    "override.signed": Row._passed_over,  # noqa: SLF001
    "deviation.accepted": Row._passed_over,  # noqa: SLF001
    "record.amended": Row._corrected,  # noqa: SLF001
    "run.decided": Row._decided,  # noqa: SLF001
    "run.closed": Row._closed,  # noqa: SLF001
    "run.abandoned": Row._abandoned,  # noqa: SLF001
}


def facts(event: Event) -> tuple[Fact, ...]:
    """What runs are looked up by, of one event."""
    match event.type:
        case "approval.signed" | "override.signed" | "signoff.signed" | "deviation.accepted" | "record.amended":
            names = (event.data["signer"], event.data.get("printed_name") or "")
            return tuple(Fact("signer", name.casefold()) for name in names if name)
        case "migration.applied" | "migration.rolled-back":
            return (Fact("migration", event.data["version"]),)
        case "step.finished":
            return tuple(Fact("requirement", str(name)) for name in dict.fromkeys(event.data["verifies"]))
        case "revision.deployed":
            return (Fact("revision", event.data["revision"]),)
        case _:
            return ()
