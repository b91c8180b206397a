"""An environment's secrets: made once, known to every process of a run, and cut from what is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_deploy.errors import UsageError
from pytest_deploy.record.secrets import Secrets


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
    worker, controller, stranger = Secrets(file, notes=met), Secrets(file, notes=met), Secrets(file)

    assert worker.learn("SESSION", "token-1234") == "token-1234"
    worker.learn("SESSION", "token-1234")
    controller.take_in()
    stranger.take_in()

    assert [one.redact("token-1234") for one in (worker, controller, stranger)] == [
        "[SESSION]",
        "[SESSION]",
        "token-1234",
    ]
    worker.learn("OTHER", "token-5678")
    controller.take_in()
    assert controller.redact("token-1234, token-5678") == "[SESSION], [OTHER]"
    (note,) = met.iterdir()
    first, _ = note.read_text().splitlines()
    assert (note.stat().st_mode & 0o777, json.loads(first)) == (0o600, ["SESSION", "token-1234"])


def test_a_line_that_is_being_written_is_read_once_it_is_whole(file: Path, tmp_path: Path) -> None:
    met = tmp_path / "session"
    met.mkdir()
    controller = Secrets(file, notes=met)
    note = met / "met-1"
    note.write_text('["ONE", "token-1234"]\n["TWO", "token-')

    controller.take_in()
    assert controller.redact("token-1234 token-5678") == "[ONE] token-5678"
    with note.open("a") as more:
        more.write('5678"]\n')
    controller.take_in()

    assert controller.redact("token-1234 token-5678") == "[ONE] [TWO]"


def test_another_file_of_the_same_name_is_read_from_its_beginning(file: Path, tmp_path: Path) -> None:
    met = tmp_path / "session"
    met.mkdir()
    controller = Secrets(file, notes=met)
    (met / "met-1").write_text('["ONE", "token-1234"]\n["TWO", "token-5678"]\n')
    controller.take_in()

    (met / "met-1").write_text('["THREE", "token-9999"]\n')
    controller.take_in()

    assert controller.redact("token-9999") == "[THREE]"


def test_a_full_disk_leaves_no_half_line(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    met = tmp_path / "session"
    met.mkdir()
    whole = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: whole(descriptor, data[:7]))

    with pytest.raises(OSError, match="No space left"):
        Secrets(file, notes=met).learn("SESSION", "token-1234")

    monkeypatch.undo()
    assert [note.read_bytes() for note in met.iterdir()] == [b""]


@pytest.mark.parametrize("value", ["", "short"])
def test_a_secret_too_short_to_be_cut_is_refused(file: Path, value: str) -> None:
    with pytest.raises(ValueError, match="SESSION has fewer than 6 characters"):
        Secrets(file).learn("SESSION", value)


LISTED = ("SMOKE_USER", "SMOKE_PASSWORD", "API_TOKEN")


def test_policy_says_which_secrets_there_are(file: Path) -> None:
    secrets = Secrets(file, LISTED)
    token = secrets["API_TOKEN"]

    assert (list(secrets), len(secrets), "API_TOKEN" in secrets, "OTHER" in secrets) == ([*LISTED], 3, True, False)
    assert repr(secrets) == "Secrets(SMOKE_USER, SMOKE_PASSWORD, API_TOKEN)"
    assert secrets.redact(f"{token} {secrets['SMOKE_USER']}") == f"[API_TOKEN] {secrets['SMOKE_USER']}"
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("ask", [Secrets.__getitem__, Secrets.get])
def test_a_name_that_is_not_listed_is_refused_with_what_to_list(
    file: Path, ask: Callable[[Secrets, str], object]
) -> None:
    with pytest.raises(UsageError) as refused:
        ask(Secrets(file), "API_TOKEN")

    assert str(refused.value) == (
        "secrets['API_TOKEN']: deploy.yaml lists no such secret for this environment (SMOKE_USER, SMOKE_PASSWORD); "
        "add it there: `secrets: [SMOKE_USER, SMOKE_PASSWORD, API_TOKEN]`"
    )
    assert not file.exists()


def test_one_that_is_listed_later_is_made_beside_the_others(file: Path) -> None:
    password = Secrets(file)["SMOKE_PASSWORD"]
    early = Secrets(file, LISTED)
    assert early.redact("x") == "x"

    token = Secrets(file, LISTED)["API_TOKEN"]

    assert early.redact(f"{password} {token}") == "[SMOKE_PASSWORD] [API_TOKEN]", "another process made it"
    assert (early["SMOKE_PASSWORD"], early["API_TOKEN"]) == (password, token)
    assert (file.stat().st_mode & 0o777, [file.name]) == (0o600, [one.name for one in file.parent.iterdir()])


def test_one_that_is_not_listed_any_more_is_still_cut(file: Path) -> None:
    token = Secrets(file, LISTED)["API_TOKEN"]

    assert Secrets(file).redact(token) == Secrets(file, ()).redact(token) == "[API_TOKEN]"


def test_two_processes_make_the_same(file: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from pytest_deploy.record.secrets import Secrets; "
        "print(Secrets(Path(sys.argv[1]), sys.argv[2:])['API_TOKEN'])"
    )
    words = [sys.executable, "-c", script, str(file), *LISTED]
    makers = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(4)]

    assert len({maker.communicate(timeout=60)[0] for maker in makers}) == 1
    assert [maker.returncode for maker in makers] == [0] * 4
