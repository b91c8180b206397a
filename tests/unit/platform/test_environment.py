"""Where the record of an environment lies, and what one process cuts from all that is written of it."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_deploy.commands.local import reset
from pytest_deploy.errors import UsageError
from pytest_deploy.platform.environment import Environment, record_of
from pytest_deploy.policy.load import load, policy_of
from pytest_deploy.record import programs
from pytest_deploy.record.bucket import EMULATOR, MARK, MirroredStore
from pytest_deploy.record.clock import SystemClock
from pytest_deploy.record.events import parse
from pytest_deploy.record.open_record import record_store
from pytest_deploy.record.secrets import secrets_of
from pytest_deploy.record.store import FolderStore
from pytest_deploy.workspace import Workspace
from tests.unit.commands.typed import typed
from tests.unit.policy.sample_policy import BASE, PRODUCTION, written
from tests.unit.sample_environment import environment

IN_A_BUCKET = BASE + "    record: {store: gcs, bucket: example-record, prefix: records}\n"


@pytest.fixture
def local(tmp_path: Path) -> Workspace:
    written(tmp_path, BASE)
    return Workspace(tmp_path, "local")


def test_a_record_lies_in_a_folder_of_its_environment(local: Workspace) -> None:
    store = record_store(local, policy_of(local))

    assert isinstance(store, FolderStore)
    assert store.path == local.root / "reports" / "local"


@pytest.mark.parametrize("name", ["reports", "reports/local", "reports/rehearsal"])
def test_a_record_that_a_link_leads_out_of_the_checkout_is_refused(
    local: Workspace, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (local.root / name).parent.mkdir(exist_ok=True)
    (local.root / name).symlink_to(elsewhere)
    asked = replace(local, rehearsal=name == "reports/rehearsal")

    with pytest.raises(UsageError, match=f"local leads to {elsewhere}.*, outside the checkout"):
        record_store(asked, policy_of(local))


def test_who_first_opens_a_record_makes_its_folders_ignored_the_key_s_too(local: Workspace) -> None:
    """By a command too, before any run: the log's key is made then, and the checkout's own .gitignore names no folder."""
    subprocess.run(["git", "init", "-q", str(local.root)], check=True)

    record_of(local, policy_of(local), SystemClock())

    assert local.key_file.is_file()
    listed = ["git", "-C", str(local.root), "ls-files", "--others", "--exclude-standard"]
    assert subprocess.run(listed, check=True, capture_output=True, text=True).stdout == "deploy.yaml\n"


def test_who_opens_an_environment_takes_the_programs_that_its_policy_names(local: Workspace) -> None:
    """A command too, and a run where no commit is judged."""
    own = local.root / "git"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    without = policy_of(local)
    written(local.root, f"programs: {{git: {own}}}\n{BASE}")

    Environment(local, policy_of(local))
    assert programs.system_program("git") == str(own)

    Environment(local, without)
    assert programs.system_program("git") != str(own)


def test_a_record_may_lie_behind_a_link_inside_the_checkout(local: Workspace) -> None:
    (local.root / "disk").mkdir()
    (local.root / "reports").symlink_to("disk")

    assert record_store(local, policy_of(local)).path == local.store


def test_the_embedded_platforms_bucket_is_at_a_loopback_address_or_nowhere(
    local: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(local.root, IN_A_BUCKET)
    monkeypatch.delenv(EMULATOR, raising=False)
    with pytest.raises(
        UsageError, match=r"record.store is gcs, and local stays on this machine: set STORAGE_EMULATOR_HOST"
    ):
        record_store(local, policy_of(local))

    monkeypatch.setenv(EMULATOR, "http://127.0.0.1:9")
    store = record_store(local, policy_of(local))
    assert isinstance(store, MirroredStore)
    assert store.bucket.url == "gs://example-record/records/local"


def test_a_rehearsal_has_a_path_of_its_own(local: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    written(local.root, IN_A_BUCKET.replace("prefix", "rehearsed: gcs, prefix"))
    monkeypatch.setenv(EMULATOR, "http://localhost:9")
    rehearsal = replace(local, rehearsal=True)
    store = record_store(rehearsal, policy_of(rehearsal))

    assert isinstance(store, MirroredStore)
    assert store.bucket.url == "gs://example-record/records/rehearsal/local"
    assert store.path == local.root / "reports" / "rehearsal" / "local"


def test_a_real_record_is_never_sent_to_a_stand_in(local: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    written(local.root, BASE + PRODUCTION)
    production = replace(local, environment="production")
    monkeypatch.setenv(EMULATOR, "http://127.0.0.1:9")
    with pytest.raises(UsageError, match="production is real: unset STORAGE_EMULATOR_HOST"):
        record_store(production, policy_of(production))

    monkeypatch.delenv(EMULATOR)
    store = record_store(production, policy_of(production))
    assert isinstance(store, MirroredStore)
    assert store.bucket.url == "gs://example-record/production"


def test_the_copy_of_a_bucket_is_not_gone_on_with_as_a_record(local: Workspace) -> None:
    local.store.mkdir(parents=True)
    (local.store / MARK).write_text("gs://example-record/local\n")

    with pytest.raises(UsageError, match="the copy of gs://example-record/local"):
        record_store(local, policy_of(local))
    with pytest.raises(UsageError, match="nothing is moved or deleted"):
        typed(local.root, reset, "local")


def test_a_variable_named_like_a_secret_is_cut_however_long_it_is(
    local: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CI's tokens are longer than a path can be; a path to a secret is none."""
    token = "".join(map(str, range(600)))
    monkeypatch.setenv("ACTIONS_RUNTIME_TOKEN", token)
    monkeypatch.setenv("TOKEN_FILE", str(local.root))

    said = Environment(local, policy_of(local)).redact(f"{token} in {local.root}")
    assert f"[ACTIONS_RUNTIME_TOKEN] in {local.root}" == said


@pytest.mark.parametrize(
    "name, value, secret",
    [
        ("DB_PASSWORD", "hunter2-and-more", "hunter2-and-more"),
        ("db_password", "hunter2-and-more", "hunter2-and-more"),
        ("SSH_PASSPHRASE", "hunter2-and-more", "hunter2-and-more"),
        ("ACTIONS_RUNTIME_TOKEN", "e" * 1500, "e" * 1500),
        ("DATABASE_URL", "postgres://diary:hunter2%2Fmore@db.example.org/diary", "hunter2/more"),
        ("DATABASE_URL", "postgres://diary:hunter2%2Fmore@db.example.org/diary", "hunter2%2Fmore"),
    ],
)
def test_what_a_variable_named_like_a_secret_or_an_address_holds_is_known(
    local: Workspace, monkeypatch: pytest.MonkeyPatch, name: str, value: str, secret: str
) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # it holds the address too
    monkeypatch.setenv(name, value)
    assert f"said [{name}]" == secrets_of(local).redact(f"said {secret}")


@pytest.mark.parametrize(
    "name, value, shown",
    [
        ("TOKEN_FILE", str(Path(__file__)), str(Path(__file__))),
        ("DATABASE_URL", "postgres://postgres:postgres@localhost/postgres", "postgres"),
        ("SHELL_OPTIONS", "hunter2-and-more", "hunter2-and-more"),
    ],
    ids=["a path", "a password that is the user's name", "another name"],
)
def test_what_is_no_secret_is_not_cut(
    local: Workspace, monkeypatch: pytest.MonkeyPatch, name: str, value: str, shown: str
) -> None:
    monkeypatch.setenv(name, value)
    assert f"said {shown}" == secrets_of(local).redact(f"said {shown}")


@pytest.fixture
def rehearsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    for name, value in (
        ("GITHUB_TOKEN", "ghs_of-the-process"),
        ("NPM_TOKEN", "short"),
        ("GIT_CREDENTIALS", str(tmp_path)),
    ):
        monkeypatch.setenv(name, value)
    return environment(tmp_path, "production")


def test_variables_named_like_secrets_are_cut_unless_they_are_paths_or_too_short(
    rehearsed: Environment, tmp_path: Path
) -> None:
    said = rehearsed.redact(f"ghs_of-the-process short {tmp_path}")

    assert f"[GITHUB_TOKEN] short {tmp_path}" == said


def test_passwords_of_the_database_are_cut_unless_they_are_the_users_name(rehearsed: Environment) -> None:
    class Access:
        owner = "host=x user=owner password='own er-pass'"
        service = "postgresql://svc_user:svc_user@x/db"

    rehearsed._learn_passwords(Access)  # type: ignore[arg-type]  # its two texts are all that is read

    assert rehearsed.redact("own er-pass svc_user") == "[DATABASE_OWNER_PASSWORD] svc_user"


def test_events_files_and_errors_are_cut_of_secrets_and_of_rows(rehearsed: Environment) -> None:
    rehearsed.secrets["SMOKE_PASSWORD"]
    rehearsed.secrets.learn("SESSION", "token-1234")
    error = ValueError("token-1234", 3)
    error.__cause__ = KeyError("DETAIL:  Key (a)=(b) exists")
    error.add_note("token-1234")

    rehearsed.redact_error(error)
    event = rehearsed.log.append(
        parse("clock.skewed", {"skew_s": 1, "source": "token-1234"}), run="-", actor="system:test"
    )

    assert (error.args, error.__notes__) == (("[SESSION]", 3), ["[SESSION]"])
    assert error.__cause__.args == ("DETAIL:  [cut: may hold rows]",)
    assert event.data["source"] == "[SESSION]"
    assert rehearsed.redact_file(b'{"a":"token-1234"}') == b'{"a":"[SESSION]"}'


APPROVED = BASE.replace("local:\n    phases: {leave_out: [approval]}", "local:\n    approval: {roles: [QA Lead]}")
IN_THE_CLOUD = BASE + PRODUCTION


@pytest.mark.parametrize(
    "text,name,rehearsal,holds",
    [
        (BASE, "local", False, False),
        (BASE.replace("  local:", "  my-machine:"), "my-machine", False, False),
        (BASE, "local", True, True),
        (APPROVED, "local", False, True),
        (IN_THE_CLOUD, "production", False, True),
        (IN_THE_CLOUD, "production", True, True),
    ],
)
def test_policy_says_whether_rows_may_be_subjects_whatever_the_name(
    tmp_path: Path, text: str, name: str, *, rehearsal: bool, holds: bool
) -> None:
    policy = load(written(tmp_path, text), name, rehearsal=rehearsal)

    assert policy.holds_subjects(rehearsal=rehearsal) == holds


def test_local_keeps_what_the_database_says(tmp_path: Path) -> None:
    environment(tmp_path, "production")
    local = Environment(Workspace(tmp_path, "local"), load(tmp_path / "deploy.yaml", "local"))

    assert not local.holds_subjects
    assert local.redact("DETAIL:  Key (a)=(b) exists") == "DETAIL:  Key (a)=(b) exists"
    assert local.redact_file(b"DETAIL:  x") == b"DETAIL:  x"
