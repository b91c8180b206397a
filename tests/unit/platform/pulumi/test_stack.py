"""The project's own infrastructure under Pulumi's real engine; Google's plug-in and what is behind it are a stand-in."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest

from pytest_deploy.errors import (
    InfrastructureFailed,
    Interrupted,
    ManualInterventionRequired,
    PlatformUnavailable,
    Refused,
    StackLocked,
)
from pytest_deploy.platform.infrastructure import StackState
from pytest_deploy.platform.pulumi import engine
from tests.pulumi_project import (
    BUCKET,
    DATABASE,
    DEADLINE_S,
    REPOSITORY,
    SERVICE,
    Project,
    interrupted_just_now,
    new_project,
    reached_by,
)

TIER = ("database.py", '"tier": settings.database_tier', '"tier": "db-custom-4-15360"')
"""A change of one property of the database: the file, what stands there, and what is to stand there."""
LABEL = ("settings.py", '"stack": pulumi.get_stack()', '"stack": "renamed"')
NEW_BUCKET = (
    "storage.py",
    '    pulumi.export("recordBucket"',
    '    storage.Bucket("uploads", **_place(settings, "uploads"))\n    pulumi.export("recordBucket"',
)


class TestWhatIsMade:
    def test_records_and_exports_lie_seven_years_in_locked_buckets_and_landing_is_not_locked(
        self, made: Project
    ) -> None:
        buckets = {id_: inputs["inputs"] for (kind, id_), inputs in made.google.resources.items() if kind == BUCKET}
        policies = {
            id_.removeprefix("example-diary-test-"): bucket.get("retentionPolicy") for id_, bucket in buckets.items()
        }

        locked = {"retentionPeriod": str(2557 * 86_400), "isLocked": True}
        assert policies == {"record": locked, "exports": locked, "landing": None}
        assert {bucket["publicAccessPrevention"] for bucket in buckets.values()} == {"enforced"}

    def test_the_deployer_may_neither_delete_objects_nor_use_a_right_beyond_its_thing(self, made: Project) -> None:
        deployer = "serviceAccount:diary-deployer@example-diary-test.iam.gserviceaccount.com"
        members = [r["inputs"] for r in made.google.resources.values() if r["inputs"].get("member") == deployer]
        roles = {one["role"] for one in members}
        on_project = [one for one in members if "project" in one and not {"repository", "name"} & one.keys()]

        assert roles == {
            "roles/artifactregistry.reader",
            "roles/artifactregistry.writer",
            "roles/cloudkms.signerVerifier",
            "roles/cloudsql.client",
            "roles/cloudsql.editor",
            "roles/cloudsql.instanceUser",
            "roles/iam.serviceAccountOpenIdTokenCreator",
            "roles/iam.serviceAccountUser",
            "roles/run.developer",
            "roles/run.invoker",
            "roles/storage.objectCreator",
            "roles/storage.objectViewer",
        }
        assert {one["role"] for one in on_project} == {
            "roles/cloudsql.client",
            "roles/cloudsql.editor",
            "roles/cloudsql.instanceUser",
        }
        assert all("instances/diary" in one["condition"]["expression"] for one in on_project)

    def test_no_secret_lies_in_the_state(self, made: Project) -> None:
        text = "".join(path.read_text("utf-8") for path in (made.folder / "state").rglob("*.json"))

        assert "canary-7c1f" not in text


class TestPreview:
    def test_a_program_that_was_carried_out_wants_nothing_more(self, project: Project) -> None:
        assert project.stack.preview(project.program).changes == ()

    def test_two_previews_of_one_program_have_one_digest(self, project: Project) -> None:
        project.edit(*TIER)

        first, second = project.stack.preview(project.program), project.stack.preview(project.program)

        assert [(c.operation, c.name, c.paths) for c in first.changes] == [("update", "database", ("settings.tier",))]
        assert first.digest == second.digest

    def test_another_value_at_the_same_path_is_another_preview(self, project: Project) -> None:
        project.edit(*TIER)
        first = project.stack.preview(project.program)
        project.edit("database.py", "db-custom-4-15360", "db-custom-8-30720")

        assert project.stack.preview(project.program).digest != first.digest

    def test_a_preview_makes_nothing(self, tmp_path: Path) -> None:
        with new_project(tmp_path) as project:
            preview = project.stack.preview(project.program)

            assert {change.operation for change in preview.changes} == {"create"}
            assert project.google.calls == []

    def test_a_change_by_hand_shows(self, project: Project) -> None:
        project.google.one(DATABASE)["settings"]["tier"] = "db-custom-8-30720"

        (change,) = project.stack.preview(project.program).changes

        assert (change.operation, change.name, change.paths) == ("update", "database", ("settings.tier",))

    def test_a_program_that_fails_is_told_with_its_own_words(self, project: Project) -> None:
        project.edit("Pulumi.test.yaml", "  diary:alertEmail: on-call@example.org\n", "")

        with pytest.raises(PlatformUnavailable, match="Missing required configuration variable 'diary:alertEmail'"):
            project.stack.preview(project.program)

    @pytest.mark.parametrize(
        "settings,message",
        [
            ({"pulumi": Path("/nowhere/pulumi")}, "command-line program is not at /nowhere/pulumi"),
            ({"python": Path("/nowhere/python")}, "interpreter of the Pulumi program is not at /nowhere/python"),
            ({"stack": "missing"}, "there is no such stack"),
        ],
    )
    def test_what_is_missing_is_named(self, project: Project, settings: dict[str, object], message: str) -> None:
        with pytest.raises(PlatformUnavailable, match=message):
            reached_by(project.stack, **settings).preview(project.program)


class TestApply:
    def test_what_was_approved_is_done_and_stands_in_the_history(self, project: Project) -> None:
        project.edit(*TIER)
        before = len(project.stack.history(project.program))
        begun: list[list[str]] = []

        applied = project.apply(begin=lambda: begun.append(list(project.google.calls)))

        assert begun == [[]], "once, before anything is changed"
        assert [(c.operation, c.name) for c in applied.changes] == [("update", "database")]
        assert project.google.one(DATABASE)["settings"]["tier"] == "db-custom-4-15360"
        latest, *earlier = project.stack.history(project.program)
        assert (latest.kind, latest.result, latest.message) == ("update", "succeeded", "run r-1")
        assert len(earlier) == before

    def test_another_than_the_approved_preview_is_refused_and_nothing_is_changed(self, project: Project) -> None:
        project.edit(*TIER)
        approved = project.stack.preview(project.program)
        project.edit("database.py", "db-custom-4-15360", "db-custom-8-30720")

        begun: list[str] = []
        with pytest.raises(Refused, match="not as it was when its preview was approved"):
            project.apply(approved, begin=lambda: begun.append("begun"))

        assert project.google.calls == []
        assert begun == [], "a rollback that finds it would lead back what others did"

    def test_a_change_by_hand_after_the_approval_is_refused(self, project: Project) -> None:
        project.edit(*TIER)
        approved = project.stack.preview(project.program)
        project.google.one(REPOSITORY)["description"] = "by hand"

        with pytest.raises(Refused, match="now: update gcp:artifactregistry/repository:Repository images"):
            project.apply(approved)

    def test_a_deletion_is_refused_unless_the_request_names_it(self, project: Project) -> None:
        project.edit(*NEW_BUCKET)
        project.apply()
        uploads = project.resource("uploads")
        project.edit(NEW_BUCKET[0], NEW_BUCKET[2], NEW_BUCKET[1])

        with pytest.raises(Refused, match="delete gcp:storage/bucket:Bucket uploads: the request does not name it"):
            project.apply()
        assert "example-diary-test-uploads" in project.google.ids(BUCKET)
        project.apply(may_destroy=frozenset({uploads}))

        assert "example-diary-test-uploads" not in project.google.ids(BUCKET)

    @pytest.mark.faults
    def test_a_replacement_is_refused_unless_the_request_names_it(self, project: Project) -> None:
        project.edit(*NEW_BUCKET)
        project.apply()
        uploads = project.resource("uploads")
        project.edit("storage.py", '_place(settings, "uploads")', '_place(settings, "uploads-2")')

        with pytest.raises(Refused, match=r"replace gcp:storage/bucket:Bucket uploads \(name\)"):
            project.apply()
        applied = project.apply(may_destroy=frozenset({uploads}))

        assert {change.operation for change in applied.changes} >= {"replace", "create-replacement", "delete-replaced"}
        assert "example-diary-test-uploads-2" in project.google.ids(BUCKET)

    def test_what_is_protected_is_not_deleted_even_if_the_request_names_it(self, project: Project) -> None:
        record = project.resource("record", BUCKET)
        project.edit(
            "storage.py", 'record=_locked_bucket("record", settings)', 'record=_locked_bucket("other", settings)'
        )

        with pytest.raises(PlatformUnavailable, match="protected"):
            project.apply(may_destroy=frozenset({record}))

        assert "example-diary-test-record" in project.google.ids(BUCKET)

    def test_a_refusal_of_google_is_told_with_what_was_done_before(self, project: Project) -> None:
        project.edit(*LABEL)
        project.google.failing[DATABASE] = (403, "cloudsql.instances.update is missing")
        project.edit("service.py", "labels=settings.labels", 'labels={"service": "diary", "stack": "test"}')

        with pytest.raises(InfrastructureFailed, match=r"cloudsql\.instances\.update is missing") as caught:
            project.apply()

        assert any("images" in one for one in caught.value.done)
        assert project.stack.state(project.program).pending == ()

    def test_a_program_that_asks_for_something_else_each_time_is_refused(self, project: Project) -> None:
        project.edit("settings.py", '"stack": pulumi.get_stack()', '"stack": str(__import__("time").time_ns())')
        project.edit("service.py", "labels=settings.labels", 'labels={"service": "diary", "stack": "test"}')

        with pytest.raises(Refused, match="not as it was when its preview was approved"):
            project.apply()

    @pytest.mark.faults
    def test_a_program_that_wants_changes_after_it_was_carried_out_fails(self, project: Project) -> None:
        project.edit(*TIER)
        project.google.answers[DATABASE] = {"maintenanceVersion": "POSTGRES_18.R1"}

        with pytest.raises(
            InfrastructureFailed, match=r"(?s)still wants changes .*database \(maintenanceVersion\)"
        ) as caught:
            project.apply()

        assert any("database" in one for one in caught.value.done)


class TestWhoOwnsTheService:
    def test_a_preview_that_touches_the_service_is_refused(self, project: Project) -> None:
        project.edit("service.py", "INGRESS_TRAFFIC_ALL", "INGRESS_TRAFFIC_INTERNAL_ONLY")

        with pytest.raises(Refused, match=r"update gcp:cloudrunv2/service:Service service .*placeholder image"):
            project.apply(may_destroy=frozenset({project.resource("service", SERVICE)}))

        assert project.google.calls == []

    @pytest.mark.parametrize(
        "refreshed", [pytest.param(False, marks=pytest.mark.faults), True], ids=["without a refresh", "after a refresh"]
    )
    def test_what_a_deployment_changes_is_no_difference(self, project: Project, *, refreshed: bool) -> None:
        self._deploy(project)
        if refreshed:
            project.stack.refresh(project.program, message="read anew")
        project.edit(*TIER)

        applied = project.apply()

        assert [change.name for change in applied.changes] == ["database"]
        assert project.google.one(SERVICE)["template"]["containers"][0]["image"] == "us/diary@sha256:aa"
        assert project.google.one(SERVICE)["traffics"][0]["revision"] == "diary-00002"

    @pytest.mark.parametrize("refreshed", [False, True], ids=["without a refresh", "after a refresh"])
    def test_a_program_that_wants_another_template_leaves_it(self, project: Project, *, refreshed: bool) -> None:
        self._deploy(project)
        if refreshed:
            project.stack.refresh(project.program, message="read anew")
        project.edit("service.py", "cloudrun/container/hello", "cloudrun/container/other")

        assert project.stack.preview(project.program).changes == ()

    def _deploy(self, project: Project) -> None:
        """What the Cloud Run client does: another template, and traffic by revision."""
        service = project.google.one(SERVICE)
        service["template"] = {"containers": [{"image": "us/diary@sha256:aa"}], "serviceAccount": "x"}
        service["traffics"] = [{"revision": "diary-00002", "percent": 100}]
        service["client"] = "pytest-deploy"


class TestRefresh:
    def test_it_reads_what_a_hand_changed_and_reverts_nothing(self, project: Project) -> None:
        project.google.one(DATABASE)["settings"]["tier"] = "db-custom-8-30720"

        changed = project.stack.refresh(project.program, message="read anew")

        assert changed == (project.resource("database"),)
        assert project.google.one(DATABASE)["settings"]["tier"] == "db-custom-8-30720"
        assert project.google.calls == []

    def test_what_is_gone_from_google_goes_from_the_state(self, project: Project) -> None:
        urn = project.resource("landing")
        del project.google.resources[BUCKET, "example-diary-test-landing"]

        assert project.stack.refresh(project.program, message="read anew") == (urn,)
        assert urn not in project.stack.state(project.program).resources


class TestRestore:
    def test_the_last_good_releases_program_brings_the_state_back(self, project: Project) -> None:
        good = project.release("good")
        before = project.stack.state(good)
        project.edit(*TIER)
        project.edit(*NEW_BUCKET)
        project.apply()
        assert project.stack.state(good).digest != before.digest

        restored = project.stack.restore(good, to=before, message="rollback of r-1", deadline_s=DEADLINE_S)

        assert {(c.operation, c.name) for c in restored.changes} == {("update", "database"), ("delete", "uploads")}
        assert project.stack.state(good) == before
        assert project.google.one(DATABASE)["settings"]["tier"] == "db-custom-1-3840"
        assert "example-diary-test-uploads" not in project.google.ids(BUCKET)
        assert project.stack.preview(good).changes == ()

    @pytest.mark.faults
    def test_half_an_update_is_led_back_too(self, project: Project) -> None:
        good = project.release("good")
        before = project.stack.state(good)
        project.edit(*TIER)
        project.edit(*NEW_BUCKET)
        project.google.failing[BUCKET] = (403, "storage.buckets.create is missing")
        with pytest.raises(InfrastructureFailed, match=r"storage\.buckets\.create is missing"):
            project.apply()
        project.google.failing.clear()

        project.stack.restore(good, to=before, message="rollback of r-1", deadline_s=DEADLINE_S)

        assert project.stack.state(good) == before

    @pytest.mark.faults
    def test_a_program_that_would_change_more_needs_a_person(self, project: Project) -> None:
        before = project.stack.state(project.program)
        project.edit(*TIER)
        project.apply()
        other = project.release("other")
        (other / "alerts.py").write_text((other / "alerts.py").read_text("utf-8").replace("0.85", "0.5"), "utf-8")
        calls = list(project.google.calls)

        with pytest.raises(ManualInterventionRequired, match="would change more than what is different since"):
            project.stack.restore(other, to=before, message="rollback of r-1", deadline_s=DEADLINE_S)

        assert project.google.calls == calls

    def test_a_state_that_does_not_come_back_needs_a_person(self, project: Project) -> None:
        resources = dict(project.stack.state(project.program).resources) | {"urn:pulumi:test::diary::x::gone": "00"}

        with pytest.raises(ManualInterventionRequired, match=r"is not as it was.*::gone"):
            project.stack.restore(
                project.program, to=StackState(resources), message="rollback of r-1", deadline_s=DEADLINE_S
            )


class TestImport:
    def test_a_resource_that_exists_is_taken_into_the_state_where_the_program_says_its_id(
        self, project: Project
    ) -> None:
        made = {"name": "example-diary-test-uploads", "location": "US-EAST4", "project": "example-diary-test"}
        labels = {"service": "diary", "stack": "test"}
        rest = {"uniformBucketLevelAccess": True, "publicAccessPrevention": "enforced", "forceDestroy": False}
        project.google.resources[BUCKET, made["name"]] = {
            "inputs": {**made, **rest, "labels": labels},
            "computed": {"etag": "e", "generation": "1"},
        }
        with_id = (
            ', opts=pulumi.ResourceOptions(import_="example-diary-test-uploads"))\n    pulumi.export("recordBucket"'
        )
        project.edit(*NEW_BUCKET[:2], NEW_BUCKET[2].replace(')\n    pulumi.export("recordBucket"', with_id))

        applied = project.apply()

        assert [(c.operation, c.name) for c in applied.changes] == [("import", "uploads")]
        assert project.google.calls == []
        assert any(urn.endswith("::uploads") for urn in applied.state.resources)


class TestStopping:
    @pytest.mark.faults
    def test_a_run_that_is_late_is_stopped_in_order_and_nothing_is_pending(self, project: Project) -> None:
        project.edit(*TIER)
        approved = project.stack.preview(project.program)
        gate = project.google.stop_at(DATABASE, done_first=True)

        def let_go() -> None:
            gate.reached.wait(60)
            time.sleep(12)
            gate.opened.set()

        threading.Thread(target=let_go, daemon=True).start()
        with pytest.raises(PlatformUnavailable, match="was not done within 8 s and was stopped"):
            reached_by(project.stack, stop_s=60.0).apply(
                project.program, approved=approved, may_destroy=frozenset(), message="run r-1", deadline_s=8
            )

        assert project.locks() == []
        assert project.stack.state(project.program).pending == ()

    def test_a_signal_in_the_run_stops_the_engine_in_order(self, project: Project) -> None:
        project.edit(*TIER)

        def stop(_: engine.Event) -> None:
            raise Interrupted(signal.SIGTERM)

        with pytest.raises(Interrupted):
            engine.run(
                project.stack.settings,
                "up",
                project.program,
                deadline_s=60,
                on_event=stop,
                message="r-1",
                refresh=False,
            )

        assert project.locks() == []
        assert project.stack.state(project.program).pending == ()

    @pytest.mark.faults
    def test_a_second_update_meets_the_lock_of_the_first(self, project: Project) -> None:
        project.edit(*TIER)
        approved = project.stack.preview(project.program)
        gate = project.google.stop_at(DATABASE, done_first=False)
        failed: list[BaseException] = []

        def first() -> None:
            try:
                project.apply(approved)
            except BaseException as error:  # noqa: BLE001
                failed.append(error)

        running = threading.Thread(target=first)
        running.start()
        assert gate.reached.wait(60)
        with pytest.raises(StackLocked, match="another update holds the stack") as caught:
            project.stack.refresh(project.program, message="second")
        with pytest.raises(ManualInterventionRequired, match="locked by others"):
            project.stack.recover(project.program, interrupted=interrupted_just_now(), message="recover r-1")
        gate.opened.set()
        running.join()

        assert len(caught.value.locks) == 1
        assert failed == []
