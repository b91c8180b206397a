"""Where the record of an environment lies: the embedded platform's on this machine, the cloud's in the cloud."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_deploy.commands.reset import reset_local
from pytest_deploy.errors import UsageError
from pytest_deploy.pipeline.context import RunContext
from pytest_deploy.platform.environment import Environment, record_store, secrets_of
from pytest_deploy.record.bucket import EMULATOR
from pytest_deploy.record.mirrored_store import MARK, CopiedStore
from pytest_deploy.record.store import FolderStore
from tests.unit.policy.documents import BASE, PRODUCTION, written

IN_A_BUCKET = BASE + "    record: {store: gcs, bucket: example-record, prefix: records}\n"


@pytest.fixture
def local(tmp_path: Path) -> RunContext:
    written(tmp_path, BASE)
    return RunContext(str(tmp_path), "local", "deploy")


def test_a_record_lies_in_a_folder_of_its_environment(local: RunContext) -> None:
    store = record_store(local, local.policy())

    assert isinstance(store, FolderStore)
    assert store.path == local.path / "reports" / "local"


def test_the_embedded_platforms_bucket_is_at_a_loopback_address_or_nowhere(
    local: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(local.path, IN_A_BUCKET)
    monkeypatch.delenv(EMULATOR, raising=False)
    with pytest.raises(
        UsageError, match=r"record.store is gcs, and local stays on this machine: set STORAGE_EMULATOR_HOST"
    ):
        record_store(local, local.policy())

    monkeypatch.setenv(EMULATOR, "http://127.0.0.1:9")
    store = record_store(local, local.policy())
    assert isinstance(store, CopiedStore)
    assert store.bucket.url == "gs://example-record/records/local"


def test_a_rehearsal_has_a_path_of_its_own(local: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    written(local.path, IN_A_BUCKET.replace("prefix", "rehearsed: gcs, prefix"))
    monkeypatch.setenv(EMULATOR, "http://localhost:9")
    rehearsal = replace(local, rehearsal=True)
    store = record_store(rehearsal, rehearsal.policy())

    assert isinstance(store, CopiedStore)
    assert store.bucket.url == "gs://example-record/records/rehearsal/local"
    assert store.path == local.path / "reports" / "rehearsal" / "local"


def test_a_real_record_is_never_sent_to_a_stand_in(local: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    written(local.path, BASE + PRODUCTION)
    production = replace(local, environment="production")
    monkeypatch.setenv(EMULATOR, "http://127.0.0.1:9")
    with pytest.raises(UsageError, match="production is real: unset STORAGE_EMULATOR_HOST"):
        record_store(production, production.policy())

    monkeypatch.delenv(EMULATOR)
    store = record_store(production, production.policy())
    assert isinstance(store, CopiedStore)
    assert store.bucket.url == "gs://example-record/production"


def test_the_copy_of_a_bucket_is_not_gone_on_with_as_a_record(local: RunContext) -> None:
    local.store.mkdir(parents=True)
    (local.store / MARK).write_text("gs://example-record/local\n")

    with pytest.raises(UsageError, match="the copy of gs://example-record/local"):
        record_store(local, local.policy())
    with pytest.raises(UsageError, match="nothing is moved or deleted"):
        list(reset_local(local.path))


def test_a_variable_named_like_a_secret_is_cut_however_long_it_is(
    local: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CI's tokens are longer than a path can be; a path to a secret is none."""
    token = "".join(map(str, range(600)))
    monkeypatch.setenv("ACTIONS_RUNTIME_TOKEN", token)
    monkeypatch.setenv("TOKEN_FILE", str(local.path))

    said = Environment(local, local.policy()).redact(f"{token} in {local.path}")
    assert f"[ACTIONS_RUNTIME_TOKEN] in {local.path}" == said


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
    local: RunContext, monkeypatch: pytest.MonkeyPatch, name: str, value: str, secret: str
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
    local: RunContext, monkeypatch: pytest.MonkeyPatch, name: str, value: str, shown: str
) -> None:
    monkeypatch.setenv(name, value)
    assert f"said {shown}" == secrets_of(local).redact(f"said {shown}")
