"""`local` and `reset` take an embedded environment of deploy.yaml, by its name, and keep the others as they are."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pytest_deploy.commands.local import local, reset
from pytest_deploy.errors import ConfigurationError, UsageError
from pytest_deploy.platform.embedded import connect
from pytest_deploy.platform.embedded.places import ROOT_VARIABLE, Places
from tests.memory import short_parent
from tests.unit.commands.typed import typed
from tests.unit.policy.sample_policy import BASE, PRODUCTION, written

RULES = "phases: {leave_out: [approval]}, health: {watch_s: 2, interval_s: 0.5}, sla_s: 600"
TWO = BASE.replace("  local:", "  mine:") + f"  yours: {{{RULES}}}\n"
APPROVED = f"  guarded: {{{RULES.replace('phases: {leave_out: [approval]}', 'approval: {roles: [QA Lead]}')}}}\n"
ONLY_CLOUD = BASE.partition("  local:")[0].replace("platform: {kind: embedded}\n", "") + PRODUCTION


@pytest.mark.parametrize(
    "text,command,words,said",
    [
        (TWO, local, [], "several environments are on the embedded platform; say which: `pytest-deploy local mine` or `pytest-deploy local yours`"),
        (TWO, local, ["local"], "local local: no environment on the embedded platform; there is mine, yours"),
        (TWO + PRODUCTION, reset, ["production"], "reset production: no environment on the embedded platform; there is mine, yours"),
        (BASE + APPROVED, reset, ["guarded"], "reset guarded: it asks for approval, so that its record is evidence, and is kept for good"),
        (ONLY_CLOUD, local, [], "deploy.yaml describes no environment with platform: {kind: embedded}"),
    ],
)  # fmt: skip
def test_what_is_no_embedded_environment_is_refused_with_those_there_are(
    tmp_path: Path, text: str, command: object, words: list[str], said: str
) -> None:
    written(tmp_path, text)
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(UsageError) as refused:
        typed(tmp_path, command, *words)  # type: ignore[arg-type] # either of the two

    assert said in str(refused.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_start_that_is_refused_leaves_the_signals_of_the_process_as_they_were(tmp_path: Path) -> None:
    """Blocked, they would never end a child of it."""
    written(tmp_path, TWO)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])

    with pytest.raises(UsageError):
        typed(tmp_path, local)

    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_without_a_configuration_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        typed(tmp_path, reset, "local")


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkout of two embedded environments."""
    from pytest_deploy.platform.embedded import reset as reset_platform

    monkeypatch.setenv(ROOT_VARIABLE, str(short_parent()))
    monkeypatch.delenv("PGHOST", raising=False)
    written(tmp_path, TWO)
    yield tmp_path
    reset_platform(tmp_path)


def rows(root: Path, environment: str, *statements: str) -> list[str]:
    """What an environment's database holds in `kept`, after these statements; nothing where there is no such table."""
    platform = connect(root, environment=environment, service="diary", command=["true"])
    try:
        with psycopg.connect(platform.database.owner, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())
            there = connection.execute("SELECT to_regclass('kept')").fetchone()
            assert there is not None
            return [] if there[0] is None else [row[0] for row in connection.execute("SELECT word FROM kept")]
    finally:
        platform.close()


def test_two_embedded_environments_share_nothing_and_one_is_reset_alone(two: Path) -> None:
    for name in ("mine", "yours"):
        assert rows(two, name, "CREATE TABLE kept AS SELECT current_database() AS word") == [f"diary_{name}"]
        (two / "reports" / name).mkdir(parents=True)
        (two / ".deploy" / "keys").mkdir(exist_ok=True)
        (two / ".deploy" / "keys" / f"{name}.pem").write_text(name)

    lines = typed(two, reset, "mine")

    assert lines[0] == "forgotten: the database and revisions of mine on the embedded platform"
    assert [folder.name for folder in Places.of(two).platform.iterdir()] == ["yours"]
    assert sorted(folder.name for folder in (two / "reports").iterdir()) == ["archive", "yours"]
    assert (two / ".deploy" / "keys" / "yours.pem").exists()
    assert not (two / ".deploy" / "keys" / "mine.pem").exists()
    assert rows(two, "yours") == ["diary_yours"]
    assert rows(two, "mine") == []
