"""The command that makes the synthetic account: what it is given, and what it must print."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest

from pytest_deploy.errors import Failed
from pytest_deploy.platform import account
from pytest_deploy.platform.account import run_account

GIVEN = {"DATABASE_URL": "postgresql://owner@/db", "SMOKE_USER": "smoke", "SMOKE_PASSWORD": "a secret"}


def ran(code: str, folder: Path) -> object:
    return run_account(["python", "-c", code], folder=folder, variables=GIVEN)


def refusal(code: str, folder: Path) -> str:
    with pytest.raises(Failed) as caught:
        ran(code, folder)
    return str(caught.value)


def test_what_it_prints_is_read_as_json(tmp_path: Path) -> None:
    assert ran("print('{\"id\": 7}')", tmp_path) == {"id": 7}


def test_it_is_given_its_variables_and_a_path_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "ours")

    told = ran("import json, os; print(json.dumps([os.getcwd(), dict(os.environ)]))", tmp_path)

    assert isinstance(told, list)
    folder, variables = told
    assert folder == str(tmp_path)
    assert variables["PATH"].startswith(f"{Path(sys.executable).parent}{os.pathsep}")
    assert set(variables) - {"LC_CTYPE"} == {"PATH", *GIVEN}


@pytest.mark.parametrize("code, end", [("print('granted')", "  granted"), ("pass", "  (nothing)")])
def test_what_is_no_json_is_refused_with_what_was_expected(tmp_path: Path, code: str, end: str) -> None:
    assert refusal(code, tmp_path) == (
        f"service.account, `{shlex.join(['python', '-c', code])}`, is expected to print one JSON value to standard output and "
        f'nothing else, e.g. {{"id": 7}}; the end of what it printed:\n{end}'
    )


def test_one_that_fails_is_told_with_the_end_of_its_standard_error(tmp_path: Path) -> None:
    said = refusal(
        "import sys; [print('line', n, file=sys.stderr) for n in range(30)]; print('x' * 500, file=sys.stderr); sys.exit(3)",
        tmp_path,
    )

    first, *lines = said.splitlines()
    assert first.endswith("ended with 3; the end of its standard error:")
    assert lines == [*(f"  line {n}" for n in range(21, 30)), f"  {'x' * 200}…"]


def test_one_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "TIMEOUT_S", 0.3)

    assert refusal("import time; time.sleep(30)", tmp_path).endswith("was not done within 0.3 s")


def test_one_that_is_not_found_is_named(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"service\.account: the program no-such-program was not found; looked in"):
        run_account(["no-such-program"], folder=tmp_path, variables=GIVEN)


def test_a_flood_is_no_json_and_costs_a_few_lines(tmp_path: Path) -> None:
    assert len(refusal("import sys; sys.stdout.write('[' * 20_000_000)", tmp_path)) < 1_000
