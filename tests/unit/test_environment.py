"""Where the record of an environment lies: the embedded platform's on this machine, the cloud's in the cloud."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_deploy.environment import Environment, record_store
from pytest_deploy.errors import NotAsked
from pytest_deploy.phase.context import RunContext
from pytest_deploy.record.bucket import EMULATOR
from pytest_deploy.record.copied import MARK, CopiedStore
from pytest_deploy.record.store import FolderStore
from pytest_deploy.reset import reset_local
from tests.unit.config.documents import BASE, PRODUCTION, written

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
        NotAsked, match=r"record.store is gcs, and local stays on this machine: set STORAGE_EMULATOR_HOST"
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
    with pytest.raises(NotAsked, match="production is real: unset STORAGE_EMULATOR_HOST"):
        record_store(production, production.policy())

    monkeypatch.delenv(EMULATOR)
    store = record_store(production, production.policy())
    assert isinstance(store, CopiedStore)
    assert store.bucket.url == "gs://example-record/production"


def test_the_copy_of_a_bucket_is_not_gone_on_with_as_a_record(local: RunContext) -> None:
    local.store.mkdir(parents=True)
    (local.store / MARK).write_text("gs://example-record/local\n")

    with pytest.raises(NotAsked, match="the copy of gs://example-record/local"):
        record_store(local, local.policy())
    with pytest.raises(NotAsked, match="nothing is moved or deleted"):
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
