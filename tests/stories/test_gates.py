"""Production moves only when it may: each gate refused and permitted by the commands people type, and nothing else moves."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pytest_deploy.policy.asked_gates import GATE_NAMES
from pytest_deploy.record.actor import local_user
from pytest_deploy.record.bucket import Bucket, MirroredStore, copy_of
from pytest_deploy.record.clock import Clock, ShiftedClock, SystemClock
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import parse
from pytest_deploy.record.log import Log
from pytest_deploy.record.log_entry import Checkpoint, SignedCheckpoint
from pytest_deploy.record.open_record import open_record
from pytest_deploy.record.run_id import NO_RUN, new_run_id
from pytest_deploy.record.store import FolderStore
from tests.fake_gcs import asking
from tests.locked_bucket import SEVEN_YEARS_S, LockedBucket, locked_bucket
from tests.project_checkout import Checkout
from tests.stories.output_assertions import COLOURED, assert_outputs_agree
from tests.stories.production_record import ProductionRecord
from tests.stories.rehearsed_checkout import BUCKET, CHRISTMAS_EVE, TUESDAY, RehearsedCheckout, in_a_bucket
from tests.stories.requirement_credit import Kind, assert_credited
from tests.unit.record.sample_record import ACTOR, RunWriter, deployed, open_log

HOUR = timedelta(hours=1)


@pytest.fixture
def bucket() -> Iterator[LockedBucket]:
    """Where production's record lies in these stories: a bucket that refuses replace and delete."""
    with locked_bucket(BUCKET) as (standing, url), asking(url):
        yield standing


def test_a_plan_names_every_refusal_and_touches_nothing(
    checkout: Checkout, tmp_path: Path, bucket: LockedBucket
) -> None:
    """Whatever can stand in the way does: no gate hides behind another."""
    production = in_a_bucket(checkout)
    bucket.period_s, bucket.may = SEVEN_YEARS_S - 1, frozenset({"storage.objects.delete"})
    _anchor_more_than_there_is(production)
    _enroll_somebody(production, tmp_path)
    _stand_in_the_way(production)
    before = production.checkout.standing()

    ran = production.plan(
        CHRISTMAS_EVE,
        COLOURED,
        '--deploy-set=service.checks.lint=["false"]',
        '--deploy-set=incidents={"within_h": 24, "command": ["false"]}',
        '--deploy-set=administrators={"database": {}}',
    )

    assert ran.code == 1, ran.said
    verdicts = production.verdicts("plan")
    assert set(GATE_NAMES) - {"clock"} == production.refused("plan"), ran.said
    waiting = {gate for gate, verdict in verdicts.items() if verdict["verdict"] == "still-needed"}
    assert waiting - {"lease"} == {"window", "blackout"}, ran.said  # a lease waits until it has run out
    said = {gate: verdicts[gate]["reason"] for gate in production.refused("plan")}
    for gate, part in {
        "approvals": "nobody is left to sign as Tech Lead",
        "incidents": "incidents.command false failed with 1",
        "blackout": "Christmas",
        "freeze": "somebody must look at it",
        "retention": "1 s less than the 220924800 s",
        "anchors": "knows 9999 events, ",
        "administrators": "postgres administers the database (bypassrls, createrole, owner, superuser) and is not listed",
    }.items():
        assert part in said[gate], said[gate]
    assert_outputs_agree(production.checkout, production.checkout.last_run(), ran.stdout)
    unsaid = [gate for gate, reason in said.items() if reason.splitlines()[0][:60] not in ran.stdout]
    assert unsaid == [], ran.said
    assert [e for e in production.checkout.events() if e.type == "request.made"] == []
    assert before == production.checkout.standing()
    assert (before.migrations, before.status) == ((), 503)


def _enroll_somebody(production: RehearsedCheckout, folder: Path) -> None:
    """A roster that can never satisfy the policy: nobody of it may deploy, nor sign as the Tech Lead."""
    key = folder / "key"
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(words, check=True, capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
    who = ("--person=quinn@example.org", "--name=Quinn Quist", "--role=QA Lead")
    known = (f"--local={local_user()}", "--git=story@example.org")
    rest = ("--public-key", f"{key}.pub", "--reason", "OPS-1")
    ran = production.checkout.deploy_py("keys", "enroll", "production", "--rehearse", *who, *known, *rest)
    assert ran.code == 0, ran.said


def _anchor_more_than_there_is(production: RehearsedCheckout) -> None:
    """A checkpoint outside of a record that is longer: what is here was cut."""
    origin = "deploy.example.org/rehearsal/production"
    longer = SignedCheckpoint(Checkpoint(origin, 9999, bytes(32)), bytes(4), bytes(64))
    folder = production.checkout.path / ".deploy" / "anchors" / "rehearsal" / "production" / "anchors"
    folder.mkdir(parents=True)
    (folder / "00009999.checkpoint").write_text(longer.text, encoding="utf-8")


def _stand_in_the_way(production: RehearsedCheckout) -> None:
    """A run of somebody else's that is open, and a freeze."""
    log = _record(production, SystemClock())
    run = RunWriter(log, new_run_id("production", log.clock, rehearsal=True)).open()
    log.append(parse("environment.frozen", {"reason": "somebody must look at it"}), run=run.run, actor=ACTOR)


def _record(production: RehearsedCheckout, clock: Clock) -> Log:
    path = production.checkout.store
    return open_record(
        MirroredStore(Bucket(BUCKET, "rehearsal/production"), path) if copy_of(path) else FolderStore(path),
        origin="deploy.example.org/rehearsal/production",
        key_file=production.checkout.path / ".deploy" / "keys" / "rehearsal-production.pem",
        clock=clock,
        actor=ACTOR,
    )


@pytest.mark.faults
def test_a_machine_whose_clock_is_behind_its_record_deploys_nothing(checkout: Checkout) -> None:
    production = RehearsedCheckout.of(checkout, "production")
    ahead = _record(production, ShiftedClock(SystemClock(), timedelta(minutes=10)))
    ahead.append(parse("alert.raised", {"alert": "clock", "detail": "ten minutes ahead"}), run=NO_RUN, actor=ACTOR)
    before = production.checkout.bytes_below("reports/rehearsal/production/log")

    ran = production.plan(TUESDAY)

    assert ran.code == 3, ran.said
    assert "INTERNALERROR" not in ran.said
    assert "set the clock; if the log is what is wrong: `" in ran.said
    assert "deploy.py recover production --rehearse --clock`" in ran.said
    assert before == production.checkout.bytes_below("reports/rehearsal/production/log")

    mended = checkout.deploy_py("recover", "production", "--rehearse", "--clock")
    assert mended.code == 0, mended.said
    assert "the record's time starts again at" in mended.stdout
    assert production.plan(TUESDAY).code == 1
    assert production.verdicts("plan")["clock"]["verdict"] == "passed"


def test_the_record_of_another_environment_is_not_this_ones_and_that_is_said_in_words(checkout: Checkout) -> None:
    """Not even with its key beside it: the origin is signed too. A sponsor's production shares all but that."""
    production, sponsor = (
        RehearsedCheckout.of(checkout, "production"),
        RehearsedCheckout.of(checkout, "sponsor-example"),
    )
    _record(production, SystemClock()).head()
    keys = checkout.path / ".deploy" / "keys"
    shutil.copytree(production.checkout.store, sponsor.checkout.store)
    shutil.copy(keys / "rehearsal-production.pem", keys / "rehearsal-sponsor-example.pem")

    ran = sponsor.plan(TUESDAY)

    assert ran.code == 3, ran.said
    assert "Stopped: nothing was started: " in ran.said
    assert "_pytest.outcomes" not in ran.said
    assert "is not signed by this log's key (deploy.example.org/rehearsal/sponsor-example+" in ran.said
    assert "INTERNALERROR" not in ran.said


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "with workers"])
def test_a_record_whose_key_is_gone_starts_nothing_and_that_is_said_in_words(
    checkout: Checkout, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    """Where nothing is approved the record is opened with the run: what is wrong with it is found there."""
    deployed(open_log(tmp_path))
    shutil.copytree(tmp_path / "reports" / "local", checkout.store)
    before = checkout.bytes_below("reports/local")

    ran = checkout.deploy(*workers)

    assert ran.code == 3, ran.said
    assert "not started: the log's key" in ran.stdout
    assert re.search(r"^not started in \d+\.\d s · exit 3$", ran.stdout, re.MULTILINE), ran.said
    assert "Stopped: not started" in ran.stdout
    for unwanted in ("INTERNALERROR", "_pytest.outcomes", "deploy.py recover", "report  "):
        assert unwanted not in ran.said
    assert before == checkout.bytes_below("reports/local")


def test_production_moves_when_staging_people_and_time_allow_it_and_not_before(production: ProductionRecord) -> None:
    """What was refused on the way is shown where the record is made (`move_production`); this is what it says in the end."""
    said: dict[str, dict[str, list[str]]] = {}
    for event in production.events():
        if event.run == production.run and event.type.startswith("gate."):
            of_gates = said.setdefault(event.data["point"], {})
            of_gates.setdefault(event.data["gate"], []).append(event.data["verdict"])

    assert said["lease"]["approvals"][:4] == ["still-needed", "still-needed", "passed", "passed"]
    assert said["lease"]["window"][:4] == ["passed", "passed", "still-needed", "passed"]
    for point in ("lease", "change"):
        assert set(GATE_NAMES) == set(said[point])
        assert {"passed", "not-applicable"} >= {verdicts[-1] for verdicts in said[point].values()}
    assert production.run in {event.run for event in production.events() if event.type == "run.opened"}
    # Each of the four refused starts left a page, which the seal binds with all else.
    folder = production.store / "runs" / production.run
    pages = {f"refused/{page.name}" for page in (folder / "refused").iterdir()}
    sealed = {line.partition("  ")[2] for line in (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()}
    assert len(pages) == 4
    assert pages <= sealed


def test_a_plan_that_waits_and_the_deployment_after_it_are_in_every_output_what_they_are(
    production: ProductionRecord,
) -> None:
    """Unsigned, the plan's approvals are green nowhere."""
    for run in (production.plan, production.run):
        assert_outputs_agree(production.checkout, run, production.terminal(run))

    assert production.checkout.decided(production.plan)["outcome"] == "still-needed"
    ends = production.checkout.step_outcomes(production.plan)
    assert [nodeid for nodeid, end in ends.items() if end == "still-needed"] == [
        "pytest_deploy/suites/approval/test_approvals.py::test_approvals"
    ]


def test_each_rehearsal_credits_what_it_exercised_and_nothing_else(production: ProductionRecord) -> None:
    """What a rehearsal replaces, and what its environment has no rule for, is credited by none."""
    kinds: tuple[tuple[str, Kind, Kind], ...] = (
        ("staging", "staging plan", "staging"),
        ("production", "production plan", "production"),
    )
    for environment, of_plan, of_run in kinds:
        events = production.events(environment)
        plan, run = (event.run for event in events if event.type == "run.opened")
        assert_credited([event for event in events if event.run == plan], of_plan)
        assert_credited([event for event in events if event.run == run], of_run)


@pytest.mark.faults
def test_the_next_one_waits_its_time_and_for_whoever_went_before(checkout: Checkout) -> None:
    """The rate limit, and a killed run that is in everybody's way until it is recovered."""
    staging, production = RehearsedCheckout.of(checkout, "staging"), RehearsedCheckout.of(checkout, "production")
    staging.deployed(TUESDAY - 2 * HOUR, "QA Lead")
    production.deployed(TUESDAY, "Tech Lead", "QA Lead")
    checkout.commit("The next release")
    staging.deployed(TUESDAY, "QA Lead")

    request = production.planned(TUESDAY + HOUR, "Tech Lead", "QA Lead")
    assert {"approvals", "rate-limit"} == production.refused("plan")
    assert production.run(request, TUESDAY + HOUR).code == 1
    assert {"rate-limit"} == production.refused("lease", request)

    killed = production.start(TUESDAY + 4.2 * HOUR, f"--deploy-run={request}")
    killed.until(lambda: any(e.data["phase"] == "smoke" for e in _phases(production, request)))
    killed.kill()
    production.plan(TUESDAY + 5 * HOUR)  # while the lease lives it is waited for; then a recovery is owed
    assert {"lease", "rate-limit", "window"} <= production.refused("plan")
    assert "rolled-back" in checkout.deploy_py("recover", "production", "--rehearse").said

    assert checkout.deploy_py("verify", "reports/rehearsal/production").code == 0


def _phases(rehearsed: RehearsedCheckout, run: str) -> list[Event]:
    return [event for event in rehearsed.checkout.events(run) if event.type == "phase.started"]
