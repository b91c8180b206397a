"""`deploy.py audit [ENV]`: everything of every record, verified again, for a job that runs by itself.

It reads, and writes nothing but the copy of a bucket. Each finding is one line that says what to do; a line that is not well
makes the command end with 1, so that whoever gets the job's mail looks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from pytest_deploy.anchors.anchoring import CLOSES, anchors_of
from pytest_deploy.approvals.roster import in_force
from pytest_deploy.errors import DeployError, UsageError
from pytest_deploy.gates.facts import held
from pytest_deploy.gates.formatting import moment
from pytest_deploy.gates.retention import retention
from pytest_deploy.policy.load import ENVIRONMENTS, read_document
from pytest_deploy.policy.policy import Policy
from pytest_deploy.policy.run_context import policy_of
from pytest_deploy.record import log_entry
from pytest_deploy.record.clock import parse_stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.log_entry import Checkpoint
from pytest_deploy.record.mirrored_store import CopiedStore
from pytest_deploy.record.open_record import record_store
from pytest_deploy.record.store import Store
from pytest_deploy.record.trust import trust_set
from pytest_deploy.verify.verify import verify
from pytest_deploy.workspace import Workspace

SOON: Final = timedelta(days=30)
"""A key that ends sooner is told of."""
_KEEP: Final = "keep everything as it is, and find out who could have done it"


@dataclass(frozen=True)
class Line:
    """One thing that was looked at."""

    environment: str
    ok: bool
    said: str
    """What was found; where it is not well, what to do follows."""

    def __str__(self) -> str:
        return f"{'ok  ' if self.ok else 'BAD '} {self.environment}: {self.said}"


class Audit:
    """The records of one checkout's environments."""

    def __init__(
        self, root: Path, *, rehearsal: bool = False, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """`rehearsal`: the rehearsals' records in place of the real ones."""
        self._root = root
        self._rehearsal = rehearsal
        self._now = now

    def all(self, environment: str = "") -> Iterator[Line]:
        """Every line of one environment, or of all that deploy.yaml names. Raises ConfigurationError."""
        for name in [environment] if environment else self._named():
            workspace = Workspace(self._root, name, rehearsal=self._rehearsal)
            policy = policy_of(workspace)
            try:
                yield from self._lines(workspace, policy)
            except DeployError as error:
                yield Line(name, False, f"cannot be looked at: {error}")

    def _named(self) -> list[str]:
        written = (
            read_document(self._root / "deploy.yaml", "run it where deploy.yaml lies")[0].nearest((ENVIRONMENTS,)).value
        )
        return list(written) if isinstance(written, Mapping) else []

    def _lines(self, workspace: Workspace, policy: Policy) -> Iterator[Line]:
        name = policy.environment
        store = record_store(workspace, policy)
        seen, told = self._outside(workspace, policy, store)
        yield from told
        if next(iter(store.names("log/")), None) is None:
            where = store.bucket.url if isinstance(store, CopiedStore) else str(workspace.store.relative_to(self._root))
            if seen:
                yield Line(
                    name,
                    False,
                    f"{where} holds no record, and anchors know of {seen[-1].size} events: it is gone; {_KEEP}",
                )
            else:
                yield Line(name, True, f"no record yet in {where}")
            return
        path = store.folder()
        found = verify(path, anchor=[one.anchor for one in seen])
        for check in found.checks:
            if not check.ok:
                yield Line(name, False, f"step {check.number}, {check.title}: {check.detail}; {_KEEP}")
        if found.ok:
            yield Line(name, True, f"verified, all twelve steps: {found.size} events, root {found.root}")
        yield from self._copy(name, store)
        events = [log_entry.parse((path / log_entry.name(seq)).read_bytes()).event for seq in range(found.size)]
        yield self._tail(name, policy, events, seen)
        verdict = retention(policy.retention, self._now(), *held(store, self._root))
        yield Line(name, verdict.passed, f"retention: {verdict.sentence}")
        yield from self._open(name, policy, events)
        yield from self._keys(name, store, events)

    def _outside(self, workspace: Workspace, policy: Policy, store: Store) -> tuple[list[Checkpoint], list[Line]]:
        """Everything that is known of the record outside it, the longest last; and the places that did not tell."""
        name = policy.environment
        seen: list[Checkpoint] = []
        told: list[Line] = []
        for anchor in anchors_of(workspace, policy, store):
            if not anchor.read_back:
                continue
            try:
                knows = anchor.known()
            except DeployError as error:
                told.append(Line(name, False, f"anchors at {anchor.place} cannot be read: {error}"))
                continue
            seen += knows
            told.append(Line(name, True, f"anchors at {anchor.place}: {len(knows)} read back"))
        return sorted(seen, key=lambda one: one.size), told

    def _copy(self, name: str, store: Store) -> Iterator[Line]:
        if isinstance(store, CopiedStore):
            other = store.compare()
            if other:
                said = f"{store.path / other[0]} is not as in {store.bucket.url}; move the copy away and run again"
                yield Line(name, False, said)
            else:
                yield Line(
                    name, True, f"the copy in {store.path.relative_to(self._root)} is that of {store.bucket.url}"
                )

    def _tail(self, name: str, policy: Policy, events: Sequence[Event], seen: Sequence[Checkpoint]) -> Line:
        """What a cut would take away unseen."""
        reach = max((one.size for one in seen), default=0)
        runs = [event.run for event in events[reach:] if event.type in CLOSES]
        if not policy.anchors.required and not seen:
            return Line(
                name, True, "no anchor is asked for: a cut at the end would show against a line kept elsewhere only"
            )
        if runs:
            said = f"{len(events) - reach} events since the newest anchor, {len(runs)} closed runs among them; "
            return Line(name, False, f"{said}python deploy.py anchor {name}")
        return Line(name, True, f"anchored up to event {reach - 1}; no run was closed since")

    def _open(self, name: str, policy: Policy, events: Sequence[Event]) -> Iterator[Line]:
        """Runs that nobody works on any more."""
        until: dict[str, datetime] = {}
        opened: dict[str, None] = {}
        for event in events:
            if event.type in {"lease.taken", "lease.renewed"}:
                until[event.run] = parse_stamp(event.data["until"])
            elif event.type == "run.opened":
                opened[event.run] = None
                if event.run not in until:  # a plan: it holds no lease
                    until[event.run] = event.time + timedelta(seconds=policy.sla_s)
            elif event.type in CLOSES:
                opened.pop(event.run, None)
        left = [run for run in opened if until[run] <= self._now()]
        for run in left:
            yield Line(
                name,
                False,
                f"run {run} is open since its time ended {moment(until[run])}: python deploy.py recover {name}",
            )
        if not left:
            yield Line(name, True, f"no run was left open{f' ({len(opened)} in progress)' if opened else ''}")

    def _keys(self, name: str, store: Store, events: Sequence[Event]) -> Iterator[Line]:
        """Keys, and the timestamp authority's certificate, that end soon and have no successor."""
        now = self._now()
        roster, sha256 = in_force(store, events)
        ends = {
            f"the key of {email}": max(key.valid_before for key in roster.keys if key.email == email)
            for email in dict.fromkeys(key.email for key in roster.keys if key.valid(now))
        }
        if ca := trust_set(store, sha256).get("tsa-ca.pem"):
            ends["the timestamp authority's certificate"] = _ends(ca)
        soon = {what: end for what, end in ends.items() if end <= now + SOON}
        for what, end in soon.items():
            yield Line(
                name, False, f"{what} ends {moment(end)}: python deploy.py keys enroll {name} ... makes the next known"
            )
        if not soon:
            yield Line(name, True, f"no key ends within {SOON.days} days")


def _ends(pem: bytes) -> datetime:
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return min(one.not_valid_after_utc for one in load_pem_x509_certificates(pem))
    except ValueError as error:
        raise UsageError(f"anchors.timestamp.ca is no PEM certificate: {error}") from error
