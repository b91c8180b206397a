"""Records for tests: a clock set by hand, the data of each event, and whole runs written through the real log."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pytest_deploy.policy.asked_gates import Asked
from pytest_deploy.record import preimages
from pytest_deploy.record.bucket import Bucket, MirroredStore
from pytest_deploy.record.clock import Clock, SystemClock, stamp
from pytest_deploy.record.event import canonical
from pytest_deploy.record.events import parse
from pytest_deploy.record.lease import Lease, take
from pytest_deploy.record.log import Log
from pytest_deploy.record.open_record import open_record
from pytest_deploy.record.run_folder import RunFolder
from pytest_deploy.record.run_id import new_run_id
from pytest_deploy.record.store import FolderStore, Store

ORIGIN = "deploy.example.org/local"
ACTOR = "system:pipeline"
PERSON = "local:1000:ada@desk"
SHA = hashlib.sha256(b"").hexdigest()
IMAGE = f"diary@sha256:{SHA}"
"""What the sample request names."""
NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


class HandClock:
    """A clock that stands until it is moved."""

    def __init__(self, start: datetime = NOON) -> None:
        self.instant = start
        self.seconds = 0.0

    def now(self) -> datetime:
        return self.instant

    def monotonic(self) -> float:
        return self.seconds

    def move(self, seconds: float) -> None:
        self.instant += timedelta(seconds=seconds)
        self.seconds += max(seconds, 0.0)


def open_log(home: Path, clock: Clock | None = None, *, new_record: str = "") -> Log:
    """The log of the store in `home/reports/local`, its key beside it."""
    return _open(home, FolderStore(home / "reports" / "local"), clock, new_record=new_record)


def open_log_in_bucket(home: Path, bucket: str, prefix: str, machine: str) -> Log:
    """The log in a bucket, its copy in `home/MACHINE`, as on a machine of its own."""
    return _open(home, MirroredStore(Bucket(bucket, prefix), home / machine))


def _open(home: Path, store: Store, clock: Clock | None = None, *, new_record: str = "") -> Log:
    return open_record(
        store,
        origin=ORIGIN,
        key_file=home / "keys" / "local.pem",
        clock=SystemClock() if clock is None else clock,
        actor=ACTOR,
        new_record=new_record,
    )


def opened_data(pipeline: str = "deploy", **changes: Any) -> dict[str, Any]:
    """The data of run.opened."""
    return {
        "environment": "local",
        "pipeline": pipeline,
        "deployer": PERSON,
        "commit": "0" * 40,
        "branch": "main",
        "version": "1.2.0",
        "image": None,
        "rehearsal": False,
        "dirty": False,
        "request_sha256": None,
        "workflow_run": None,
        "plugins": {},
        "config_sha256": SHA,
        "spec_sha256": SHA,
        "suites_sha256": SHA,
        "lock_sha256": SHA,
        "reason": None,
        **changes,
    }


def policy_text(**rules: Any) -> bytes:
    """The text of a policy that leaves the approval phase out and has no rule for any gate, but those given."""
    none = dict.fromkeys(("deployer", "window", "blackout", "rate_limit", "staging_smoke", "incidents"))
    none["freeze_after_rollback"] = False
    asks: dict[str, Any] = {"approval": {"roles": []}, "phases": {"leave_out": ["approval"]}}
    keeps = {"retention": {"locked": False}, "anchors": {"required": False}}
    return json.dumps({**none, **asks, **keeps, **rules}, sort_keys=True, separators=(",", ":")).encode()


PLANNED: dict[str, Any] = {"steps": 2, "conditional": 0, "steps_sha256": SHA}


def step_started(nodeid: str, phase: str, *, changes: bool = False) -> dict[str, Any]:
    return {"nodeid": nodeid, "phase": phase, "changes": changes}


def step_finished(nodeid: str, phase: str, outcome: str = "passed") -> dict[str, Any]:
    return {
        "nodeid": nodeid,
        "phase": phase,
        "outcome": outcome,
        "duration_s": 0.25,
        "verifies": [],
        "attempts": 1,
        "message": None,
        "warnings": [],
        "expected": None,
        "actual": None,
        "attachments": {},
    }


def phase_finished(phase: str, outcome: str = "passed") -> dict[str, Any]:
    return {"phase": phase, "outcome": outcome, "duration_s": 0.5}


def verdict(gate: str, result: str, point: str = "lease", **changes: Any) -> dict[str, Any]:
    """The data of what a gate said."""
    return {
        "gate": gate,
        "point": point,
        "inputs": {},
        "verdict": result,
        "reason": "so it is",
        "earliest_start": None,
        **changes,
    }


def decided(outcome: str, **changes: Any) -> dict[str, Any]:
    return {"outcome": outcome, "cause": None, "duration_s": 2.0, "sla_s": 1200, **changes}


def closed(outcome: str, run: str, record_sha256: str = SHA) -> dict[str, Any]:
    return {"outcome": outcome, "record": f"runs/{run}/SHA256SUMS", "record_sha256": record_sha256, "missing": []}


MOVED: dict[str, Any] = {"before": {}, "after": {"diary-00001": 100}, "digest": f"sha256:{SHA}"}


class RunWriter:
    """One run being written."""

    def __init__(self, log: Log, run: str = "", pipeline: str = "deploy") -> None:
        self.log = log
        self.run = run or new_run_id("local", log.clock)
        self.pipeline = pipeline
        self.folder = RunFolder(log.store, self.run)
        self.lease: Lease | None = None
        self.policy = policy_text()
        """What it is judged by; to be set before it opens."""
        self.gates_asked = False
        """Whether the gates were asked before the first change; set by hand, they are not."""

    def add(self, event_type: str, data: dict[str, Any]) -> int:
        """Append one event of the run; returns its seq."""
        return self.log.append(parse(event_type, data), run=self.run, actor=ACTOR).seq

    def open(self, **changes: Any) -> RunWriter:
        """The lease, run.opened and run.planned."""
        if self.pipeline != "plan":
            self.lease = take(self.log, self.run, name="local", actor=PERSON)
        return self.open_under_lease(**changes)

    def open_under_lease_of(self, lease: Lease) -> RunWriter:
        """The same under a lease taken elsewhere, given back at the end."""
        self.lease = lease
        return self.open_under_lease()

    def open_under_lease(self, **changes: Any) -> RunWriter:
        """Only run.opened and run.planned."""
        if "preimages" not in changes:
            changes["preimages"] = preimages.keep(self.log.store, {"policy.json": self.policy})
        self.add("run.opened", opened_data(self.pipeline, **changes))
        self.add("run.planned", PLANNED)
        return self

    def step(self, phase: str, *, changes: bool = False, outcome: str = "passed") -> RunWriter:
        """A phase of one step."""
        nodeid = f"suites/{phase}/test_{phase}.py::test_it"
        if changes and phase != "rollback" and not self.gates_asked:
            self.ask_gates()
        self.add("phase.started", {"phase": phase})
        self.add("step.started", step_started(nodeid, phase, changes=changes))
        if changes and phase != "rollback":
            self.add("traffic.moved", MOVED)
        self.add("step.finished", step_finished(nodeid, phase, outcome))
        alike = outcome in {"passed", "still-needed", "not-applicable"}
        self.add("phase.finished", phase_finished(phase, outcome if alike else "failed"))
        return self

    def ask_gates(self, point: str = "change", /, **answers: dict[str, Any]) -> RunWriter:
        """Every gate's verdict: passed, or not applicable where policy has no rule; `answers`: data of those that say more."""
        self.gates_asked = True
        asked = Asked.of(self.policy)
        for gate in asked.gates(self.pipeline):
            result = "passed" if gate in asked.rules(self.pipeline) else "not-applicable"
            said = {**verdict(gate, result, point), **answers.get(gate.replace("-", "_"), {})}
            event_type = "gate.refused" if said["verdict"] == "still-needed" else f"gate.{said['verdict']}"
            self.add(event_type, said)
        return self

    def request(self, *, says: Mapping[str, Any] | None = None, **changes: Any) -> RunWriter:
        """The run's request and its file, which `says` more; `changes` of what its event says."""
        policy = hashlib.sha256(self.policy).hexdigest()
        asked = {key: opened_data()[key] for key in ("commit", "environment", "version")}
        what = {"artefact": {"image": IMAGE}, "migrations": [{"name": "mood", "sha256": SHA, "version": "0008"}]}
        text = canonical({**asked, **what, "policy_sha256": policy, "run": self.run, **(says or {})})
        self.folder.create("request.json", text)
        expires = stamp(self.log.clock.now() + timedelta(hours=4))
        sha256 = hashlib.sha256(text).hexdigest()
        self.add("request.made", {"request_sha256": sha256, "expires": expires, "requested_by": PERSON, **changes})
        return self

    def planned_request(
        self, outcome: str = "passed", *, says: Mapping[str, Any] | None = None, **changes: Any
    ) -> RunWriter:
        """The same, made by a plan that ended so."""
        plan = RunWriter(self.log, pipeline="plan").open().step("build")
        self.request(says=says, plan=plan.run, **changes)
        plan.add("run.decided", decided(outcome, request=self.run))
        return self

    def finish_left_open(self, nodeid: str, phase: str) -> RunWriter:
        """End a step and its phase whose process died."""
        self.add("step.finished", step_finished(nodeid, phase, "error"))
        self.add("phase.finished", phase_finished(phase, "failed"))
        return self

    def roll_back(self) -> RunWriter:
        """A rollback that works."""
        self.add("rollback.started", {"cause": "smoke failed", "order": ["traffic"], "target": None})
        self.add("rollback.finished", {"outcome": "rolled-back", "duration_s": 1.0, "target": None})
        return self

    def close(self, outcome: str) -> str:
        """The decision, the sealed folder, the end; returns the run."""
        self.add("run.decided", decided(outcome))
        self.folder.create("report.html", b"<!doctype html><title>report</title>\n")
        self.add("run.closed", closed(outcome, self.run, self.folder.seal()))
        if self.lease is not None:
            self.lease.release()
        return self.run


def deployed(log: Log) -> str:
    """A deployment that works, from lease to release; returns the run."""
    return RunWriter(log).open().step("build").request().step("traffic", changes=True).close("deployed")
