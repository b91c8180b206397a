"""Whole runs as events, each legal by its schema: what the pages are rendered from in these tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pytest_deploy.record import events
from pytest_deploy.record.event import FIRST_PREV, Event, line_hash, parse_line

COMMIT = "5f1c0a9be2d47e6610c3f6a2f1d7c9b08a34e5d1"
IMAGE = "registry.local/diary@sha256:" + "ab12" * 16
EARLIER = "diary-00002-m4x"
REVISION = "diary-00003-k7q"
CHECKPOINT = "tlog deploy.example.org/local 214 sWqbSSDE4RixX1t3tJIDFUtHBVAp5qhA25nIepRtpgQ="


@dataclass
class RunBuilder:
    """Events of one run, one after the other."""

    run: str = "local-20261122T201500Z-4f1c"
    now: datetime = datetime(2026, 11, 22, 20, 15, tzinfo=UTC)
    events: list[Event] = field(default_factory=list)

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def add(self, type_: str, actor: str = "system:pipeline", **data: Any) -> None:
        """One event now; refused where its data does not fit its type."""
        events.parse(type_, data)
        prev = line_hash(self.events[-1].line()) if self.events else FIRST_PREV
        number = len(self.events) + 120
        made = Event(number, prev, self.now, f"{number:016x}", type_, self.run, actor, data)
        self.events.append(parse_line(made.line()))

    def opened(self, **changes: Any) -> None:
        data: dict[str, Any] = {
            "environment": "local", "pipeline": "deploy", "deployer": "local:1000:ada@laptop", "commit": COMMIT,
            "branch": "main", "version": "1.4.0", "image": None, "rehearsal": False, "dirty": False,
            "request_sha256": None, "workflow_run": None, "plugins": {"pytest": "9.2.0", "pytest-deploy": "0.1.0"},
            "plugins_kept_out": {"pytest-cov": "7.1.0"},
            "config_sha256": "c0" * 32, "spec_sha256": "5e" * 32, "suites_sha256": "50" * 32,
            "lock_sha256": "1c" * 32, "reason": None, "python": "3.11.7", "sets": {},
        }  # fmt: skip
        self.add("run.opened", "local:1000:ada@laptop", **(data | changes))

    def step(self, nodeid: str, seconds: float = 0.2, outcome: str = "passed", **changes: Any) -> None:
        """A step from start to finish."""
        phase = nodeid.split("/")[1]
        self.add("step.started", nodeid=nodeid, phase=phase, changes=changes.pop("changes", False))
        self.wait(seconds)
        data: dict[str, Any] = {
            "nodeid": nodeid, "phase": phase, "outcome": outcome, "duration_s": seconds, "verifies": [],
            "attempts": 1, "message": None, "warnings": [], "expected": None, "actual": None, "attachments": {},
        }  # fmt: skip
        self.add("step.finished", **(data | changes))

    def phase(self, name: str, steps: Mapping[str, Mapping[str, Any]]) -> None:
        """A phase and its steps: node id's tail -> changes of `step`."""
        self.add("phase.started", phase=name)
        began = self.now
        ends = set()
        for tail, changes in steps.items():
            self.step(f"suites/{name}/{tail}", **changes)
            ends.add(changes.get("outcome", "passed"))
        seconds = (self.now - began).total_seconds()
        results = ("still-needed", "passed", "not-applicable")
        failed = not ends <= set(results)
        outcome = "failed" if failed else next(result for result in results if result in ends)
        self.add("phase.finished", phase=name, outcome=outcome, duration_s=seconds)

    def not_run(self, phase: str, *tails: str, cause: str, verifies: tuple[str, ...] = ()) -> None:
        said: dict[str, Any] = {"claims": list(verifies)} if verifies else {}
        for tail in tails:
            self.add("step.not-run", nodeid=f"suites/{phase}/{tail}", phase=phase, cause=cause, **said)

    def gate(self, gate: str, point: str, *, refused: str = "", **inputs: Any) -> None:
        """One verdict of a gate."""
        verdict = "refused" if refused else "passed"
        self.add(
            f"gate.{verdict}", gate=gate, point=point, inputs=inputs, verdict=verdict,
            reason=refused or f"nothing against it, asked at {point}",
            earliest_start="2026-11-23T14:00:00.000Z" if refused else None,
        )  # fmt: skip

    def waits(self, gate: str, **said: Any) -> None:
        """A gate at the lease that time or signatures lift."""
        data = {"inputs": {}, "verdict": "still-needed", "earliest_start": None, **said}
        self.add("gate.refused", gate=gate, point="lease", **data)

    def approval(self, name: str, role: str, signed_at: str = "2026-11-22T19:00:00.000Z") -> None:
        """One signature under the request."""
        signer = f"{name.split(maxsplit=1)[0].lower()}@example.org"
        self.add(
            "approval.signed", signer, file=f"runs/{self.run}/approvals/{role.lower().replace(' ', '-')}-1a2b3c4d.json",
            sha256="a1" * 32, signature_sha256="a2" * 32, role=role, signer=signer, printed_name=name,
            meaning="approves the deployment of this request", signed_at=signed_at, request_sha256="7d" * 32, comment=None,
        )  # fmt: skip

    def override(self, name: str, gate: str) -> None:
        """One person's part of an override."""
        signer = f"{name.split(maxsplit=1)[0].lower()}@example.org"
        self.add(
            "override.signed", signer, file=f"runs/{self.run}/approvals/override-{gate}-1a2b3c4d.json", sha256="b1" * 32,
            signature_sha256="b2" * 32, signer=signer, reason="patients cannot log in", gate=gate, incident="INC-7",
            expires="2026-11-22T21:00:00.000Z", request_sha256="7d" * 32, role="Tech Lead", printed_name=name,
            meaning="answers for passing over this gate, once, for this request", signed_at="2026-11-22T19:30:00.000Z",
        )  # fmt: skip

    def decided(self, outcome: str, cause: str | None = None, **changes: Any) -> None:
        took = round((self.now - self.events[0].time).total_seconds() + 0.8, 3)
        data: dict[str, Any] = {"outcome": outcome, "cause": cause, "duration_s": took, "sla_s": 600.0}
        self.add("run.decided", **(data | changes))


def _until_smoke(builder: RunBuilder) -> None:
    builder.phase(
        "build",
        {
            "test_checks.py::test_lint_finds_nothing": {"seconds": 0.4, "verifies": ["REQ-o00043-E"]},
            "test_checks.py::test_types_are_sound": {"seconds": 1.9, "verifies": ["REQ-o00043-E"]},
            "test_checks.py::test_unit_tests_pass": {"seconds": 2.6, "verifies": ["REQ-o00043-E"]},
            "test_artefact.py::test_artefact_is_built_reproducibly": {"seconds": 0.5, "image": IMAGE},
        },
    )
    builder.add(
        "request.made", request_sha256="7d" * 32, expires="2026-11-23T20:15:06.000Z", requested_by="local:1000:ada@laptop",
        image=IMAGE,
    )  # fmt: skip
    builder.not_run("approval", "test_quorum.py::test_every_role_has_signed", cause="not in this environment's policy")
    builder.add(
        "gate.passed", gate="clock", point="change", inputs={"skew_s": 0.02, "allowed_s": 60}, verdict="passed",
        reason="the clock is 0.02 s off, 60 s are allowed", earliest_start=None,
    )  # fmt: skip
    builder.phase("preflight", {"test_gates.py::test_clock_is_right": {"verifies": ["REQ-o00043-M"]}})
    builder.phase(
        "backup", {"test_backup.py::test_database_is_backed_up": {"seconds": 0.9, "verifies": ["REQ-o00044-J"]}}
    )
    builder.add(
        "backup.created", kind="pg_dump", place=".deploy/backups/local-20261122T201500Z-4f1c.dump", bytes=48_213,
        sha256="ba" * 32, restorable=True,
    )  # fmt: skip
    builder.add("phase.started", phase="migration")
    builder.add(
        "step.started", nodeid="suites/migration/test_apply.py::test_migrations_apply", phase="migration", changes=True
    )
    builder.wait(0.7)
    for version, before in (("0006", "0005"), ("0007", "0006")):
        builder.add(
            "migration.applied", version=version, sha256="0e" * 32, duration_s=0.3,
            schema_before={"version": before, "sha256": "11" * 32}, schema_after={"version": version, "sha256": "22" * 32},
            engine="yandex-pgmigrate 1.0.9",
        )  # fmt: skip
    builder.add(
        "step.finished", nodeid="suites/migration/test_apply.py::test_migrations_apply", phase="migration",
        outcome="passed", duration_s=0.7, verifies=["REQ-o00044-A", "REQ-o00044-B", "REQ-o00044-R"], attempts=1,
        message=None, warnings=[], expected="0007", actual="0007", attachments={"schema/diff.txt": "d1" * 32},
    )  # fmt: skip
    builder.add("phase.finished", phase="migration", outcome="passed", duration_s=0.7)
    builder.phase(
        "deploy",
        {
            "test_revision.py::test_revision_starts_without_traffic": {
                "seconds": 1.2,
                "changes": True,
                "verifies": ["REQ-o00043-G"],
            }
        },
    )
    builder.add("revision.deployed", revision=REVISION, image=IMAGE, url="http://tag.local", env_names=["FAULT"])


WATCH = {
    "watch_s": 2.0,
    "samples": {
        "GET /health": [
            [0.0, 0.0041, 200],
            [0.25, 0.0038, 200],
            [0.5, 0.031, 200],
            [0.75, 30.0, 0],
            [1.0, 0.0052, 503],
            [1.25, 0.0044, 200],
        ]
    },
}
SMOKE: dict[str, dict[str, Any]] = {
    "test_database.py::test_database_answers_within_two_seconds": {
        "seconds": 0.05, "verifies": ["REQ-o00043-H"], "measured": {"limit_s": 2.0, "samples": {"select 1": [[0.0, 0.0009, None]]}}},
    "test_api.py::test_health_answers_200": {"seconds": 0.03, "verifies": ["REQ-o00043-H"], "expected": 200, "actual": 200},
    "test_features.py::test_valid_credentials_are_accepted": {"seconds": 0.3, "verifies": ["REQ-o00043-H"]},
    "test_features.py::test_audit_rows_appear": {"seconds": 0.2, "verifies": ["REQ-o00043-H"], "attempts": 2,
                                                 "warnings": ["passed at the second attempt"]},
}  # fmt: skip
LATER = {
    "traffic": ["test_shift.py::test_traffic_moves_in_steps", "test_shift.py::test_serving_digest_is_the_approved_one"],
    "integration": ["test_diary.py::test_an_entry_is_written_and_read"],
    "health": ["test_watch.py::test_service_stays_well"],
}
FAILURE = """\
service = <Service http://tag.local>

    def test_valid_credentials_are_accepted(service):
>       assert service.log_in(account).status == 200
E       assert 500 == 200
E        +  where 500 = <Response 500 'internal error'>.status"""


def deployed(**opened: Any) -> list[Event]:
    """A deployment that went well."""
    builder = RunBuilder()
    builder.opened(**opened)
    builder.add("run.planned", steps=14, conditional=5, steps_sha256="9a" * 32)
    _until_smoke(builder)
    builder.phase("smoke", SMOKE)
    builder.add("traffic.moved", before={EARLIER: 100}, after={EARLIER: 50, REVISION: 50}, digest=None)
    builder.add(
        "traffic.moved", before={EARLIER: 50, REVISION: 50}, after={REVISION: 100}, digest=IMAGE.partition("@")[2]
    )
    builder.phase(
        "traffic", {tail: {"seconds": 0.4, "changes": True, "verifies": ["REQ-o00043-G"]} for tail in LATER["traffic"]}
    )
    builder.phase("integration", {LATER["integration"][0]: {"seconds": 0.6}})
    builder.phase("health", {LATER["health"][0]: {"seconds": 2.1, "verifies": ["REQ-o00043-L"], "measured": WATCH}})
    builder.not_run(
        "rollback", "test_undo.py::test_traffic_returns", cause="nothing to undo", verifies=("REQ-o00043-I",)
    )
    builder.decided("deployed", watch_s=2.0)
    return builder.events


def planned() -> list[Event]:
    """The plan that made the request of `approved`."""
    builder = RunBuilder(run="local-20261122T180000Z-71a0")
    builder.opened(pipeline="plan")
    builder.add("run.planned", steps=3, conditional=0, steps_sha256="9a" * 32)
    builder.gate("approvals", "plan", refused="missing: Tech Lead, QA Lead", needed=["Tech Lead", "QA Lead"])
    builder.gate("window", "plan", refused="the window opens Monday 09:00", zone="America/New_York", days=["Monday"])
    builder.decided(
        "still-needed", request="local-20261122T190000Z-0b5d", earliest_start=None, owed=["approval missing"]
    )
    return builder.events


def approved() -> list[Event]:
    """A run that people approved and whose window two of them passed over; asked at the lease, in preflight, before a change."""
    builder = RunBuilder(run="local-20261122T190000Z-0b5d")
    builder.add(
        "request.made", request_sha256="7d" * 32, expires="2026-11-23T20:15:06.000Z", requested_by="local:1000:ada@laptop",
        image=IMAGE, plan="local-20261122T180000Z-71a0",
    )  # fmt: skip
    builder.approval("Tina Lead", "Tech Lead")
    builder.approval("Quinn Assured", "QA Lead", "2026-11-22T19:10:00.000Z")
    builder.override("Tina Lead", "window")
    builder.override("Max Manager", "window")
    builder.gate("approvals", "lease", needed=["Tech Lead", "QA Lead"], filled={"Tech Lead": "tina@example.org"})
    builder.gate("window", "lease", zone="America/New_York", override={"by": ["tina", "max"], "refused": "closed"})
    builder.wait(30)
    builder.opened(request_sha256="7d" * 32, image=IMAGE, ticket="CHG-12", reason="monthly release", rehearsal=True)
    builder.add("run.planned", steps=2, conditional=0, steps_sha256="9a" * 32)
    builder.gate("approvals", "lease", needed=["Tech Lead", "QA Lead"])
    builder.gate("window", "lease", zone="America/New_York", override={"by": ["tina", "max"], "refused": "closed"})
    builder.phase("preflight", {"test_gates.py::test_window": {"verifies": ["REQ-o00043-J"]}})
    builder.gate("approvals", "change", needed=["Tech Lead", "QA Lead"])
    builder.gate("window", "change", refused="the override has run out", zone="America/New_York")
    builder.not_run("deploy", "test_revision.py::test_made", "test_revision.py::test_up", cause="a gate refused")
    builder.decided("refused", "before the first change: window", duration_s=1.0)
    return builder.events


UNSIGNED = {
    "reason": "approval missing: QA Lead",
    "remedy": "pytest-deploy approve production-20261122T190000Z-0b5d",
}
CLOSED = {"reason": "the window opens Monday 09:00", "earliest_start": "2026-11-23T14:00:00.000Z"}


def refused_start(run: str = "production-20261122T190000Z-0b5d", **made: Any) -> list[Event]:
    """A request that was started twice before it was signed, and out of the window; at the second start one had signed."""
    builder = RunBuilder(run=run)
    said: dict[str, Any] = {
        "request_sha256": "7d" * 32, "expires": "2026-11-23T20:15:06.000Z", "requested_by": "local:1000:ada@laptop",
        "environment": "production", "pipeline": "deploy", "commit": COMMIT, "branch": "main", "version": "1.4.0",
        "image": IMAGE, "plan": "production-20261122T180000Z-71a0", "reason": "monthly release", "ticket": "CHG-12",
    }  # fmt: skip
    builder.add("request.made", **(said | made))
    for start in (1, 2):
        builder.wait(60)
        if start == 2:
            builder.approval("Tina Lead", "Tech Lead")
        builder.gate("deployer", "lease", who="local:1000:dora@desk", role="Deployment Manager")
        missing = {**UNSIGNED, "reason": "approval missing: Tech Lead, QA Lead"} if start == 1 else UNSIGNED
        builder.waits("approvals", **missing)
        builder.waits("window", **CLOSED)
        if start == 1:
            builder.gate("retention", "lease", refused="the bucket is not locked")
        else:
            builder.gate("retention", "lease")
    return builder.events


def drifted() -> list[Event]:
    """The same request, started once more after the policy had changed."""
    events = refused_start()
    builder = RunBuilder(run=events[0].run, now=events[-1].time, events=events)
    builder.wait(60)
    differences = ["commit was 5f1c, is 6a2d", "policy_sha256 was <c0>, is <c1>"]
    builder.add("request.voided", cause="drift", request_sha256="7d" * 32, detail=differences, by=builder.run)
    return builder.events


def post_run(events: list[Event]) -> list[Event]:
    """What is recorded of a run after its decision, continuing its events."""
    builder = RunBuilder(run=events[0].run, now=events[-1].time, events=list(events))
    builder.add("run.closed", outcome="deployed", record=f"runs/{builder.run}", record_sha256="5e" * 32, missing=[])
    builder.add("notification.sent", channel="mail", subject="deployed", anchor=CHECKPOINT)
    signed = {
        "file": f"signoffs/{builder.run}/qa-lead-1a2b3c4d.json",
        "sha256": "c1" * 32,
        "signature_sha256": "c2" * 32,
    }
    builder.add(
        "signoff.signed", "quinn@example.org", **signed, role="QA Lead", signer="quinn@example.org",
        meaning="has reviewed this record", record_sha256="5e" * 32, printed_name="Quinn Assured",
        signed_at="2026-11-24T09:00:00.000Z",
    )  # fmt: skip
    builder.add(
        "record.amended", "quinn@example.org", **signed, signer="quinn@example.org", reason="the ticket was left out",
        amends=events[0].seq, key="ticket", old=None, new="CHG-12", printed_name="Quinn Assured", role="QA Lead",
    )  # fmt: skip
    builder.add(
        "deviation.accepted", "quinn@example.org", **signed, signer="quinn@example.org", reason="known, harmless",
        deviation="passed at the second attempt", role="QA Lead",
    )  # fmt: skip
    builder.add("record.read", reader="inspector", purpose="inspection", place="/media/stick")
    return builder.events[len(events) :]


def rolled_back(*, target: str = "1.3.2") -> list[Event]:
    """A deployment whose smoke tests failed."""
    builder = RunBuilder(run="local-20261122T214000Z-9e07")
    builder.opened(dirty=True, sets={"service.env.FAULT": "login"}, version="1.4.0-3-gdeadbee")
    builder.add("run.planned", steps=14, conditional=5, steps_sha256="9a" * 32)
    _until_smoke(builder)
    smoke = {key: dict(value) for key, value in SMOKE.items()}
    smoke["test_features.py::test_valid_credentials_are_accepted"] |= {
        "outcome": "failed", "message": FAILURE, "expected": 200, "actual": 500,
    }  # fmt: skip
    builder.phase("smoke", smoke)
    for phase, tails in LATER.items():
        builder.not_run(phase, *tails, cause="smoke failed")
    builder.add(
        "rollback.started", cause="smoke: valid credentials are accepted failed", order=["traffic-first"], target=target
    )
    builder.phase(
        "rollback",
        {
            "test_undo.py::test_traffic_returns": {"seconds": 0.5, "changes": True, "verifies": ["REQ-o00043-I"]},
            "test_undo.py::test_migrations_go_down": {"seconds": 0.6, "changes": True, "verifies": ["REQ-o00044-G"]},
        },
    )
    builder.add("traffic.moved", before={EARLIER: 100}, after={EARLIER: 100}, digest="sha256:" + "cd" * 32)
    builder.add(
        "migration.rolled-back", version="0007", sha256="0e" * 32, duration_s=0.2,
        schema_before={"version": "0007", "sha256": "22" * 32}, schema_after={"version": "0006", "sha256": "11" * 32},
        engine="pytest-deploy 0.1.0",
    )  # fmt: skip
    builder.add("rollback.finished", outcome="rolled-back", duration_s=1.4, target=target)
    builder.decided("rolled-back", "smoke: valid credentials are accepted failed")
    return builder.events
