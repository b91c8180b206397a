"""An environment's secrets: made once, known to every process of a run, and cut from what is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_deploy.platform.clients import Answer, Secrets
from pytest_deploy.platform.environment import Environment
from tests.unit.commands.bench import environment


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "secrets" / "local.json"


def test_secrets_are_made_when_first_asked_for_and_never_change(file: Path) -> None:
    secrets = Secrets(file)
    assert (secrets.redact("as it is"), repr(secrets)) == ("as it is", "Secrets(SMOKE_USER, SMOKE_PASSWORD)")
    assert not file.exists(), "a run that only lists writes nothing"

    password = secrets["SMOKE_PASSWORD"]

    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert password == Secrets(file)["SMOKE_PASSWORD"]
    assert f"{secrets['SMOKE_USER']} [SMOKE_PASSWORD]" == secrets.redact(f"{secrets['SMOKE_USER']} {password}")
    assert 2 == len(secrets) == len(list(secrets))


def test_what_another_process_makes_later_is_cut_too(file: Path) -> None:
    early = Secrets(file)
    assert early.redact("x") == "x"

    password = Secrets(file)["SMOKE_PASSWORD"]

    assert early.redact(password) == "[SMOKE_PASSWORD]"


def test_a_token_met_on_the_way_is_cut_here_and_told_to_the_run(file: Path, tmp_path: Path) -> None:
    met = tmp_path / "session"
    met.mkdir()
    worker, controller, stranger = Secrets(file, met=met), Secrets(file, met=met), Secrets(file)

    assert worker.learn("SESSION", "token-1234") == "token-1234"
    worker.learn("SESSION", "token-1234")
    controller.take_in()
    stranger.take_in()

    assert [one.redact("token-1234") for one in (worker, controller, stranger)] == [
        "[SESSION]",
        "[SESSION]",
        "token-1234",
    ]
    (note,) = met.iterdir()
    assert (note.stat().st_mode & 0o777, json.loads(note.read_text())) == (0o600, ["SESSION", "token-1234"])


@pytest.mark.parametrize("value", ["", "short"])
def test_a_secret_too_short_to_be_cut_is_refused(file: Path, value: str) -> None:
    with pytest.raises(ValueError, match="SESSION has fewer than 6 characters"):
        Secrets(file).learn("SESSION", value)


def test_no_assertion_shows_what_a_service_answered() -> None:
    assert repr(Answer(200, {"text": "a subject's words"}, 0.1)) == "Answer(status=200, seconds=0.1)"


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
    event = rehearsed.log.append("clock.skewed", {"skew_s": 1, "source": "token-1234"}, run="-", actor="system:test")

    assert (error.args, error.__notes__) == (("[SESSION]", 3), ["[SESSION]"])
    assert error.__cause__.args == ("DETAIL:  [cut: may hold rows]",)
    assert event.data["source"] == "[SESSION]"
    assert rehearsed.redact_file(b'{"a":"token-1234"}') == b'{"a":"[SESSION]"}'


def test_local_keeps_what_the_database_says(tmp_path: Path) -> None:
    environment(tmp_path, "production")
    from pytest_deploy.pipeline.context import RunContext
    from pytest_deploy.policy.load import load

    local = Environment(RunContext(str(tmp_path), "local", "deploy"), load(tmp_path / "deploy.yaml", "local"))

    assert not local.holds_subjects
    assert local.redact("DETAIL:  Key (a)=(b) exists") == "DETAIL:  Key (a)=(b) exists"
    assert local.redact_file(b"DETAIL:  x") == b"DETAIL:  x"
