"""What a killed update leaves under Pulumi's real engine, and how it is made good."""

from __future__ import annotations

import os
import signal
import socket
import time
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from pytest_deploy.errors import ManualInterventionRequired, PendingOperations, StackLocked
from pytest_deploy.platform.infrastructure import InterruptedUpdate
from pytest_deploy.platform.pulumi.recovery import Lock
from tests.pulumi_project import (
    BUCKET,
    CHANNEL,
    DATABASE,
    DEADLINE_S,
    Project,
    interrupted_just_now,
    update_in_background,
)

NEW_BUCKET = (
    "storage.py",
    '    pulumi.export("recordBucket"',
    '    storage.Bucket("uploads", **_place(settings, "uploads"))\n    pulumi.export("recordBucket"',
)
NEW_CHANNEL = (
    "alerts.py",
    '    _alert(\n        "failing-answers"',
    """\
    monitoring.NotificationChannel("second", type="email", display_name="second", project=settings.project)
    _alert(
        "failing-answers\"""",
)
TIER = ("database.py", '"tier": settings.database_tier', '"tier": "db-custom-4-15360"')
UPLOADS = "example-diary-test-uploads"


def kill_within(project: Project, kind: str, *, done_first: bool) -> None:
    """Send kill -9 to the run and to the engine, while Google makes or changes a resource of this type."""
    gate = project.google.stop_at(kind, done_first=done_first)
    with update_in_background(project) as run:
        if not gate.reached.wait(120):
            run.kill()
            pytest.fail(f"no call came: {run.communicate()[0]}")
        # The run first, or it would stop the engine in order; then all that it started, the engine among it.
        family = psutil.Process(run.pid).children(recursive=True)
        for process in [psutil.Process(run.pid), *family]:
            process.send_signal(signal.SIGKILL)
        psutil.wait_procs(family, timeout=30)
    del project.google.gates[kind]
    gate.opened.set()


class TestKilledWithinCreate:
    def test_a_plan_refuses_and_recovery_imports_what_was_made(self, project: Project) -> None:
        good = project.release("good")
        before = project.stack.state(good)
        project.edit(*NEW_BUCKET)
        kill_within(project, BUCKET, done_first=True)

        (pending,) = project.stack.state(project.program).pending
        with pytest.raises(PendingOperations, match="creating gcp:storage/bucket:Bucket uploads"):
            project.stack.preview(project.program)
        assert len(project.locks()) == 1
        recovered = project.stack.recover(project.program, interrupted=interrupted_just_now(), message="recover r-1")

        assert len(recovered.locks_removed) == 1
        assert project.locks() == []
        assert recovered.imported == {pending.urn: UPLOADS}
        assert recovered.absent == ()
        assert project.stack.state(project.program).pending == ()
        assert project.stack.preview(project.program).changes == ()
        assert project.google.ids(BUCKET).count(UPLOADS) == 1
        # And then the last good release's program leads back.
        project.stack.restore(good, to=before, message="rollback of r-1", deadline_s=DEADLINE_S)
        assert project.stack.state(good) == before
        assert UPLOADS not in project.google.ids(BUCKET)

    @pytest.mark.faults
    def test_what_was_not_made_is_struck_off_because_the_provider_says_so(self, project: Project) -> None:
        before = project.stack.state(project.program)
        good = project.release("good")
        project.edit(*NEW_BUCKET)
        kill_within(project, BUCKET, done_first=False)
        time.sleep(0.5)  # the stopped call goes on in the API's thread
        project.google.resources.pop((BUCKET, UPLOADS), None)

        recovered = project.stack.recover(project.program, interrupted=interrupted_just_now(), message="recover r-1")

        assert recovered.imported == {}
        assert [urn.rpartition("::")[2] for urn in recovered.absent] == ["uploads"]
        assert project.stack.state(good) == before

    @pytest.mark.faults
    def test_an_id_that_google_gives_is_asked_of_a_person(self, project: Project) -> None:
        project.edit(*NEW_CHANNEL)
        (known,) = project.google.ids(CHANNEL)
        kill_within(project, CHANNEL, done_first=True)
        (made,) = set(project.google.ids(CHANNEL)) - {known}
        (pending,) = project.stack.state(project.program).pending

        with pytest.raises(ManualInterventionRequired, match="Google gives them their ids") as caught:
            project.stack.recover(project.program, interrupted=interrupted_just_now(), message="recover r-1")
        assert pending.urn in str(caught.value)
        assert project.stack.state(project.program).pending == (pending,)
        recovered = project.stack.recover(
            project.program, interrupted=interrupted_just_now(), message="recover r-1", ids={pending.urn: made}
        )

        assert recovered.imported == {pending.urn: made}
        assert project.stack.preview(project.program).changes == ()


class TestKilledWithinUpdate:
    @pytest.mark.faults
    def test_recovery_reads_what_came_of_it(self, project: Project) -> None:
        good = project.release("good")
        before = project.stack.state(good)
        project.edit(*TIER)
        kill_within(project, DATABASE, done_first=True)

        with pytest.raises(PendingOperations, match="updating gcp:sql/databaseInstance:DatabaseInstance database"):
            project.stack.preview(project.program)
        recovered = project.stack.recover(project.program, interrupted=interrupted_just_now(), message="recover r-1")

        assert [urn.rpartition("::")[2] for urn in recovered.refreshed] == ["database"]
        assert project.stack.preview(project.program).changes == ()
        project.stack.restore(good, to=before, message="rollback of r-1", deadline_s=DEADLINE_S)
        assert project.google.one(DATABASE)["settings"]["tier"] == "db-custom-1-3840"

    @pytest.mark.faults
    def test_the_death_of_the_run_alone_stops_the_engine_in_order(self, project: Project) -> None:
        """The runner's kill meets the run; the engine hears of it, ends what it began and unlocks the stack."""
        project.edit(*TIER)
        gate = project.google.stop_at(DATABASE, done_first=False)
        with update_in_background(project) as run:
            assert gate.reached.wait(120)
            family = psutil.Process(run.pid).children(recursive=True)
            run.kill()
            time.sleep(1)
            gate.opened.set()
            _, alive = psutil.wait_procs(family, timeout=60)

        assert alive == []
        assert project.locks() == []
        assert project.stack.state(project.program).pending == ()


class TestLocks:
    @pytest.mark.faults
    def test_a_lock_of_another_machine_or_time_is_left(self, project: Project) -> None:
        project.edit(*NEW_BUCKET)
        kill_within(project, BUCKET, done_first=True)

        for other in (
            interrupted_just_now(host="another-runner"),
            InterruptedUpdate(
                frozenset({socket.gethostname()}), datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
            ),
        ):
            with pytest.raises(ManualInterventionRequired, match="locked by others than the interrupted run"):
                project.stack.recover(project.program, interrupted=other, message="recover r-0")

        assert len(project.locks()) == 1
        assert len(project.stack.state(project.program).pending) == 1

    @pytest.mark.faults
    def test_a_lock_that_outlived_its_job_is_told_to_the_next_update(self, project: Project) -> None:
        project.edit(*TIER)
        kill_within(project, DATABASE, done_first=True)

        with pytest.raises(StackLocked, match="`recover` of that run removes its lock, and no other's") as caught:
            project.stack.refresh(project.program, message="next")

        assert socket.gethostname() in caught.value.locks[0]

    @pytest.mark.parametrize(
        "host,pid,at,belongs",
        [
            ("runner-1", 1, "2026-11-30T15:00:30Z", True),
            ("runner-1", 1, "2026-11-30T17:00:30+02:00", True),
            ("runner-2", 1, "2026-11-30T15:00:30Z", False),
            ("runner-1", 1, "2026-11-30T14:59:00Z", False),
            ("runner-1", 1, "2026-11-30T15:11:00Z", False),
        ],
        ids=["its own", "its own, told in another zone", "another machine", "older", "younger"],
    )
    def test_whose_a_lock_is(self, host: str, pid: int, at: str, *, belongs: bool) -> None:
        began = datetime(2026, 11, 30, 15, tzinfo=UTC)
        interrupted = InterruptedUpdate(frozenset({"runner-1"}), began, began + timedelta(minutes=10))
        lock = Lock.read(f"file:///state/.pulumi/locks/x.json: created by ci@{host} (pid {pid}) at {at}")

        assert lock.belongs_to(interrupted) is belongs

    def test_a_lock_whose_process_lives_on_this_machine_belongs_to_nobody_dead(self) -> None:
        now = datetime.now(UTC)
        text = f"file:///x.json: created by ci@{socket.gethostname()} (pid {os.getpid()}) at {now:%Y-%m-%dT%H:%M:%SZ}"

        assert not Lock.read(text).belongs_to(interrupted_just_now())

    def test_a_lock_in_other_words_is_nobodys(self) -> None:
        with pytest.raises(ManualInterventionRequired, match="whose lock is this"):
            Lock.read("409 Conflict")
