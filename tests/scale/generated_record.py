"""A record of many runs, written without a sync for each event: the bytes are those that the log itself would write.

It begins as a real log with a real roster; then runs of every kind follow in turn, one every four minutes: deployed,
migrated, rolled back, refused, overridden, smoke, plans. Their files are sealed, their approvals signed. Of the log's own
signatures the newest are real and the older ones empty, unless all are asked for: they are what takes the time.
"""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from pytest_deploy.approvals import enrollment
from pytest_deploy.policy.asked_gates import Asked
from pytest_deploy.record import log_entry as entries
from pytest_deploy.record import preimages
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import canonical
from pytest_deploy.record.key import FileSigner, LogKey
from pytest_deploy.record.log import Log
from pytest_deploy.record.log_entry import Checkpoint, Entry, leaf_hash, newest_root, next_path
from pytest_deploy.record.meanings import ACCEPTS, APPROVES, OVERRIDES
from pytest_deploy.record.open_record import open_record
from pytest_deploy.record.store import FolderStore
from tests.scale.fast_signers import NAMESPACE, Signatory, signatories
from tests.unit.record.sample_record import (
    ACTOR,
    SHA,
    HandClock,
    opened_data,
    phase_finished,
    policy_text,
    step_finished,
    step_started,
    verdict,
)

ORIGIN: Final = "deploy.example.org/production"
BEGINS: Final = datetime.fromisoformat("2026-01-05T00:00:00Z")
EVERY: Final = timedelta(minutes=4)
SIGNED: Final = 2000
"""Events at the end whose signature is real."""
RUNS_OF_A_ROUND: Final = 20
_PIPELINES: Final = {**dict.fromkeys((1, 10, 16, 17), "smoke"), **dict.fromkeys((2, 11, 18, 19), "plan")}
"""Of the runs of a round; the others deploy. Seventeen events a run on average."""
_REQUESTS: Final = {2: 3, 19: 1}
"""Of the plans of a round that make a request: so many runs later it is run."""
POLICY: Final = policy_text()
POLICY_SHA256: Final = hashlib.sha256(POLICY).hexdigest()
_UNSIGNED: Final = bytes(64)

Told = tuple[str, dict[str, Any]]


def _name(number: int) -> str:
    """Of run `number`."""
    return f"production-{BEGINS + EVERY * number:%Y%m%dT%H%M%SZ}-{number % 65536:04x}"


def open_generated(home: Path, clock: HandClock) -> Log:
    """The generated record's log, as any writer opens it."""
    return open_record(
        FolderStore(home / "reports" / "production"),
        origin=ORIGIN,
        key_file=home / "keys" / "production.pem",
        clock=clock,
        actor=ACTOR,
    )


def generate(home: Path, runs: int, *, sign_all: bool = False, seed: int = 7) -> Path:
    """A record of `runs` runs under `home`; returns its store."""
    clock = HandClock(BEGINS - timedelta(hours=1))
    log = open_generated(home, clock)
    people = signatories()
    store = home / "reports" / "production"
    enrollment.enroll(
        log, store, [who.person for who in people], {who.person.email: who.public for who in people},
        namespace=NAMESPACE, now=clock.now(), actor=ACTOR, reason="the roster",
    )  # fmt: skip
    preimages.keep(log.store, {"policy.json": POLICY})
    for folder in ("runs", "signoffs"):
        (store / folder).mkdir()
    writer = Writer(store, FileSigner.open(home / "keys" / "production.pem"))
    made = Runs(store, people, random.Random(seed))  # noqa: S311 -- a record for tests
    signed_from = 0 if sign_all else runs - SIGNED // 4
    for number in range(runs):
        writer.signing = number >= signed_from
        for event_type, data, run, time in made.events(number, lambda: writer.seq):
            writer.write(event_type, data, run, time)
    return store


class Writer:
    """Appends events; `signing` says whether with a real signature."""

    def __init__(self, store: Path, signer: FileSigner) -> None:
        self._log = store / "log"
        self._signer = signer
        newest = max(self._log.iterdir())
        head: Entry = entries.parse(newest.read_bytes())
        self._origin = head.signed.checkpoint.origin
        self._key = LogKey(self._origin, signer.public)
        self.seq = head.event.seq + 1
        self.signing = True
        self._prev = hashlib.sha256(head.line).hexdigest()
        self._path = head.path_after
        self._texts: dict[bytes, str] = {}

    def write(self, event_type: str, data: dict[str, Any], run: str, time: str) -> None:
        line = canonical(
            {
                "actor": ACTOR, "data": data, "id": f"{self.seq:016x}", "prev": self._prev, "run": run, "seq": self.seq,
                "time": time, "type": event_type, "v": 2,
            }
        )  # fmt: skip
        leaf = leaf_hash(line)
        checkpoint = Checkpoint(self._origin, self.seq + 1, newest_root(self._path, leaf)).text
        signature = self._signer.sign(checkpoint.encode()) if self.signing else _UNSIGNED
        path = "".join(f"{self._text(item)}\n" for item in self._path)
        proof = f"c2sp.org/tlog-proof@v1\nindex {self.seq}\n{path}\n{checkpoint}\n— {self._origin} "
        note = base64.b64encode(self._key.id + signature).decode()
        (self._log / f"{self.seq:08d}.event").write_bytes(line + f"{proof}{note}\n".encode())
        self._prev = hashlib.sha256(line).hexdigest()
        self._path = next_path(self.seq, self._path, leaf)
        self.seq += 1

    def _text(self, item: bytes) -> str:
        """Base64; what stands left of many leaves is written once."""
        if len(self._texts) > 100:
            self._texts = {kept: text for kept, text in self._texts.items() if kept in self._path}
        return self._texts.setdefault(item, base64.b64encode(item).decode())


@dataclass
class Runs:
    """What happens in run after run, and its files."""

    store: Path
    people: tuple[Signatory, ...]
    chance: random.Random
    revision: str = "diary-00000"
    kinds: dict[str, int] = field(default_factory=dict)

    def events(self, number: int, seq: Callable[[], int]) -> Iterator[tuple[str, dict[str, Any], str, str]]:
        """Type, data, run, time of each event of run `number`; `seq` is the position of the event to come."""
        began = BEGINS + EVERY * number
        run = _name(number)
        kind = number % RUNS_OF_A_ROUND
        told = self._told(_Run(number, run, kind, self.store / "runs" / run, began), seq)
        for count, (event_type, data) in enumerate(told):
            yield event_type, data, run, stamp(began + timedelta(milliseconds=250 * count))

    def _told(self, run: _Run, seq: Callable[[], int]) -> Iterator[Told]:
        pipeline = _PIPELINES.get(run.kind, "deploy")
        run.folder.mkdir()
        asked: str | None = None
        if pipeline == "deploy":
            asked = run.file("request.json", {
                "artefact": {"image": run.image}, "commit": run.commit, "environment": "production", "run": run.name,
                "migrations": [{"name": "more", "sha256": SHA, "version": f"{run.number:06d}"}], "policy_sha256": POLICY_SHA256,
                "version": run.version,
            })  # fmt: skip
            expires = stamp(run.began + timedelta(hours=4))
            made = {"request_sha256": asked, "expires": expires, "requested_by": run.deployer}
            before = {(kind + later) % RUNS_OF_A_ROUND: later for kind, later in _REQUESTS.items()}.get(run.kind, 0)
            planned = before if run.number >= before else 0
            yield "request.made", made | ({"plan": _name(run.number - planned)} if planned else {})
            if planned:
                yield from (self._approval(run, asked, who) for who in self.people)
            if run.number % 200 == 5:
                yield from (self._override(run, asked, who) for who in self.people)
        fence = seq()
        if pipeline != "plan":
            yield "lease.taken", {
                "name": "production", "holder": run.deployer, "until": stamp(run.began + timedelta(minutes=1)),
                "host": None, "pid": None, "process_started": None,
            }  # fmt: skip
        yield "run.opened", opened_data(
            pipeline, environment="production", deployer=run.deployer, commit=run.commit, version=run.version,
            image=run.image if asked else None, request_sha256=asked, preimages={"policy.json": POLICY_SHA256},
        )  # fmt: skip
        yield "run.planned", {"steps": 1, "conditional": 0, "steps_sha256": SHA}
        outcome = {14: "rolled-back", 15: "refused"}.get(run.kind, "deployed") if asked else "passed"
        if outcome == "refused":
            yield "gate.refused", {
                "gate": "window", "point": "lease", "inputs": {}, "verdict": "refused", "reason": "closed", "earliest_start": None,
            }  # fmt: skip
        elif asked:
            yield from self._change(run, outcome)
        asks = {"request": _name(run.number + _REQUESTS[run.kind])} if run.kind in _REQUESTS else {}
        yield "run.decided", {"outcome": outcome, "cause": None, "duration_s": 12.5, "sla_s": 1200, **asks}
        bound = run.seal()
        yield (
            "run.closed",
            {"outcome": outcome, "record": f"runs/{run.name}/SHA256SUMS", "record_sha256": bound, "missing": []},
        )
        if pipeline != "plan":
            yield "lease.released", {"name": "production", "fence": fence}
        if run.number % 400 == 14:
            yield self._deviation(run)

    def _change(self, run: _Run, outcome: str) -> Iterator[Told]:
        nodeid = "suites/traffic/test_traffic.py::test_it"
        before, after = self.revision, f"diary-{run.number:05d}"
        for gate in Asked.of(POLICY).gates("deploy"):
            ruled = gate in Asked.of(POLICY).ruled
            yield (
                f"gate.{'passed' if ruled else 'not-applicable'}",
                verdict(gate, "passed" if ruled else "not-applicable", "change"),
            )
        yield "phase.started", {"phase": "traffic"}
        yield "step.started", step_started(nodeid, "traffic", changes=True)
        if run.kind in {5, 6}:
            yield "migration.applied", {
                "version": f"{run.number:06d}", "sha256": SHA, "duration_s": 0.5, "schema_before": None, "schema_after": None,
                "engine": "pgmigrate",
            }  # fmt: skip
        yield "revision.deployed", {"revision": after, "image": run.image, "url": None, "env_names": []}
        yield "traffic.moved", {"before": {before: 100}, "after": {after: 100}, "digest": run.image.partition("@")[2]}
        failed = outcome == "rolled-back"
        done = step_finished(nodeid, "traffic", "failed" if failed else "passed")
        exercised = [f"REQ-o{run.number % 977:05d}-{'ABCDE'[run.number % 5]}"]
        yield "step.finished", {**done, "verifies": [] if failed else exercised, "claims": exercised}
        yield "phase.finished", phase_finished("traffic", "failed" if failed else "passed")
        if failed:
            yield "rollback.started", {"cause": "smoke failed", "order": ["traffic"], "target": before}
            yield "traffic.moved", {"before": {after: 100}, "after": {before: 100}, "digest": None}
            yield "rollback.finished", {"outcome": "rolled-back", "duration_s": 1.0, "target": before}
        else:
            self.revision = after

    def _approval(self, run: _Run, asked: str, who: Signatory) -> Told:
        said = {
            "comment": "", "meaning": APPROVES, "printed_name": who.person.printed_name, "request_sha256": asked,
            "role": who.person.roles[0], "run": run.name, "signed_at": stamp(run.began), "signer": who.person.email,
        }  # fmt: skip
        bound = self._signed(f"runs/{run.name}/approvals", f"{_slug(who)}-{who.short}", said, who)
        return "approval.signed", {**bound, **_of(said, "role signer meaning request_sha256 printed_name signed_at")}

    def _override(self, run: _Run, asked: str, who: Signatory) -> Told:
        said = {
            "expires": stamp(run.began + timedelta(hours=1)), "gate": "window", "incident": "INC-7", "meaning": OVERRIDES,
            "printed_name": who.person.printed_name, "reason": "patients cannot log in", "request_sha256": asked,
            "role": who.person.roles[0], "run": run.name, "signed_at": stamp(run.began), "signer": who.person.email,
        }  # fmt: skip
        bound = self._signed(f"runs/{run.name}/approvals", f"override-window-{who.short}", said, who)
        return "override.signed", {**bound, **_of(said, "signer reason gate incident expires request_sha256 role")}

    def _deviation(self, run: _Run) -> Told:
        who = self.people[1]
        said = {
            "deviation": "rolled back", "meaning": ACCEPTS, "printed_name": who.person.printed_name, "reason": "the old release was good", "role": who.person.roles[0],
            "run": run.name, "signed_at": stamp(run.began), "signer": who.person.email,
        }  # fmt: skip
        bound = self._signed(f"signoffs/{run.name}", f"deviation-{who.short}", said, who)
        return "deviation.accepted", {
            **bound,
            **_of(said, "signer reason role printed_name"),
            "deviation": "rolled back",
        }

    def _signed(self, folder: str, name: str, said: dict[str, str], who: Signatory) -> dict[str, str]:
        text = canonical(said)
        signature = who.sign(text)
        place = self.store / folder
        place.mkdir(exist_ok=True)
        (place / f"{name}.json").write_bytes(text)
        (place / f"{name}.json.sig").write_bytes(signature)
        return {
            "file": f"{folder}/{name}.json",
            "sha256": hashlib.sha256(text).hexdigest(),
            "signature_sha256": hashlib.sha256(signature).hexdigest(),
        }


@dataclass(frozen=True)
class _Run:
    number: int
    name: str
    kind: int
    folder: Path
    began: datetime

    @property
    def commit(self) -> str:
        return hashlib.sha1(f"commit {self.number}".encode(), usedforsecurity=False).hexdigest()

    @property
    def version(self) -> str:
        return f"1.{self.number // 100}.{self.number % 100}"

    @property
    def image(self) -> str:
        return f"diary@sha256:{hashlib.sha256(self.version.encode()).hexdigest()}"

    @property
    def deployer(self) -> str:
        return f"github:{100 + self.number % 7}:dora{self.number % 7}"

    def file(self, name: str, content: dict[str, Any]) -> str:
        text = canonical(content)
        (self.folder / name).write_bytes(text)
        return hashlib.sha256(text).hexdigest()

    def seal(self) -> str:
        """SHA256SUMS, as RunFolder.seal writes it."""
        names = sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file())
        sums = "".join(f"{hashlib.sha256((self.folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
        (self.folder / "SHA256SUMS").write_bytes(sums.encode())
        return hashlib.sha256(sums.encode()).hexdigest()


def _slug(who: Signatory) -> str:
    return who.person.roles[0].lower().replace(" ", "-")


def _of(said: dict[str, str], keys: str) -> dict[str, str]:
    return {key: said[key] for key in keys.split()}
